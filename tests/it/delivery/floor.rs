//! The floor under a group's ordinary rows: what a claim does not walk, and how soon it finds what lies below.

use serde_json::json;
use tests::world::World;

const FLOOR: &str = "select (floor_at > '-infinity')::integer::bigint from relay.delivery_group";

/// A run that takes one row leaves the group with a floor.
async fn with_a_floor(world: &World) -> anyhow::Result<()> {
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;
    world.let_pass("10 minutes").await?;
    world.run(json!({ "mode": "cron", "limit": 1 })).await?;
    assert_eq!(world.number(FLOOR).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_row_that_comes_in_below_the_floor_is_found_when_the_floor_is_no_longer_believed()
-> anyhow::Result<()> {
    let world = World::new().await?;
    with_a_floor(&world).await?;
    // As a transaction does that took longer than any of ours.
    world
        .sql
        .batch_execute(
            "update relay.ready set next_attempt_at = next_attempt_at - interval '1 hour'; \
             update relay.conversion set due_at = due_at - interval '1 hour'",
        )
        .await?;

    let before = world.run_worker().await?;
    world.let_pass("6 minutes").await?;
    let after = world.run_worker().await?;

    assert_eq!((before.completed, after.completed), (0, 2));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn the_floor_stays_behind_the_clock_for_those_that_are_on_their_way_in() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;
    world.run(json!({ "mode": "cron", "limit": 1 })).await?;
    // Its transaction began 29 s before the claim saw the group (the request left right after that), and ends after it.
    world
        .sql
        .batch_execute(
            "update relay.ready set next_attempt_at = opened_at - interval '29 seconds' \
             from relay.provider_upload_attempts; \
             update relay.conversion set due_at = opened_at - interval '29 seconds' \
             from relay.provider_upload_attempts",
        )
        .await?;

    let answer = world.run_worker().await?;

    assert_eq!(answer.completed, 2, "{answer:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_row_that_is_enqueued_late_is_due_no_earlier_than_now() -> anyhow::Result<()> {
    let world = World::new().await?;
    with_a_floor(&world).await?;
    let site = world.sql.query_one("select site_id from relay.site", &[]).await?.get(0);
    let site = shared::domain::SiteId(site);
    // Clicked and bought long ago: it was due before the floor was laid.
    let clicked = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(72);
    world
        .enqueue(site, &[json!({ "external_id": "late", "clicked_at": clicked.to_string(), "click_ids": { "gclid": "sandbox-ok-late" } })])
        .await?;

    world.run_worker().await?;

    assert_eq!(world.standing("late").await?.status, "COMPLETED");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_claim_lays_a_floor() -> anyhow::Result<()> {
    let world = World::new().await?;

    with_a_floor(&world).await
}

/// Two sites; the line's floor is laid by a run, and then one group is put below it.
async fn with_a_group_in_line(world: &World, before: &str) -> anyhow::Result<()> {
    world.enqueue_many(world.site(json!({})).await?, "first", "ok", 1).await?;
    assert_eq!(world.run_worker().await?.completed, 1);
    world.enqueue_many(world.site(json!({})).await?, "second", "ok", 1).await?;
    let put = format!(
        "update relay.delivery_group set turn_at = clock_timestamp() - interval '{before}' where turn_at < 'infinity'"
    );
    Ok(world.sql.batch_execute(&put).await?)
}

#[tokio::test]
async fn the_lines_floor_stays_behind_the_clock() -> anyhow::Result<()> {
    let world = World::new().await?;
    with_a_group_in_line(&world, "20 seconds").await?;

    assert_eq!(world.run_worker().await?.completed, 1, "it was put there by a transaction of 20 s");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_group_below_the_lines_floor_is_found_when_that_is_no_longer_believed() -> anyhow::Result<()> {
    let world = World::new().await?;
    with_a_group_in_line(&world, "10 minutes").await?;

    let before = world.run_worker().await?;
    world.let_pass("6 minutes").await?;
    let after = world.run_worker().await?;

    assert_eq!((before.completed, after.completed), (0, 1));
    world.assert_accounted_for().await
}

/// One row that expires within 48 hours is taken, and two are left.
async fn with_urgent_rows(world: &World) -> anyhow::Result<()> {
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;
    world
        .sql
        .batch_execute(
            "update relay.ready set band = 0, expires_at = clock_timestamp() + interval '30 hours'",
        )
        .await?;
    world.let_pass("10 minutes").await?;
    world.run(json!({ "mode": "cron", "limit": 1 })).await?;
    Ok(())
}

#[tokio::test]
async fn urgent_rows_have_a_floor_of_their_own() -> anyhow::Result<()> {
    let world = World::new().await?;

    with_urgent_rows(&world).await?;

    let floor = "select (urgent_floor_at > '-infinity')::integer::bigint from relay.delivery_group";
    assert_eq!(world.number(floor).await?, 1);
    assert_eq!(world.run_worker().await?.completed, 2);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_row_that_is_put_first_is_found_at_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    with_urgent_rows(&world).await?;
    assert_eq!(world.run_worker().await?.completed, 2);
    let site =
        shared::domain::SiteId(world.sql.query_one("select site_id from relay.site", &[]).await?.get(0));
    world.enqueue_many(site, "slow", "ok", 1).await?;
    // It waits, held for long, and comes near its end; the urgent ones have a floor meanwhile.
    world
        .sql
        .batch_execute(
            "update relay.ready set expires_at = clock_timestamp() + interval '40 hours', \
             next_attempt_at = next_attempt_at - interval '20 minutes'; \
             update relay.conversion set due_at = due_at - interval '20 minutes' where external_id = 'slow-0'; \
             update relay.delivery_group set urgent_floor_at = clock_timestamp() - interval '30 seconds', \
             floor_until = clock_timestamp() + interval '4 minutes'",
        )
        .await?;

    world.sql.batch_execute("select relay.expire_conversions(1000)").await?;

    assert_eq!(world.number("select band::bigint from relay.ready").await?, 0);
    assert_eq!(world.run_worker().await?.completed, 1);
    world.assert_accounted_for().await
}
