//! Pauses: a provider, or one site at it, stops and goes on.

use jiff::{Timestamp, ToSpan};
use serde_json::json;
use shared::domain::ProviderKey;
use shared::engine::{Reply, SkipReason};
use tests::world::World;

const GOOGLE: ProviderKey = ProviderKey::GoogleAds;

#[tokio::test]
async fn a_paused_provider_is_not_claimed_for_until_it_is_resumed() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let store = &world.context.store;
    world.enqueue_many(site, "sale", "ok", 3).await?;
    let version = "select sum(xmin::text::bigint)::bigint from relay.ready";
    let before = world.number(version).await?;

    assert!(store.pause_deliveries(GOOGLE, None, None, "the agency moves its accounts").await?);
    let paused = world.call_runner(json!({ "mode": "worker", "provider_key": "google_ads" })).await?;
    let id = world.number("select min(conversion_id) from relay.ready").await?;
    let told = store.explain_conversion(shared::domain::ConversionId(id)).await?.unwrap_or_default();
    // A run that had begun before, too.
    let claim =
        "select count(*) from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 10, 10, 10, 60)";
    assert_eq!(world.number(claim).await?, 0, "it claims in the middle of a pause");
    let after = world.number(version).await?;
    assert!(store.resume_deliveries(GOOGLE, None).await?);
    let resumed = world.run_worker().await?;

    assert_eq!(paused.map(|_| ()), Reply::skipped(SkipReason::Paused));
    assert_eq!((resumed.completed, before), (3, after));
    assert_eq!(
        (&told["blocked_by"], &told["blocked_because"]),
        (&json!("PAUSED"), &json!("the agency moves its accounts"))
    );
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_paused_site_waits_and_the_others_go_on() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (paused, other) = (world.site(json!({})).await?, world.site(json!({})).await?);
    let store = &world.context.store;
    let until = Timestamp::now() + 10.minutes();
    assert!(store.pause_deliveries(GOOGLE, Some(paused), Some(until), "wrong prices").await?);
    world.enqueue_many(paused, "paused", "ok", 2).await?;
    world.enqueue_many(other, "other", "ok", 2).await?;

    let during = world.run_worker().await?;
    world.let_pass("11 minutes").await?;
    let after = world.run_worker().await?;

    assert_eq!((during.completed, after.completed), (2, 2));
    assert!(store.read_pauses().await?.is_empty(), "its time has passed");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_resumed_site_goes_on_at_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let store = &world.context.store;
    store.pause_deliveries(GOOGLE, Some(site), None, "wrong prices").await?;
    world.enqueue_many(site, "sale", "ok", 2).await?;
    assert_eq!(world.run_worker().await?.processed, 0);

    assert!(store.resume_deliveries(GOOGLE, Some(site)).await?);
    assert!(!store.resume_deliveries(GOOGLE, Some(site)).await?, "there is nothing to resume twice");

    assert_eq!(world.run_worker().await?.completed, 2);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn new_credentials_lift_no_pause() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 2).await?;
    world.context.store.pause_deliveries(GOOGLE, Some(site), None, "wrong prices").await?;

    world.put_credentials(site, json!({})).await?;

    assert_eq!(world.run_worker().await?.processed, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_pause_of_nothing_or_of_no_time_is_refused() -> anyhow::Result<()> {
    let world = World::new().await?;
    let store = &world.context.store;
    let nobody = shared::domain::SiteId(uuid::Uuid::new_v4());

    assert!(!store.pause_deliveries(GOOGLE, Some(nobody), None, "why").await?);
    let past = Some(Timestamp::now() - 1.minutes());
    assert!(store.pause_deliveries(GOOGLE, None, past, "why").await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_pause_that_is_made_shorter_ends_then() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 1).await?;
    let store = &world.context.store;
    store.pause_deliveries(GOOGLE, Some(site), None, "for good").await?;
    store.pause_deliveries(GOOGLE, Some(site), Some(Timestamp::now() + 10.minutes()), "for now").await?;

    let id = world.number("select conversion_id from relay.ready").await?;
    let told = store.explain_conversion(shared::domain::ConversionId(id)).await?.unwrap_or_default();
    world.let_pass("11 minutes").await?;

    assert_eq!(told["blocked_because"], "for now");
    assert_eq!(world.run_worker().await?.completed, 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn resuming_keeps_what_the_provider_asked_for() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 1).await?;
    let store = &world.context.store;
    world
        .sql
        .batch_execute(
            "update relay.delivery_group set throttled_until = clock_timestamp() + interval '20 minutes'",
        )
        .await?;
    store.pause_deliveries(GOOGLE, Some(site), None, "wrong prices").await?;

    store.resume_deliveries(GOOGLE, Some(site)).await?;

    assert_eq!(world.run_worker().await?.processed, 0);
    world.let_pass("21 minutes").await?;
    assert_eq!(world.run_worker().await?.completed, 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn pauses_of_many_hands_never_meet_in_a_ring() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let mut hands = tokio::task::JoinSet::new();
    for hand in 0..4 {
        let sql = world.database.connect().await?;
        hands.spawn(async move {
            for _ in 0..25 {
                let site = (hand < 3).then_some(site.0);
                sql.query("select relay.pause_deliveries('google_ads', $1, null, 'why')", &[&site]).await?;
                sql.query("select relay.resume_deliveries('google_ads', $1)", &[&site]).await?;
            }
            anyhow::Ok(())
        });
    }

    while let Some(hand) = hands.join_next().await {
        hand??;
    }

    world.assert_accounted_for().await
}
