//! Retention: history goes by whole weeks, and never what still lives, or what something that lives refers to.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use shared::engine::Bounds;
use shared::engine::tasks::prune;
use shared::store::{Pruned, Redrive, StoreError};
use tests::world::{World, begin_run, fields};

/// Steps until nothing is left: all that was dropped, and the last answer.
async fn prune_all(world: &World, limit: i32) -> anyhow::Result<(Vec<String>, Pruned)> {
    let mut dropped = Vec::new();
    for _ in 0..1_000 {
        let step = world.context.store.prune_history(400, limit).await?;
        world.assert_accounted_for().await?;
        dropped.extend(step.dropped.clone());
        if step.finished {
            return Ok((dropped, step));
        }
        anyhow::ensure!(step.busy.is_none(), "{step:?}");
    }
    anyhow::bail!("it never ends")
}

#[tokio::test]
async fn what_is_past_its_retention_goes_and_nothing_else() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let later = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue_many(site, "old", "ok", 30).await?;
    world.enqueue_many(later, "submitted", "ok", 5).await?;
    world.run_worker().await?;
    world.sql.batch_execute("update relay.receipt set state = 'SETTLED', outcome = 'DELIVERED'").await?;
    // 60 weeks in all: 58 are more than 400 days, but on a Monday their week does not lie wholly before those.
    world.let_weeks_pass(10).await?;
    world.enqueue_many(site, "kept", "ok", 10).await?;
    world.run_worker().await?;
    // 350 days: within.
    world.let_weeks_pass(50).await?;
    world.enqueue_many(site, "new", "ok", 4).await?;
    world.run_worker().await?;
    assert_eq!(world.statuses().await?, "COMPLETED 49");

    let request = prune::Request::parse(fields(json!({})))?;
    let answer = prune::run(&world.context, &request, Bounds::after(Duration::from_secs(60))).await?;
    let answer = answer.answer().context("skipped")?;

    assert!(answer.ok && answer.finished, "{answer:?}");
    assert_eq!((answer.keys, answer.receipts, answer.skipped), (35, 1, 0), "{answer:?}");
    assert_eq!((answer.total, answer.processed, answer.dropped.len()), (3, 3, 3), "{answer:?}");
    assert_eq!(world.statuses().await?, "COMPLETED 14");
    for table in ["conversion", "conversion_key"] {
        assert_eq!(world.number(&format!("select count(*) from relay.{table}")).await?, 14, "{table}");
    }
    let orphans = "select count(*) from relay.provider_upload_attempts as a \
                   where not exists (select from relay.conversion_outcome as o where o.attempt_id = a.attempt_id)";
    assert_eq!(world.number(orphans).await?, 0, "the ledger of the old week is gone as well");
    assert!(world.context.store.look_up_conversions("old-0", 5).await?.is_empty());
    assert_eq!(world.context.store.look_up_conversions("kept-0", 5).await?.len(), 1);
    world.enqueue_many(site, "old", "ok", 1).await?;
    assert_eq!(world.run_worker().await?.completed, 1, "what is forgotten is new again");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn the_accounts_add_up_after_every_step() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "old", "ok", 20).await?;
    world.enqueue_many(site, "dead", "error.UNPARSEABLE_GCLID", 5).await?;
    world.run_worker().await?;
    world.let_weeks_pass(1).await?;
    world.enqueue_many(site, "older", "ok", 7).await?;
    world.run_worker().await?;
    world.let_weeks_pass(60).await?;

    let (dropped, last) = prune_all(&world, 7).await?;

    assert_eq!(dropped.len(), 6, "{dropped:?}");
    let of = |parent: &str| dropped.iter().position(|name| name.starts_with(parent)).unwrap();
    assert!(
        of("conversion_outcome") < of("conversion_2"),
        "outcomes go before what they are of: {dropped:?}"
    );
    assert!(of("provider_upload") > of("conversion_2"), "{dropped:?}");
    assert_eq!((last.skipped.len(), world.statuses().await?.as_str()), (0, ""));
    assert_eq!(world.number("select count(*) from relay.conversion_key").await?, 0);
    Ok(())
}

/// A week in which something lives, and one after it in which nothing does. The live one's row has waited without
/// having expired, which expiry would see to.
async fn with_a_live_week(world: &World, directive: &str, transport: &str) -> anyhow::Result<()> {
    let site = world.site(json!({ "transport": transport })).await?;
    world.enqueue_many(site, "live", directive, 1).await?;
    world.enqueue_many(site, "beside", "ok", 3).await?;
    world.run_worker().await?;
    world.let_weeks_pass(2).await?;
    world.sql.batch_execute("update relay.receipt set state = 'SETTLED', outcome = 'DELIVERED' where attempt_id not in (select attempt_id from relay.conversion_outcome join relay.conversion_key using (conversion_id) where external_id = 'live-0')").await?;
    let other = world.site(json!({})).await?;
    world.enqueue_many(other, "ended", "ok", 3).await?;
    // The other alone, so that what is due again does not go out in this week as well.
    world
        .run(json!({ "mode": "worker", "provider_key": "google_ads", "site_id": other.to_string() }))
        .await?;
    world.let_weeks_pass(60).await
}

async fn check_that_it_stays(directive: &str, transport: &str, reason: &str) -> anyhow::Result<()> {
    let world = World::new().await?;
    with_a_live_week(&world, directive, transport).await?;

    let (dropped, last) = prune_all(&world, 1_000).await?;

    // Outcomes, conversions and the ledger of the week after.
    assert_eq!(dropped.len(), 3, "{reason}: {dropped:?}");
    assert!(last.skipped.iter().any(|week| week.contains(reason)), "{reason}: {:?}", last.skipped);
    assert_eq!(world.number("select count(*) from relay.conversion_key").await?, 4, "its whole week stays");
    assert_eq!(
        world.number("select count(*) from relay.provider_upload_attempts where state = 'OPEN'").await?,
        0
    );
    assert!(world.number("select count(*) from relay.provider_upload_attempts").await? > 0);
    Ok(())
}

#[tokio::test]
async fn a_week_in_which_something_lives_stays_and_is_named() -> anyhow::Result<()> {
    check_that_it_stays("error.internalError.INTERNAL_ERROR", "ads_api", "a conversion waits").await?;
    check_that_it_stays("error.INVALID_CONVERSION_ACTION_TYPE", "ads_api", "a conversion is held").await?;
    check_that_it_stays("ok", "data_manager", "a conversion awaits its receipt").await
}

#[tokio::test]
async fn a_week_of_which_something_is_in_flight_stays() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 2).await?;
    world.let_weeks_pass(60).await?;
    // A claim that holds them, as a run would leave it behind that died.
    world
        .sql
        .batch_execute(
            "insert into relay.inflight (claim_token, run_id, group_id, circuit_epoch, is_probe, quota_key, slot_no, \
             slot_token, conversion_ids, seqs, retry_counts, request_failures, lost_claims, maybe_delivered, targets, \
             claimed_at, lease_until) \
             select gen_random_uuid(), 1, min(group_id), 0, false, 'none', 0, gen_random_uuid(), \
             array_agg(conversion_id), array[1, 1], array[0, 0]::smallint[], array[0, 0]::smallint[], \
             array[0, 0]::smallint[], array[false, false], array[null, null]::bigint[], clock_timestamp(), \
             clock_timestamp() from relay.ready; delete from relay.ready",
        )
        .await?;

    let (dropped, last) = prune_all(&world, 1_000).await?;

    assert!(dropped.iter().all(|name| name.starts_with("provider_upload_attempts")), "{dropped:?}");
    assert!(last.skipped[0].contains("in flight"), "{last:?}");
    Ok(())
}

#[tokio::test]
async fn what_ends_lets_its_week_go() -> anyhow::Result<()> {
    let world = World::new().await?;
    with_a_live_week(&world, "error.INVALID_CONVERSION_ACTION_TYPE", "ads_api").await?;
    prune_all(&world, 1_000).await?;
    world.context.store.expire_conversions(1_000).await?;

    let (dropped, last) = prune_all(&world, 1_000).await?;

    assert_eq!((dropped.len(), last.skipped.len()), (3, 0), "{dropped:?} {last:?}");
    assert_eq!(world.number("select count(*) from relay.provider_upload_attempts").await?, 0);
    Ok(())
}

#[tokio::test]
async fn the_dead_of_a_week_that_is_taken_apart_are_not_redriven() -> anyhow::Result<()> {
    let world = World::new().await?;
    let store = &world.context.store;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "dead", "error.UNPARSEABLE_GCLID", 3).await?;
    world.run_worker().await?;
    world.let_weeks_pass(60).await?;
    store.prune_history(400, 2).await?;

    let redriven =
        store.redrive_dead_letters(&Redrive { site: Some(site), ..Redrive::default() }, 10).await?;

    assert_eq!(redriven, 0);
    prune_all(&world, 2).await?;
    assert_eq!(world.number("select count(*) from relay.conversion").await?, 0);
    Ok(())
}

#[tokio::test]
async fn what_is_redriven_at_this_moment_is_not_pruned() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "dead", "error.UNPARSEABLE_GCLID", 3).await?;
    world.run_worker().await?;
    world.let_weeks_pass(60).await?;
    let curtain = world.database.connect().await?;
    curtain
        .batch_execute(&format!("begin; select relay.redrive_dead_letters('{site}', null, null, 1)"))
        .await?;

    let meanwhile = world.context.store.prune_history(400, 1_000).await?;
    curtain.batch_execute("commit").await?;
    let (dropped, after) = prune_all(&world, 1_000).await?;

    assert_eq!((meanwhile.busy.as_deref(), meanwhile.finished), (Some("relay.prune_walk"), false));
    assert!(dropped.is_empty() && after.skipped[0].contains("waits"), "{after:?}");
    Ok(())
}

#[tokio::test]
async fn a_partition_that_somebody_reads_is_left_for_later_and_nobody_waits() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "old", "ok", 3).await?;
    world.run_worker().await?;
    world.let_weeks_pass(60).await?;
    let reader = world.database.connect().await?;
    reader.batch_execute("begin; select count(*) from relay.conversion_outcome").await?;
    let store = &world.context.store;
    store.prune_history(400, 100).await?;
    assert_eq!(store.prune_history(400, 100).await?.keys, 3);

    let meanwhile = store.prune_history(400, 100).await?;
    world.enqueue_many(site, "new", "ok", 3).await?;
    let ran = world.run_worker().await?;
    reader.batch_execute("commit").await?;
    let (dropped, _) = prune_all(&world, 100).await?;

    assert!(
        meanwhile.busy.as_deref().is_some_and(|name| name.starts_with("conversion_outcome_")),
        "{meanwhile:?}"
    );
    assert_eq!((meanwhile.dropped, ran.completed), (None, 3), "work goes on");
    assert_eq!(dropped.len(), 3);
    assert_eq!(world.statuses().await?, "COMPLETED 3");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pruning_beside_a_busy_day_disturbs_nobody() -> anyhow::Result<()> {
    // A request that is given up on, as on a machine with other things to do, would come again.
    let world = World::with(Duration::from_secs(30)).await?;
    let site = world.site(json!({})).await?;
    for week in 0..6 {
        world.enqueue_many(site, &format!("old-{week}"), "ok", 200).await?;
        world.run_worker().await?;
        world.let_weeks_pass(1).await?;
    }
    world.let_weeks_pass(60).await?;
    let request = prune::Request::parse(fields(json!({})))?;

    let context = world.context.clone();
    let pruning =
        tokio::spawn(
            async move { prune::run(&context, &request, Bounds::after(Duration::from_secs(60))).await },
        );
    let mut completed = 0;
    for round in 0..100 {
        world.enqueue_many(site, &format!("new-{round}"), "ok", 100).await?;
        completed += world.run_worker().await?.completed;
        if pruning.is_finished() && round >= 10 {
            break;
        }
    }
    let answer = pruning.await??.answer().context("skipped")?;

    assert!(answer.ok && answer.finished, "{answer:?}");
    assert_eq!((answer.keys, answer.processed), (1_200, 18), "{answer:?}");
    assert_eq!(world.statuses().await?, format!("COMPLETED {completed}"));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn retention_has_a_floor() -> anyhow::Result<()> {
    let world = World::new().await?;
    let store = &world.context.store;

    let answers = [
        store.prune_history(179, 100).await.map(drop),
        store.prune_history(400, 0).await.map(drop),
        store.prune_task_runs(29, 100).await.map(drop),
    ];

    assert!(answers.iter().all(|answer| matches!(answer, Err(StoreError::BadArgument(_)))), "{answers:?}");
    assert!(prune::Request::parse(fields(json!({ "retention_days": 179 }))).is_err());
    Ok(())
}

#[tokio::test]
async fn old_runs_and_lifted_holds_go_and_no_hand_takes_a_run_away() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let store = &world.context.store;
    for _ in 0..5 {
        begin_run(store, "old").await?;
    }
    world.let_weeks_pass(60).await?;
    // Credentials that came lifted a hold; this one is as old as that and still open.
    world.sql.batch_execute("insert into relay.hold (group_id, scope, scope_key, code, opened_at) select group_id, 'row', 'k', 'c', '2020-01-01' from relay.delivery_group").await?;
    world.enqueue_many(site, "sale", "ok", 1).await?;
    world.run_worker().await?;

    let parts = [
        store.prune_task_runs(90, 3).await?,
        store.prune_task_runs(90, 3).await?,
        store.prune_task_runs(90, 3).await?,
    ];
    let by_hand = world.sql.batch_execute("delete from relay.task_runs").await;
    let old = store.prune_history(400, 100).await?;

    assert_eq!(parts, [3, 2, 0]);
    assert!(by_hand.is_err(), "the young run stays");
    assert_eq!(world.number("select count(*) from relay.task_runs").await?, 1);
    assert_eq!(old.holds, 1, "{old:?}");
    assert_eq!(world.number("select count(*) from relay.hold").await?, 1);
    Ok(())
}
