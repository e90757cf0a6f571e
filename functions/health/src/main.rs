//! The `health` function: whether the process is up, and whether it is ready. Anybody may ask.

use shared::boot::{self, functions::HEALTH};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    boot::serve(&HEALTH).await
}
