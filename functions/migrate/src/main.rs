//! The `migrate` function: brings the schema to the newest version. Invoked on deploy; it takes no fields.

use shared::boot::{self, Function, InProduction};

const MIGRATE: Function = Function { name: "migrate", doors: &[], production: InProduction::Allowed };

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    boot::serve(&MIGRATE, async |boot, call| {
        call.fields.finish(&["(none)"])?;
        boot::migrate(&boot.config).await
    })
    .await
}
