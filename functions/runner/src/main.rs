//! The `runner` function: claims due conversions and uploads them. Schedules, direct invokes and HTTP.

use shared::boot::{self, functions::RUNNER};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    boot::serve(&RUNNER).await
}
