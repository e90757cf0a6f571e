//! The `health` function: whether the process is up, and whether it is ready. Anybody may ask.

use serde_json::json;

use crate::boot::health::Found;
use crate::boot::{Answer, Boot, Call, Callers, Door, Function, InProduction};
use crate::engine::BadRequest;

/// Says whether the process is up, and whether it is ready.
pub const HEALTH: Function = Function {
    name: "health",
    doors: &[
        Door { method: "GET", path: "/health/live", says: &[("check", "live")] },
        Door { method: "GET", path: "/health/ready", says: &[("check", "ready")] },
    ],
    production: InProduction::Allowed,
    callers: Callers::Anybody,
    handler: |boot, call| Box::pin(handle(boot, call)),
};

async fn handle(boot: &Boot, mut call: Call) -> anyhow::Result<Answer> {
    let check = call.fields.text("check")?;
    call.fields.finish(&["check"])?;
    match check.as_deref() {
        Some("live") => Answer::done(&json!({ "status": "ok" })),
        Some("ready") => {
            let readiness = boot.health.look(&boot.config).await;
            Answer::with(if readiness.status == Found::Ok { 200 } else { 503 }, &readiness)
        }
        _ => Err(BadRequest("check must be live or ready".to_owned()).into()),
    }
}
