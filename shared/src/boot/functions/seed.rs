//! The `seed` function: stores a site's provider credentials, sealed. Refused in production before anything is read.

use crate::boot::{Answer, Boot, Call, Callers, Door, Function, InProduction};
use crate::engine::tasks::seed;

/// Stores a site's provider credentials.
pub const SEED: Function = Function {
    name: "seed",
    doors: &[Door { method: "POST", path: "/api/cron/providers/seed-credentials", says: &[] }],
    production: InProduction::Refused,
    callers: Callers::WithSecret,
    handler: |boot, call| Box::pin(handle(boot, call)),
};

async fn handle(boot: &Boot, call: Call) -> anyhow::Result<Answer> {
    let (fields, bounds) = call.into_parts();
    let request = seed::Request::parse(fields)?;
    Answer::done(&seed::run(boot.context().await?, &request, bounds).await?)
}
