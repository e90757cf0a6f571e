//! The `seed` function: stores a site's provider credentials, sealed. Refused in production before anything is read.

use shared::boot::{self, Door, Function, InProduction};
use shared::engine::tasks::seed;

const SEED: Function = Function {
    name: "seed",
    doors: &[Door { method: "POST", path: "/api/cron/providers/seed-credentials", says: &[] }],
    production: InProduction::Refused,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    boot::serve(&SEED, async |boot, call| {
        let (fields, bounds) = call.into_parts();
        let request = seed::Request::parse(fields)?;
        seed::run(boot.context().await?, &request, bounds).await
    })
    .await
}
