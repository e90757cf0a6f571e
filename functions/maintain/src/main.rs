//! The `maintain` function: runs the tasks that keep the house in order, by name or all of them.

use shared::boot::{self, Door, Function, InProduction};
use shared::engine::maintain;

const MAINTAIN: Function = Function {
    name: "maintain",
    doors: &[Door { method: "POST", path: "/api/cron/maintain", says: &[] }],
    production: InProduction::Allowed,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    boot::serve(&MAINTAIN, async |boot, call| {
        let (fields, bounds) = call.into_parts();
        let request = maintain::Request::parse(fields)?;
        maintain::run(boot.context().await?, &request, bounds).await
    })
    .await
}
