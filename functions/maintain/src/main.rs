//! The `maintain` function: runs the tasks that keep the house in order, by name or all of them.

use shared::boot::{self, functions::MAINTAIN};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    boot::serve(&MAINTAIN).await
}
