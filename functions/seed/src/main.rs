//! The `seed` function: stores a site's provider credentials, sealed. Refused in production before anything is read.

use shared::boot::{self, functions::SEED};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    boot::serve(&SEED).await
}
