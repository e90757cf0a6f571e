//! The `recover` function: puts back what crashed runs left, and redrives dead letters on request.

use shared::boot::{self, Door, Function, InProduction};
use shared::engine::tasks::recover;

const RECOVER: Function = Function {
    name: "recover",
    doors: &[Door { method: "POST", path: "/api/cron/providers/recover-processing", says: &[] }],
    production: InProduction::Allowed,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    boot::serve(&RECOVER, async |boot, call| {
        let (fields, bounds) = call.into_parts();
        let request = recover::Request::parse(fields)?;
        recover::run(boot.context().await?, &request, bounds).await
    })
    .await
}
