//! Delayed rows come back without anyone's help: the schedules alone bring everything to its end.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use shared::engine::maintain;
use tests::world::{World, fields};

use super::bounds;

/// What the schedules call in half an hour: uploads, receipts, recovery, maintenance.
async fn half_an_hour(world: &World) -> anyhow::Result<()> {
    world.let_pass("30 minutes").await?;
    world.run_worker().await?;
    let request = maintain::Request::parse(fields(json!({ "tasks": ["recover", "confirm", "expire"] })))?;
    let answer = maintain::run(&world.context, &request, bounds()).await?;
    anyhow::ensure!(answer.ok && answer.processed == 3, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn whatever_was_delayed_comes_to_its_end_by_the_schedules_alone() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let later = world.site(json!({ "transport": "data_manager" })).await?;
    // Too early for the platform, told to wait, a fault of the moment, an answer that comes later, a runner that dies.
    let young = Timestamp::now() - SignedDuration::from_hours(1);
    world.enqueue(site, &[json!({
        "external_id": "young", "click_ids": { "gclid": "sandbox-ok-young" }, "clicked_at": young.to_string(),
        "occurred_at": Timestamp::now().to_string(),
    })]).await?;
    world.enqueue_many(site, "early", "error.TOO_RECENT_EVENT", 2).await?;
    world.enqueue_many(site, "moment", "error.internalError.INTERNAL_ERROR", 2).await?;
    world.enqueue_many(later, "receipt", "ok", 2).await?;
    world.run_worker().await?;
    world.enqueue_many(site, "lost", "ok", 2).await?;
    let claim = "select from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 10, 100, 100, 60)";
    world.sql.query(claim, &[]).await?;
    let waiting =
        "select count(*) from relay.offline_conversion_queue where status not in ('COMPLETED', 'FAILED')";
    assert_eq!(world.number(waiting).await?, 9);

    let mut delivered = BTreeSet::new();
    for _ in 0..16 {
        half_an_hour(&world).await?;
        for name in ["young", "receipt-0", "receipt-1", "lost-0", "lost-1"] {
            if world.standing(name).await?.status == "COMPLETED" {
                delivered.insert(name);
            }
        }
    }
    // Those that are refused for ever end by their own limits, some with their last day.
    for _ in 0..30 {
        if world.number(waiting).await? == 0 {
            break;
        }
        world.let_pass("5 days").await?;
        half_an_hour(&world).await?;
    }

    assert_eq!(delivered.len(), 5, "{delivered:?}");
    assert_eq!(world.number(waiting).await?, 0);
    world.assert_accounted_for().await
}
