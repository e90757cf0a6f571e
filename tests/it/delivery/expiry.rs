//! The end of a conversion's time: wherever it waits, and in steps that do not grow with what waits.

use serde_json::json;
use shared::domain::SiteId;
use tests::world::World;
use uuid::Uuid;

/// One call: rows looked at, ended, put first, and whether the walk came to its end.
async fn step(world: &World, limit: i32) -> anyhow::Result<(i32, i32, i32, bool)> {
    let row = world
        .sql
        .query_one(
            "select examined, expired, hastened, finished from relay.expire_conversions($1)",
            &[&limit],
        )
        .await?;
    Ok((row.get(0), row.get(1), row.get(2), row.get(3)))
}

#[tokio::test]
async fn a_conversion_ends_wherever_it_waits() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "parked", "error.INVALID_CONVERSION_ACTION_TYPE", 2).await?;
    world.enqueue_many(site, "later", "error.TOO_RECENT_EVENT", 3).await?;
    world.run_worker().await?;
    let bare = SiteId(Uuid::new_v4());
    world.enqueue_many(bare, "bare", "ok", 4).await?;
    world.let_pass("100 days").await?;

    let ended = step(&world, 1_000).await?;

    assert_eq!(ended, (7, 9, 0, true), "parked ones are not walked, but ended as well");
    assert_eq!(world.statuses().await?, "FAILED 9");
    for name in ["parked-0", "later-0", "bare-0"] {
        assert_eq!(world.standing(name).await?.outcome, "expired");
    }
    assert_eq!(world.number("select sum(failed_total)::bigint from relay.provider_upload_metrics").await?, 9);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_may_have_been_delivered_and_expires_says_so_wherever_it_waits() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    // It was taken, and the answer was lost; then the account is another.
    world.enqueue_many(site, "parked", "reset*1", 1).await?;
    world.run(json!({ "mode": "cron", "limit": 1 })).await?;
    world.put_credentials(site, json!({ "customer_id": "2234567890" })).await?;
    world.run_worker().await?;
    assert_eq!(world.standing("parked-0").await?.status, "HELD");
    let other = world.site(json!({})).await?;
    world.enqueue_many(other, "walked", "ok", 1).await?;
    world.enqueue_many(other, "unsent", "ok", 1).await?;
    world
        .sql
        .batch_execute(
            "update relay.ready set maybe_delivered = true, target = 1 where conversion_id in \
        (select conversion_id from relay.conversion_key where external_id = 'walked-0')",
        )
        .await?;
    let third = world.site(json!({})).await?;
    world.enqueue_many(third, "claimed", "ok", 1).await?;
    world
        .sql
        .batch_execute(
            "update relay.ready set maybe_delivered = true, target = 1 where conversion_id in \
        (select conversion_id from relay.conversion_key where external_id = 'claimed-0')",
        )
        .await?;
    world.let_pass("100 days").await?;

    world
        .run(json!({ "mode": "worker", "provider_key": "google_ads", "site_id": third.to_string() }))
        .await?;
    step(&world, 1_000).await?;

    for name in ["parked-0", "walked-0", "claimed-0"] {
        let standing = world.standing(name).await?;
        let said = (standing.status.as_str(), standing.outcome.as_str(), standing.last_error.as_str());
        assert_eq!(said, ("FAILED", "unconfirmed", "EXPIRED_PERHAPS_DELIVERED"), "{name}");
    }
    assert_eq!(world.standing("unsent-0").await?.last_error, "EXPIRED_BEFORE_DELIVERY");
    let sent = "select count(*) from relay.conversion_outcome \
                where code = 'EXPIRED_PERHAPS_DELIVERED' and sent_target is not null";
    assert_eq!(world.number(sent).await?, 3);
    assert_eq!(world.number("select sum(failed_total)::bigint from relay.provider_upload_metrics").await?, 4);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn the_walk_goes_on_where_it_stopped_and_begins_anew() -> anyhow::Result<()> {
    let world = World::new().await?;
    let bare = SiteId(Uuid::new_v4());
    world.enqueue_many(bare, "sale", "ok", 10).await?;
    world.let_pass("100 days").await?;

    let steps =
        [step(&world, 4).await?, step(&world, 4).await?, step(&world, 4).await?, step(&world, 4).await?];

    assert_eq!(steps, [(4, 4, 0, false), (4, 4, 0, false), (2, 2, 0, true), (0, 0, 0, true)]);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_nears_its_end_is_put_first() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "old", "ok", 3).await?;
    // Two days old when they came, ninety is the most: a day is left.
    world.let_pass("87 days").await?;
    world.enqueue_many(site, "new", "ok", 3).await?;

    let hastened = step(&world, 1_000).await?;

    assert_eq!(hastened, (6, 0, 3, true));
    assert_eq!(world.number("select count(*) from relay.ready where band = 0").await?, 3);
    assert_eq!(world.statuses().await?, "QUEUED 6", "the view finds them in their new place");
    world.run_worker().await?;
    assert_eq!(world.statuses().await?, "COMPLETED 6");
    world.assert_accounted_for().await
}
