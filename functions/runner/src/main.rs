//! The `runner` function: claims due conversions and uploads them. Schedules, direct invokes and HTTP.

use shared::boot::{self, Door, Function, InProduction};
use shared::engine::tasks::upload;

const RUNNER: Function = Function {
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
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    boot::serve(&RUNNER, async |boot, call| {
        let (fields, bounds) = call.into_parts();
        let request = upload::Request::parse(fields)?;
        upload::run(boot.context().await?, &request, bounds).await
    })
    .await
}
