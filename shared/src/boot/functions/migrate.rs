//! The `migrate` function: brings the schema to the newest version. Invoked by CloudFormation on deploy, or by hand without fields.

use serde_json::json;

use crate::boot::custom_resource::CustomResource;
use crate::boot::{self, Answer, Boot, Call, Callers, Function, InProduction};

/// Brings the schema to the newest version.
pub const MIGRATE: Function = Function {
    name: "migrate",
    doors: &[],
    production: InProduction::Allowed,
    callers: Callers::WithSecret,
    handler: |boot, call| Box::pin(handle(boot, call)),
};

async fn handle(boot: &Boot, mut call: Call) -> anyhow::Result<Answer> {
    let resource = CustomResource::read(&mut call.fields, "migration")?;
    call.fields.finish(&["(none), or those of CloudFormation"])?;
    match resource {
        Some(resource) => {
            let migrate = async || Ok(json!({ "schema": boot::migrate(&boot.config).await?.schema }));
            Answer::done(&resource.answer(&boot.config, call.deadline, migrate).await?)
        }
        None => Answer::done(&boot::migrate(&boot.config).await?),
    }
}
