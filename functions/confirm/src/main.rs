//! The `confirm` function: reads the receipts of `SUBMITTED` conversions and brings each of them to its end.

use shared::boot::{self, Function, InProduction};
use shared::engine::tasks::confirm;

const CONFIRM: Function = Function { name: "confirm", doors: &[], production: InProduction::Allowed };

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    boot::serve(&CONFIRM, async |boot, call| {
        let (fields, bounds) = call.into_parts();
        let request = confirm::Request::parse(fields)?;
        confirm::run(boot.context().await?, &request, bounds).await
    })
    .await
}
