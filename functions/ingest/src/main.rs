//! The `ingest` function: takes conversions in, signed by their site over HTTP, or from whom IAM let in.

use shared::boot::{self, functions::INGEST};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    boot::serve(&INGEST).await
}
