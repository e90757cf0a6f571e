//! Rate limits and pauses: a provider that asked everybody to wait is left alone until the time that it named.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::engine::{Reply, SkipReason, Trigger};
use tests::world::World;

use super::{chores, run_chores};

fn worker() -> Value {
    json!({ "mode": "worker", "provider_key": "google_ads" })
}

#[tokio::test]
async fn a_rate_limit_of_everybody_pauses_the_provider_until_the_time_that_it_named() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "http.429*1", 3).await?;

    let first = world.run_worker().await?;
    let pauses = world.context.store.read_pauses().await?;
    let second = world.call_runner(worker()).await?;
    world.let_pass("2 hours").await?;
    let third = world.run_worker().await?;

    assert_eq!(first.completed, 0, "{first:?}");
    assert_eq!(pauses.len(), 1, "{pauses:?}");
    assert_eq!((pauses[0].reason.as_str(), pauses[0].site_id), ("RATE_LIMITED", None));
    let until = pauses[0].paused_until.expect("it ends by itself");
    let wait = until.duration_since(Timestamp::now());
    assert!(wait.is_positive() && wait < SignedDuration::from_hours(2), "{wait:?}");
    assert_eq!(second.map(drop), Reply::skipped(SkipReason::Paused));
    assert_eq!(third.completed, 3, "{third:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_rate_limit_of_one_key_leaves_the_others_alone() -> anyhow::Result<()> {
    let world = World::new().await?;
    let limited = world.site(json!({ "quota_key": "one" })).await?;
    let free = world.site(json!({ "quota_key": "two" })).await?;
    world.enqueue_many(limited, "limited", "http.429*1", 2).await?;
    world.run_worker().await?;
    world.enqueue_many(free, "free", "ok", 2).await?;

    let run = world.run_worker().await?;

    assert_eq!(run.completed, 2, "{run:?}");
    assert!(world.context.store.read_pauses().await?.is_empty());
    world.assert_accounted_for().await
}

#[tokio::test]
async fn an_operators_pause_outlasts_a_rate_limit() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "http.429*1", 1).await?;
    world.run_worker().await?;
    let store = &world.context.store;
    let google = shared::domain::ProviderKey::GoogleAds;
    store.pause_deliveries(google, None, None, "the agency moves its accounts").await?;

    let paused = store.pause_limited_provider(google).await?;

    assert_eq!(paused, None);
    let pauses = store.read_pauses().await?;
    assert_eq!((pauses.len(), pauses[0].reason.as_str()), (1, "the agency moves its accounts"));
    Ok(())
}

#[tokio::test]
async fn a_paused_task_is_skipped_until_it_is_resumed_or_its_time_has_come() -> anyhow::Result<()> {
    let world = World::new().await?;
    let store = &world.context.store;
    let task = chores();
    let run = || run_chores(&world, &task, Trigger::default(), async |_| Ok(()));
    let skipped = shared::engine::Ran::Skipped(SkipReason::Paused);

    store.pause_task("chores", None, "spring cleaning").await?;
    let paused = run().await?;
    assert!(store.resume_task("chores").await?);
    let resumed = run().await?;
    store.pause_task("chores", Some(Timestamp::now() + SignedDuration::from_mins(10)), "lunch").await?;
    let paused_again = run().await?;
    world.let_pass("11 minutes").await?;
    let after = run().await?;

    assert_eq!((paused, paused_again), (skipped, skipped));
    for ran in [resumed, after] {
        assert_ne!(ran, skipped);
    }
    assert!(!store.resume_task("chores").await?, "its time has passed");
    let told = "select count(*) from relay.task_runs where status = 'PAUSED' and notes in ('spring cleaning', 'lunch')";
    assert_eq!(world.number(told).await?, 2);
    Ok(())
}
