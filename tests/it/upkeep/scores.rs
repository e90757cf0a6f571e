//! Scores: a day is counted once, a night reads one day, and twice gives the same.

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::json;
use shared::domain::SiteId;
use shared::engine::tasks::recompute_scores;
use shared::store::{Redrive, Score};
use tests::world::{World, fields};

use super::bounds;

/// One call by the clock of `days` from now, in the middle of the night.
async fn night(world: &World, days: i64) -> anyhow::Result<i64> {
    let at = Timestamp::now() + SignedDuration::from_hours(24 * days);
    let tally = "select day::text from relay.tally_deliveries(180, date_trunc('day', $1::timestamptz, 'UTC') + interval '2 hours')";
    let mut tallied = 0;
    while !world.sql.query(tally, &[&at]).await?.is_empty() {
        tallied += 1;
    }
    world.sql.query("select from relay.recompute_scores(180, null, $1)", &[&at]).await?;
    Ok(tallied)
}

async fn score(world: &World, site: SiteId) -> anyhow::Result<Score> {
    world.context.store.read_scores(None, Some(site), 1).await?.pop().context("there is no score")
}

#[tokio::test]
async fn a_score_is_the_share_of_delivered_among_those_that_speak() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let later = world.site(json!({ "transport": "data_manager" })).await?;
    let idle = world.site(json!({})).await?;
    world.enqueue_many(site, "ok", "ok", 15).await?;
    world.enqueue_many(site, "bad", "error.UNPARSEABLE_GCLID", 5).await?;
    world.enqueue_many(site, "foreign", "error.CLICK_NOT_FOUND", 7).await?;
    world.enqueue_many(later, "later", "ok", 30).await?;
    world.run_worker().await?;
    world.let_pass("1 hour").await?;
    world.confirm().await?;

    night(&world, 1).await?;

    let score_of = score(&world, site).await?;
    assert_eq!(
        (score_of.score, score_of.delivered, score_of.failed),
        (Some(Decimal::new(750, 1)), 15, 5),
        "{score_of:?}"
    );
    assert_eq!(
        (score_of.neutral, score_of.requests >= 1, score_of.requests_failed),
        (7, true, 0),
        "{score_of:?}"
    );
    let later = score(&world, later).await?;
    assert_eq!(
        (later.score, later.delivered),
        (Some(Decimal::new(1000, 1)), 30),
        "a receipt is an end: {later:?}"
    );
    let idle = score(&world, idle).await?;
    assert_eq!((idle.score, idle.delivered), (None, 0), "too little to say");
    let reads = world.database.connect_as("relay_operator").await?;
    reads.query("select score from relay.delivery_score", &[]).await?;
    Ok(())
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_a_night_reads_one_day() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "ok", "ok", 20).await?;
    world.run_worker().await?;

    let first = night(&world, 1).await?;
    let one = score(&world, site).await?;
    let again = night(&world, 1).await?;
    let other = score(&world, site).await?;
    let missed = night(&world, 3).await?;
    let next = night(&world, 4).await?;

    assert_eq!((first, again, missed, next), (180, 0, 2, 1));
    assert_eq!(one, other);
    Ok(())
}

#[tokio::test]
async fn a_full_day_is_counted_by_the_hour_and_comes_to_the_same() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let later = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue_many(site, "bad", "error.UNPARSEABLE_GCLID", 20).await?;
    world.enqueue_many(later, "later", "ok", 30).await?;
    world.run_worker().await?;
    world.let_pass("5 hours").await?;
    world.confirm().await?;
    world.enqueue_many(site, "good", "ok", 10).await?;
    world.run_worker().await?;
    let spread = "begin; set local session_replication_role = replica; update relay.conversion_outcome \
                  set recorded_at = recorded_at - conversion_id % 5 * interval '1 hour'; commit";
    world.sql.batch_execute(spread).await?;
    let day = "select to_jsonb(array_agg(delivery_day order by day, group_id)) from relay.delivery_day";
    let tally = "select hours_left, days_left from relay.tally_hours(3, $1, date_trunc('day', now(), 'UTC') + interval '26 hours')";
    let mut counted = Vec::new();
    for outcomes in [1_000_000, 5] {
        world.sql.batch_execute("delete from relay.scored_day; delete from relay.delivery_day").await?;
        let mut calls = 0;
        loop {
            let told = world.sql.query(tally, &[&outcomes]).await?;
            let Some(row) = told.first() else { break };
            calls += 1;
            anyhow::ensure!(row.get::<_, i32>("hours_left") < 24 && calls < 100, "{row:?}");
            world.sql.query("select from relay.recompute_scores(180, null)", &[]).await?;
        }
        counted.push((calls, world.sql.query_one(day, &[]).await?.get::<_, serde_json::Value>(0)));
    }

    assert_eq!(counted[0].1, counted[1].1);
    assert!(counted[0].0 == 3 && counted[1].0 > 5, "calls: {} and {}", counted[0].0, counted[1].0);
    assert_eq!(world.number("select sum(delivered)::bigint from relay.delivery_day").await?, 40);
    assert_eq!(world.number("select sum(failed)::bigint from relay.delivery_day").await?, 20);
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_that_goes_again_has_not_ended() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "bad", "error.UNPARSEABLE_GCLID", 20).await?;
    world.run_worker().await?;
    night(&world, 1).await?;
    let before = score(&world, site).await?;
    // The next day they are sent again, and refused again.
    world.let_weeks_pass(1).await?;
    world.sql.batch_execute("delete from relay.scored_day; delete from relay.delivery_day").await?;
    world
        .context
        .store
        .redrive_dead_letters(&Redrive { site: Some(site), ..Redrive::default() }, 100)
        .await?;
    world.run_worker().await?;
    night(&world, 1).await?;

    let after = score(&world, site).await?;
    assert_eq!((before.failed, after.failed), (20, 20), "each counts once: {after:?}");
    assert_eq!(
        world.number("select sum(failed)::bigint from relay.delivery_day where failed > 0").await?,
        20
    );
    Ok(())
}

#[tokio::test]
async fn days_before_the_window_do_not_count() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "ok", "ok", 20).await?;
    world.run_worker().await?;
    night(&world, 1).await?;

    night(&world, 180).await?;
    let within = score(&world, site).await?;
    night(&world, 181).await?;
    let beyond = score(&world, site).await?;

    assert_eq!((within.delivered, beyond.delivered, beyond.score), (20, 0, None));
    Ok(())
}

#[tokio::test]
async fn the_task_counts_what_is_over_and_tells_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "ok", "ok", 20).await?;
    world.run_worker().await?;
    world.let_weeks_pass(1).await?;
    let request = recompute_scores::Request::parse(fields(json!({ "site_id": site.to_string() })))?;

    let ran = recompute_scores::run(&world.context, &request, bounds()).await?.answer().context("skipped")?;

    assert_eq!(
        (ran.total, ran.processed, ran.days, ran.days_left, ran.window_days),
        (1, 1, 180, 0, 180),
        "{ran:?}"
    );
    assert_eq!(score(&world, site).await?.score, Some(Decimal::new(1000, 1)));
    Ok(())
}
