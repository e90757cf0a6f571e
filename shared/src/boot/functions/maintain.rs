//! The `maintain` function: runs the tasks that keep the house in order, by name or all of them.

use crate::boot::{Answer, Boot, Call, Callers, Door, Function, InProduction};
use crate::engine::maintain;

/// Runs the tasks that keep the house in order.
pub const MAINTAIN: Function = Function {
    name: "maintain",
    doors: &[Door { method: "POST", path: "/api/cron/maintain", says: &[] }],
    production: InProduction::Allowed,
    callers: Callers::WithSecret,
    handler: |boot, call| Box::pin(handle(boot, call)),
};

async fn handle(boot: &Boot, call: Call) -> anyhow::Result<Answer> {
    let (fields, bounds) = call.into_parts();
    let request = maintain::Request::parse(fields)?;
    Answer::done(&maintain::run(boot.context().await?, &request, bounds).await?)
}
