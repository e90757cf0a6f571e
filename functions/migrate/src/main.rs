//! The `migrate` function: brings the schema to the newest version. Invoked on deploy; it takes no fields.

use shared::boot::{self, functions::MIGRATE};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    boot::serve(&MIGRATE).await
}
