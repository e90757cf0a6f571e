//! The circuit of a whole provider: an outage is probed once, not by every group.

use serde_json::json;
use tests::world::World;

const PROVIDER: &str = "select count(*) from relay.provider_circuit where state = ";

/// Groups whose requests all fail, and some that deliver.
async fn outage(world: &World, failing: usize, healthy: usize) -> anyhow::Result<()> {
    for number in 0..failing {
        world.enqueue_many(world.site(json!({})).await?, &format!("bad-{number}"), "http.503", 6).await?;
    }
    for number in 0..healthy {
        world.enqueue_many(world.site(json!({})).await?, &format!("good-{number}"), "ok", 2).await?;
    }
    Ok(())
}

async fn state(world: &World, state: &str) -> anyhow::Result<bool> {
    Ok(world.number(&format!("{PROVIDER}'{state}'")).await? == 1)
}

#[tokio::test]
async fn more_than_half_of_the_active_groups_open_the_providers_circuit() -> anyhow::Result<()> {
    let world = World::new().await?;
    outage(&world, 8, 0).await?;

    let answer = world.run_worker().await?;

    assert!(state(&world, "OPEN").await?, "{answer:?}");
    let open = world.number("select count(*) from relay.provider_health_state where state = 'OPEN'").await?;
    assert!((3..=8).contains(&open), "{open}");
    // Whoever is due is told so, and nobody is visited.
    world.enqueue_many(world.site(json!({})).await?, "new", "ok", 1).await?;
    assert_eq!(world.run_worker().await?.processed, 0);
    let standing = world.standing("new-0").await?;
    assert_eq!((standing.status.as_str(), standing.last_error.as_str()), ("QUEUED", "CIRCUIT_OPEN"));
    assert!(standing.next_retry_at > Some(jiff::Timestamp::now()));
    let id = world.number("select conversion_id from relay.conversion where external_id = 'new-0'").await?;
    let told = world.context.store.explain_conversion(shared::domain::ConversionId(id)).await?;
    assert_eq!(told.unwrap_or_default()["blocked_by"], "PROVIDER_CIRCUIT_OPEN");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_few_failing_groups_among_many_that_deliver_stop_nobody_else() -> anyhow::Result<()> {
    let world = World::new().await?;
    outage(&world, 4, 6).await?;

    world.run_worker().await?;

    assert!(state(&world, "CLOSED").await?);
    assert_eq!(world.statuses().await?, "COMPLETED 12, RETRY 24");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn one_request_probes_for_all_and_a_failure_opens_again() -> anyhow::Result<()> {
    let world = World::new().await?;
    outage(&world, 8, 0).await?;
    world.run_worker().await?;
    let before = world.number("select count(*) from relay.provider_upload_attempts").await?;
    world.let_pass("7 minutes").await?;

    world.run_worker().await?;

    assert_eq!(world.number("select count(*) from relay.provider_upload_attempts").await?, before + 1);
    assert!(state(&world, "OPEN").await?);
    assert_eq!(world.number("select failure_count::bigint from relay.provider_circuit").await?, 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn an_answer_closes_it_and_all_go_on() -> anyhow::Result<()> {
    let world = World::new().await?;
    for number in 0..6 {
        let name = format!("sale-{number}");
        world.enqueue_many(world.site(json!({})).await?, &name, "http.503*5", 1).await?;
    }
    world.run_worker().await?;
    assert!(state(&world, "OPEN").await?);

    for _ in 0..12 {
        world.let_pass("7 minutes").await?;
        world.run_worker().await?;
    }

    assert!(state(&world, "CLOSED").await?);
    assert_eq!(world.statuses().await?, "COMPLETED 6");
    assert_eq!(world.sandbox.summary().totals.conversions_counted, 6);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_probe_that_is_lost_is_due_again_and_is_not_counted() -> anyhow::Result<()> {
    let world = World::new().await?;
    outage(&world, 8, 0).await?;
    world.run_worker().await?;
    world.let_pass("7 minutes").await?;
    let claim =
        "select count(*) from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 50, 50, 50, 60)";

    let first = world.number(claim).await?;
    let second = world.number(claim).await?;
    world.let_pass("61 seconds").await?;
    let third = world.number(claim).await?;

    assert_eq!((first, second, third), (1, 0, 1), "one probes at a time, and again when it was lost");
    assert_eq!(world.number("select failure_count::bigint from relay.provider_circuit").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_late_answer_of_a_probe_that_was_given_up_on_changes_nothing() -> anyhow::Result<()> {
    let world = World::new().await?;
    outage(&world, 8, 0).await?;
    world.run_worker().await?;
    world.let_pass("7 minutes").await?;
    let claim = "select claim_token from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 50, 50, 50, 60)";
    let late: uuid::Uuid = world.sql.query_one(claim, &[]).await?.get(0);
    world.let_pass("61 seconds").await?;
    let probe: uuid::Uuid = world.sql.query_one(claim, &[]).await?.get(0);

    let told = "select change from relay.record_provider_probe($1, 'answered', clock_timestamp()) as change";
    let late: Option<String> = world.sql.query_one(told, &[&late]).await?.get(0);
    let answered: Option<String> = world.sql.query_one(told, &[&probe]).await?.get(0);

    assert_eq!((late, answered.as_deref()), (None, Some("provider_closed")));
    Ok(())
}

#[tokio::test]
async fn one_of_many_probes_for_all_and_nobody_waits() -> anyhow::Result<()> {
    let world = World::new().await?;
    outage(&world, 8, 0).await?;
    world.run_worker().await?;
    world.let_pass("7 minutes").await?;
    let curtain = world.database.connect().await?;
    curtain.batch_execute("begin; select from relay.provider_circuit for update").await?;
    let claim = "set lock_timeout = '5 s'; \
                 select from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 50, 50, 50, 60)";

    // Waits for the curtain where it waits at all, and that does not rise.
    world.sql.batch_execute(claim).await?;

    assert_eq!(world.number("select count(*) from relay.inflight").await?, 0);
    curtain.batch_execute("rollback").await?;
    world.sql.batch_execute(claim).await?;
    assert_eq!(world.number("select count(*) from relay.inflight").await?, 1);
    Ok(())
}
