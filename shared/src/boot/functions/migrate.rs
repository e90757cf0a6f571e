//! The `migrate` function: brings the schema to the newest version. Invoked on deploy; it takes no fields.

use crate::boot::{self, Answer, Boot, Call, Callers, Function, InProduction};

/// Brings the schema to the newest version.
pub const MIGRATE: Function = Function {
    name: "migrate",
    doors: &[],
    production: InProduction::Allowed,
    callers: Callers::WithSecret,
    handler: |boot, call| Box::pin(handle(boot, call)),
};

async fn handle(boot: &Boot, call: Call) -> anyhow::Result<Answer> {
    call.fields.finish(&["(none)"])?;
    Answer::done(&boot::migrate(&boot.config).await?)
}
