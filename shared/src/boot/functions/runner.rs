//! The `runner` function: claims due conversions and uploads them. Schedules, direct invokes and HTTP.

use crate::boot::{Answer, Boot, Call, Callers, Door, Function, InProduction};
use crate::engine::tasks::upload;

/// Claims due conversions and uploads them.
pub const RUNNER: Function = Function {
    name: "runner",
    doors: &[
        Door { method: "POST", path: "/api/cron/process-offline-conversions", says: &[("mode", "cron")] },
        Door {
            method: "POST",
            path: "/api/workers/google-ads-oci",
            says: &[("mode", "worker"), ("provider_key", "google_ads")],
        },
    ],
    production: InProduction::Allowed,
    callers: Callers::WithSecret,
    handler: |boot, call| Box::pin(handle(boot, call)),
};

async fn handle(boot: &Boot, call: Call) -> anyhow::Result<Answer> {
    let (fields, bounds) = call.into_parts();
    let request = upload::Request::parse(fields)?;
    Answer::done(&upload::run(boot.context().await?, &request, bounds).await?)
}
