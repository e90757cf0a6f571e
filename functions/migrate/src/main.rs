//! The `migrate` function: brings the schema to the newest version. Invoked by CloudFormation on deploy, whose event it
//! answers, or by hand without fields.

use shared::boot::{self, functions::MIGRATE};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    boot::serve(&MIGRATE).await
}
