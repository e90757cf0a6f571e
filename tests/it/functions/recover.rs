//! The recover function.

use serde_json::json;
use tests::lambda::Invocation;
use tests::world::{CRON_SECRET, World};

use super::{answer, http, invoke, start};

#[tokio::test]
async fn it_answers_with_every_count() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut recover = start("recover", &world.environment()).await?;

    let scheduled =
        answer(&mut recover, json!({ "min_age_minutes": 15, "scheduled_time": "2026-11-22T10:00:00Z" }))
            .await?;
    let secret = json!({ "x-cron-secret": CRON_SECRET });
    let path = "/api/cron/providers/recover-processing";
    let (status, over_http) = http(&mut recover, "POST", path, "min_age_minutes=3", secret, None).await?;

    let expected = json!({
        "ok": true, "recovered": 0, "requeued": 0, "exhausted": 0, "attempts_settled": 0, "leases_freed": 0,
        "redriven": 0, "min_age_minutes": 15, "errors": [],
    });
    assert_eq!(scheduled, expected);
    assert_eq!((status, over_http["min_age_minutes"].clone()), (200, json!(3)));
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_by_name() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut recover = start("recover", &world.environment()).await?;

    for (event, told) in [
        (json!({ "min_age_minutes": -1 }), "min_age_minutes must be a whole number"),
        (json!({ "min_age": 5 }), "min_age is no field"),
        (json!({ "redrive": {} }), "redrive must name"),
        (json!({ "redrive": { "codes": "x" } }), "codes is no field"),
        (json!({ "redrive": true }), "redrive must be an object"),
    ] {
        let refused = invoke(&mut recover, event.clone()).await?;
        let Invocation::Failed(error) = refused else { panic!("{event}: {refused:?}") };
        assert!(error.to_string().contains(told), "{event}: {error}");
    }
    Ok(())
}
