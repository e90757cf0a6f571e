//! The `confirm` function: reads the receipts of `SUBMITTED` conversions and brings each of them to its end.

use crate::boot::{Answer, Boot, Call, Callers, Door, Function, InProduction};
use crate::engine::tasks::confirm;

/// Reads the receipts of `SUBMITTED` conversions.
pub const CONFIRM: Function = Function {
    name: "confirm",
    doors: &[Door { method: "POST", path: "/api/cron/confirm-conversions", says: &[] }],
    production: InProduction::Allowed,
    callers: Callers::WithSecret,
    handler: |boot, call| Box::pin(handle(boot, call)),
};

async fn handle(boot: &Boot, call: Call) -> anyhow::Result<Answer> {
    let (fields, bounds) = call.into_parts();
    let request = confirm::Request::parse(fields)?;
    Answer::done(&confirm::run(boot.context().await?, &request, bounds).await?)
}
