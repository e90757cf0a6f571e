//! The `recover` function: puts back what crashed runs left, and redrives dead letters on request.

use crate::boot::{Answer, Boot, Call, Callers, Door, Function, InProduction};
use crate::engine::tasks::recover;

/// Puts back what crashed runs left.
pub const RECOVER: Function = Function {
    name: "recover",
    doors: &[Door { method: "POST", path: "/api/cron/providers/recover-processing", says: &[] }],
    production: InProduction::Allowed,
    callers: Callers::WithSecret,
    handler: |boot, call| Box::pin(handle(boot, call)),
};

async fn handle(boot: &Boot, call: Call) -> anyhow::Result<Answer> {
    let (fields, bounds) = call.into_parts();
    let request = recover::Request::parse(fields)?;
    Answer::done(&recover::run(boot.context().await?, &request, bounds).await?)
}
