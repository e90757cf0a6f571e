//! A runner that dies, at any step, loses nothing and doubles nothing.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tests::binaries::binary;
use tests::lambda::LambdaProcess;
use tests::world::World;

/// Starts the real runner, lets it work until this `moment`, and kills it.
async fn killed_at(world: &World, moment: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let environment = world.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let before = world.service_backends().await?;
    let mut runner = LambdaProcess::start(&binary("runner")?, &environment).await?;
    let event = json!({ "mode": "worker", "provider_key": "google_ads" });
    tokio::select! {
        // What it answers, or that it died, is not the point here.
        _ = runner.invoke(event, Duration::from_secs(60)) => {}
        come = moment => come?,
    }
    runner.kill();
    // The server may be in the middle of its last statement, and commits it.
    world.let_backends_end(&before).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_killed_at_any_step_loses_and_doubles_nothing() -> anyhow::Result<()> {
    let world = World::new().await?;
    for name in ["a", "b", "c", "d"] {
        let site = world.site(json!({ "quota_key": name })).await?;
        world.enqueue_many(site, name, "slow.20", 300).await?;
    }
    for step in 0..12 {
        // From before its first claim to after its last.
        let moment = async {
            tokio::time::sleep(Duration::from_millis(30 + 25 * step)).await;
            Ok(())
        };
        killed_at(&world, moment).await?;
        world.assert_accounted_for().await?;
        world.let_pass("20 minutes").await?;
        world.recover(json!({ "min_age_minutes": 0 })).await?;
    }

    world.run_worker().await?;

    assert_eq!(world.statuses().await?, "COMPLETED 1200");
    assert_eq!(world.sandbox.summary().totals.conversions_counted, 1200, "each was counted once");
    assert_eq!(
        world.number("select count(*) from relay.provider_upload_attempts where closed_at is null").await?,
        0
    );
    world.assert_accounted_for().await
}

#[tokio::test]
async fn recover_settles_what_was_left_open_and_never_a_live_claim() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    // So slow that nothing is answered before the runner is killed, with its request booked.
    world.enqueue_many(site, "sale", "slow.60000", 5).await?;
    let open = "select count(*) from relay.provider_upload_attempts where closed_at is null";
    let booked = async {
        while world.number(open).await? == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    };
    killed_at(&world, booked).await?;
    assert_eq!(world.number(open).await?, 1);

    let while_it_lives = world.recover(json!({ "min_age_minutes": 0 })).await?;
    world.let_pass("20 minutes").await?;
    let too_young = world.recover(json!({ "min_age_minutes": 30 })).await?;
    let answer = world.recover(json!({})).await?;

    assert_eq!((while_it_lives.recovered, too_young.recovered), (0, 0));
    assert_eq!((answer.recovered, answer.requeued, answer.attempts_settled), (5, 5, 1), "{answer:?}");
    assert_eq!(
        world.number("select count(*) from relay.provider_upload_attempts where state = 'AMBIGUOUS'").await?,
        1
    );
    assert_eq!(world.number("select count(*) from relay.ready where maybe_delivered").await?, 5);
    assert_eq!(world.statuses().await?, "RETRY 5");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_row_whose_claims_are_lost_twenty_times_ends() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "killer", "ok", 1).await?;
    for run in 0..20_i64 {
        let claimed = world
            .sql
            .query(
                "select claim_token from relay.claim_offline_conversion_jobs_v2($1, 'google_ads', null, 10, 10, 10, 10)",
                &[&run],
            )
            .await?;
        assert_eq!(claimed.len(), 1, "claim {run}");
        world.let_pass("1 minute").await?;
    }

    let answer = world.recover(json!({ "min_age_minutes": 0 })).await?;

    assert_eq!(answer.exhausted, 1, "{answer:?}");
    let standing = world.standing("killer-0").await?;
    assert_eq!((standing.outcome.as_str(), standing.last_error.as_str()), ("exhausted", "CLAIM_LOST"));
    assert_eq!(world.number("select failed_total from relay.provider_upload_metrics").await?, 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_claim_that_lapsed_is_not_cut() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 2).await?;
    let claim = "select claim_token from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 1, 10, 10, 30)";
    let lapsed: uuid::Uuid = world.sql.query_one(claim, &[]).await?.get(0);
    world.let_pass("31 seconds").await?;
    // Too young for its rows to come back, but its slot is free for another.
    world.recover(json!({ "min_age_minutes": 30 })).await?;

    let cut = "select from relay.split_claim($1, array[0, 1], 30)";
    let parts = world.sql.query(cut, &[&lapsed]).await?;

    assert!(parts.is_empty(), "requests could leave beyond the slots");
    assert_eq!(world.sql.query(claim, &[]).await?.len(), 1, "its rows come back");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_run_that_is_told_to_stop_gives_back_what_it_did_not_start() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    // Cut in halves again and again, each answer slow, nine seconds of work in all. Of twelve a run keeps three for the
    // end, and four for its last request: after five seconds, parts are left that never started.
    world.enqueue_many(site, "bad", "http.400", 8).await?;
    world.enqueue_many(site, "slow", "slow.1500", 56).await?;
    let request = shared::engine::tasks::upload::Request::parse(tests::world::fields(
        json!({ "mode": "worker", "provider_key": "google_ads" }),
    ))?;

    let bounds = shared::engine::Bounds::after(Duration::from_secs(12));
    let reply = shared::engine::tasks::upload::run(&world.context, &request, bounds).await?;
    let answer = reply.answer().context("skipped")?;

    assert!(answer.released > 0, "{answer:?}");
    assert_eq!(world.number("select sum(retry_count) from relay.ready").await?, 0);
    assert_eq!(world.number("select count(*) from relay.inflight").await?, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn dead_letters_go_again_with_their_key_and_their_history() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "dead", "error.UNPARSEABLE_GCLID*1", 2).await?;
    world.run_worker().await?;
    assert_eq!(world.statuses().await?, "FAILED 2");

    let answer =
        world.recover(json!({ "redrive": { "code": "conversionUploadError.UNPARSEABLE_GCLID" } })).await?;
    world.run_worker().await?;

    assert_eq!(answer.redriven, 2);
    assert_eq!(world.statuses().await?, "COMPLETED 2");
    let outcomes = "select string_agg(outcome, ' ' order by seq) from relay.conversion_outcome \
                    where conversion_id = (select min(conversion_id) from relay.conversion)";
    let outcomes: String = world.sql.query_one(outcomes, &[]).await?.get(0);
    assert_eq!(outcomes, "REJECTED REQUEUED DELIVERED");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_dead_letter_that_may_have_been_delivered_goes_nowhere_else() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 1).await?;
    for run in 0..20_i64 {
        let claim = "select relay.book_provider_upload_attempt(claim_token, 'ads_api', '00', array[1], 10) \
                     from relay.claim_offline_conversion_jobs_v2($1, 'google_ads', null, 10, 10, 10, 10)";
        assert_eq!(world.sql.query(claim, &[&run]).await?.len(), 1, "claim {run}");
        world.let_pass("1 minute").await?;
    }
    world.recover(json!({ "min_age_minutes": 0 })).await?;
    assert_eq!(world.statuses().await?, "FAILED 1");

    let answer = world.recover(json!({ "redrive": { "code": "CLAIM_LOST" } })).await?;
    world.run_worker().await?;

    assert_eq!(answer.redriven, 1);
    assert_eq!(
        world.standing("sale-0").await?.last_error,
        "TARGET_CHANGED",
        "it was sent to another place before"
    );
    assert_eq!(world.sandbox.summary().totals.conversions_counted, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn claims_that_return_many_lapsed_ones_wait_for_nobody() -> anyhow::Result<()> {
    let world = World::new().await?;
    for number in 0..12 {
        let site = world.site(json!({ "client_id": format!("client-{number}") })).await?;
        world.enqueue_many(site, &format!("sale-{number}"), "ok", 20).await?;
    }
    let claim = "select count(*) from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 100, 1000, 2, 30)";
    assert_eq!(world.number(claim).await?, 100);
    world.let_pass("31 seconds").await?;
    // Somebody visits a group that has claims among them.
    let visitor = world.database.connect().await?;
    visitor.batch_execute("begin; select from relay.delivery_group where group_id = 3 for update").await?;
    let mut claimers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let sql = world.database.connect().await?;
        claimers.spawn(async move {
            sql.batch_execute("set lock_timeout = '10 s'").await?;
            for _ in 0..4 {
                sql.query(
                    "select from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 10, 10, 1, 60)",
                    &[],
                )
                .await?;
            }
            anyhow::Ok(())
        });
    }

    while let Some(claimer) = claimers.join_next().await {
        claimer??;
    }

    visitor.batch_execute("rollback").await?;
    assert_eq!(
        world.number("select count(*) from relay.inflight where lease_until < clock_timestamp()").await?,
        0
    );
    world.assert_accounted_for().await
}
