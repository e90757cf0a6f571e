//! The line in which groups wait for a claim.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;
use shared::domain::{ClaimToken, Class, Omitted, Outcome, ProviderKey, Secret};
use shared::store::{
    CircuitResult, ClaimRequest, DatabaseConfig, Settled, SettledRow, Settlement, SlotUse, Store,
};
use tests::world::{World, begin_run};

/// How many groups stand in line.
const IN_LINE: &str = "select count(*) from relay.delivery_group where turn_at < 'infinity'";

#[tokio::test]
async fn a_group_that_has_nothing_left_leaves_the_line() -> anyhow::Result<()> {
    let world = World::new().await?;
    for name in ["a", "b", "c"] {
        world.enqueue_many(world.site(json!({})).await?, name, "ok", 3).await?;
    }

    let answer = world.run_worker().await?;

    assert_eq!(answer.completed, 9, "{answer:?}");
    assert_eq!(world.number(IN_LINE).await?, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn many_idle_groups_hide_no_work_from_a_run() -> anyhow::Result<()> {
    let world = World::new().await?;
    // As many as all rounds of a claim visit, and some.
    for number in 0..220 {
        world.enqueue_many(world.site(json!({})).await?, &format!("sale-{number}"), "ok", 1).await?;
    }
    assert_eq!(world.run_worker().await?.completed, 220);
    world.enqueue_many(world.site(json!({})).await?, "late", "ok", 1).await?;

    let answer = world.run_worker().await?;

    assert_eq!(answer.completed, 1, "{answer:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_goes_back_while_a_claim_empties_the_group_is_not_forgotten() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 1).await?;
    // Two are to wait until the curtain rises, however slow the machine.
    world.let_locks_take_long().await?;
    let url = Secret::new(world.database.url_as("relay_service"));
    let store = Store::connect(&DatabaseConfig::parse(&url).map_err(anyhow::Error::msg)?).await?;
    let run = begin_run(&store, "upload:google_ads").await?;
    let ask = ClaimRequest {
        run,
        provider: ProviderKey::GoogleAds,
        site: None,
        groups: 10,
        rows: 10,
        batch: 10,
        lease: Duration::from_secs(30),
    };
    let claimed = store.claim_offline_conversion_jobs_v2(&ask).await?;
    let token = claimed[0].token.context("a claim")?;
    // The second claim ends a row that has expired, finds the group empty, and waits at its metrics with that.
    world.enqueue_many(site, "old", "ok", 1).await?;
    world.sql.batch_execute("update relay.ready set expires_at = clock_timestamp() - interval '1 s'").await?;
    let curtain = world.database.connect().await?;
    curtain.batch_execute("begin; select from relay.provider_upload_metrics for update").await?;
    let emptying = tokio::spawn({
        let store = store.clone();
        async move { store.claim_offline_conversion_jobs_v2(&ask).await }
    });
    wait_for_waiting(&world, 1).await?;
    let going_back = tokio::spawn(async move { store.settle_claimed_conversions(&unanswered(token)).await });
    wait_for_waiting(&world, 2).await?;

    curtain.batch_execute("rollback").await?;

    assert_eq!(emptying.await??[0].expired, 1);
    assert!(matches!(going_back.await??, Settled::Accepted { .. }));
    assert_eq!(world.number(IN_LINE).await?, 1);
    assert_eq!(world.run_worker().await?.completed, 1);
    world.assert_accounted_for().await
}

/// Both write to the metrics of several groups: the walk in their order, a claim in that of the line.
#[tokio::test]
async fn a_claim_and_the_expiry_walk_never_wait_for_each_other_in_a_ring() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (one, other) = (world.site(json!({})).await?, world.site(json!({})).await?);
    let park = "select relay.settle_offline_conversions(claim_token, null, array['HELD'], array[null], array['CODE'], \
                array[0], array[null]::timestamptz[], array['row'], array['1'], 'none', null, null, null, null, null, null, \
                null, null, null, false) \
                from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 10, 10, 10, 60)";
    world.enqueue_many(one, "parked", "ok", 1).await?;
    world.enqueue_many(other, "parked", "ok", 1).await?;
    world.sql.batch_execute(park).await?;
    world.enqueue_many(one, "ready", "ok", 1).await?;
    world.enqueue_many(other, "ready", "ok", 1).await?;
    // All is past its time; the walk stands beyond what is ready, and will end what is parked.
    world
        .sql
        .batch_execute(
            "update relay.ready set expires_at = now(); update relay.held set expires_at = now(); \
             update relay.expiry_walk set group_id = 1000; \
             update relay.delivery_group set turn_at = now() - interval '1 second' * group_id",
        )
        .await?;
    let curtain = world.database.connect().await?;
    curtain
        .batch_execute("begin; select from relay.provider_upload_metrics where group_id = 2 for update")
        .await?;
    let (claimer, walker) = (world.database.connect().await?, world.database.connect().await?);
    let claim = "select from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 10, 10, 10, 60)";
    let claiming = tokio::spawn(async move { claimer.batch_execute(claim).await });
    wait_for_waiting(&world, 1).await?;
    let walking =
        tokio::spawn(async move { walker.batch_execute("select from relay.expire_conversions(10)").await });
    wait_for_waiting(&world, 2).await?;

    curtain.batch_execute("rollback").await?;

    claiming.await??;
    walking.await??;
    assert_eq!(world.statuses().await?, "FAILED 4");
    world.assert_accounted_for().await
}

/// The one row of a claim goes back, due at once.
fn unanswered(token: ClaimToken) -> Settlement {
    let row = SettledRow {
        outcome: Outcome::Unanswered,
        class: Some(Class::Split),
        code: None,
        wait: Duration::ZERO,
        not_before: None,
        hold: None,
        omitted: Omitted::NONE,
        part: None,
    };
    Settlement {
        token,
        attempt: None,
        rows: vec![row],
        circuit: CircuitResult::None,
        group_hold: None,
        transport: None,
        throttle: None,
        slot: SlotUse::Free,
    }
}

/// Until so many connections wait for a lock.
async fn wait_for_waiting(world: &World, connections: i64) -> anyhow::Result<()> {
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    let limit = Instant::now() + Duration::from_secs(30);
    while world.number(waiting).await? < connections {
        anyhow::ensure!(Instant::now() < limit, "nobody waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

#[tokio::test]
async fn metrics_count_every_request_that_was_answered() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue_many(site, "good", "ok", 7).await?;
    world.enqueue_many(site, "poison", "http.400", 1).await?;

    world.run_worker().await?;

    let attempts = world.number("select count(*) from relay.provider_upload_attempts").await?;
    assert!(attempts > 3, "{attempts}");
    assert_eq!(world.number("select attempts_total from relay.provider_upload_metrics").await?, attempts);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn idle_groups_at_the_head_hide_nobody() -> anyhow::Result<()> {
    let world = World::new().await?;
    // As new credentials leave them: in line, and with nothing due. More than all rounds of a claim visit.
    world
        .sql
        .batch_execute(
            "select relay.ensure_groups(array_agg(gen_random_uuid()), array_agg('google_ads'::text), clock_timestamp()) \
             from generate_series(1, 1500)",
        )
        .await?;
    let site = world.site(json!({})).await?;
    world
        .sql
        .batch_execute(
            "update relay.delivery_group set hold_id = null, turn_at = clock_timestamp() - interval '20 seconds', \
             quota_key = (select quota_key from relay.quota)",
        )
        .await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;

    let answer = world.run_worker().await?;

    assert_eq!(answer.completed, 3, "{answer:?}");
    assert_eq!(world.number(IN_LINE).await?, 0);
    world.assert_accounted_for().await
}
