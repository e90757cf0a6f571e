//! The `recover` function: puts back what crashed runs left, and redrives dead letters on request.

use shared::boot::{self, functions::RECOVER};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    boot::serve(&RECOVER).await
}
