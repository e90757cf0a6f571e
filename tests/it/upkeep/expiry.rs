//! The task that ends what is past its time: near ends in each run, one site by itself, and steps that go on.

use anyhow::Context as _;
use serde_json::{Value, json};
use shared::domain::SiteId;
use shared::engine::tasks::expire;
use shared::store::ExpiryBand;
use tests::world::{World, fields};
use uuid::Uuid;

use super::bounds;

async fn expire(world: &World, event: Value) -> anyhow::Result<expire::Answer> {
    let request = expire::Request::parse(fields(event))?;
    expire::run(&world.context, &request, bounds()).await?.answer().context("skipped")
}

/// Three sites' worth of what waits: parked, later, and without credentials.
async fn waiting(world: &World) -> anyhow::Result<(SiteId, SiteId)> {
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "parked", "error.INVALID_CONVERSION_ACTION_TYPE", 2).await?;
    world.enqueue_many(site, "later", "error.TOO_RECENT_EVENT", 3).await?;
    world.run_worker().await?;
    let bare = SiteId(Uuid::new_v4());
    world.enqueue_many(bare, "bare", "ok", 4).await?;
    Ok((site, bare))
}

#[tokio::test]
async fn a_conversion_ends_wherever_it_waits() -> anyhow::Result<()> {
    let world = World::new().await?;
    waiting(&world).await?;
    world.let_pass("100 days").await?;

    let answer = expire(&world, json!({})).await?;

    assert_eq!((answer.expired, answer.processed, answer.finished), (9, 9, true), "{answer:?}");
    assert_eq!(world.statuses().await?, "FAILED 9");
    assert_eq!(world.number("select sum(failed_total)::bigint from relay.provider_upload_metrics").await?, 9);
    let counted = "select (counters ->> 'expired')::bigint from relay.task_runs where task_key = 'expire'";
    assert_eq!(world.number(counted).await?, 9);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_is_near_its_end_is_put_first_and_ended_in_time() -> anyhow::Result<()> {
    let world = World::new().await?;
    let bare = SiteId(Uuid::new_v4());
    world.enqueue_many(bare, "old", "ok", 3).await?;
    // Two days old when they came, ninety is the most: a day is left.
    world.let_pass("87 days").await?;
    world.enqueue_many(bare, "new", "ok", 3).await?;

    let first = expire(&world, json!({})).await?;
    world.let_pass("25 hours").await?;
    let then = expire(&world, json!({})).await?;

    assert_eq!((first.hastened, first.expired), (3, 0), "{first:?}");
    assert_eq!((then.hastened, then.expired), (0, 3), "{then:?}");
    assert_eq!(world.statuses().await?, "FAILED 3, HELD 3");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn one_site_is_ended_by_itself() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (site, bare) = waiting(&world).await?;
    world.let_pass("100 days").await?;

    let of_one = expire(&world, json!({ "site_id": site.to_string() })).await?;
    let standing = world.statuses().await?;
    let of_other = expire(&world, json!({ "site_id": bare.to_string() })).await?;

    assert_eq!(
        (of_one.expired, of_one.finished, standing.as_str()),
        (5, true, "FAILED 5, HELD 4"),
        "{of_one:?}"
    );
    assert_eq!(of_other.expired, 4);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn one_sites_rows_are_put_first_by_itself() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let bare = SiteId(Uuid::new_v4());
    world.enqueue_many(site, "old", "ok", 3).await?;
    world.enqueue_many(bare, "other", "ok", 2).await?;
    world.let_pass("87 days").await?;
    world.enqueue_many(site, "new", "ok", 3).await?;

    let answer = expire(&world, json!({ "site_id": site.to_string() })).await?;

    assert_eq!((answer.hastened, answer.expired, answer.finished), (3, 0, true), "{answer:?}");
    assert_eq!(world.number("select count(*) from relay.ready where band = 0").await?, 3);
    assert_eq!(world.run_worker().await?.completed, 6);
    world.assert_accounted_for().await
}

/// The walk over what is near its end costs what is near its end, and goes on where it stopped.
#[tokio::test]
async fn steps_go_on_and_meet_nothing_but_their_band() -> anyhow::Result<()> {
    let world = World::new().await?;
    for name in ["a", "b", "c"] {
        world.enqueue_many(SiteId(Uuid::new_v4()), name, "ok", 4).await?;
    }
    world.let_pass("87 days").await?;
    for name in ["d", "e"] {
        world.enqueue_many(SiteId(Uuid::new_v4()), name, "ok", 50).await?;
    }
    world.context.store.expire_conversions(1_000).await?;
    world.let_pass("2 days").await?;
    let store = &world.context.store;

    let (mut place, mut steps) = (None, Vec::new());
    for _ in 0..4 {
        let step = store.expire_waiting_conversions(None, ExpiryBand::Near, place.as_ref(), 5).await?;
        steps.push((step.examined, step.expired));
        place = step.next_after;
        if place.is_none() {
            break;
        }
    }

    assert_eq!(steps, [(5, 5), (5, 5), (2, 2)], "and none of the hundred that have time");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn more_that_is_parked_than_a_step_ends_is_ended_by_the_next() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "parked", "error.INVALID_CONVERSION_ACTION_TYPE", 5).await?;
    world.run_worker().await?;
    world.let_pass("100 days").await?;
    let store = &world.context.store;

    let first = store.expire_waiting_conversions(None, ExpiryBand::Near, None, 3).await?;
    let second =
        store.expire_waiting_conversions(None, ExpiryBand::Near, first.next_after.as_ref(), 3).await?;

    assert!(first.next_after.is_some(), "there is more");
    assert_eq!((first.expired, second.expired, second.next_after), (3, 2, None));
    assert_eq!(world.statuses().await?, "FAILED 5");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_came_back_for_a_site_that_was_removed_ends_with_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "flying", "ok", 2).await?;
    let claim = "select from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 10, 100, 100, 30)";
    world.sql.query(claim, &[]).await?;
    shared::engine::hands::remove_site(&world.context, site, &bounds()).await?;
    world.let_pass("1 hour").await?;
    world.recover(json!({ "min_age_minutes": 0 })).await?;

    let answer = expire(&world, json!({})).await?;

    assert_eq!((answer.cancelled, answer.expired, answer.processed), (2, 0, 2), "{answer:?}");
    world.assert_accounted_for().await
}
