//! The `confirm` function: reads the receipts of `SUBMITTED` conversions and brings each of them to its end.

use shared::boot::{self, functions::CONFIRM};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    boot::serve(&CONFIRM).await
}
