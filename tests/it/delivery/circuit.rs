//! The circuit of a group: what counts, what it writes, and how it closes again.

use serde_json::json;
use tests::world::{World, row};

#[tokio::test]
async fn five_requests_that_fail_as_a_whole_open_the_circuit_and_burn_no_retry() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "http.503", 20).await?;

    let answer = world.run_worker().await?;

    let row = world
        .sql
        .query_one(
            "select state, failure_count, next_probe_at - \
             (select max(closed_at) from relay.provider_upload_attempts) between '5 minutes' and '6 minutes' \
             from relay.provider_health_state",
            &[],
        )
        .await?;
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, i32>(1), row.get::<_, bool>(2)),
        ("OPEN", 5, true),
        "{answer:?}"
    );
    assert_eq!(world.number("select count(*) from relay.provider_upload_attempts").await?, 5);
    assert_eq!(world.number("select sum(retry_count) from relay.ready").await?, 0);
    assert_eq!(world.statuses().await?, "RETRY 20");
    let standing = world.standing("sale-3").await?;
    assert_eq!(standing.last_error, "CIRCUIT_OPEN");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn opening_writes_to_no_row_that_waits() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "http.503", 60).await?;
    // The row versions of what no request has carried: any write would change them.
    let untouched = "select coalesce(sum(xmin::text::bigint * conversion_id % 1000003), 0)::bigint \
                     from relay.ready where seq = 0";
    for _ in 0..4 {
        world.run(json!({ "mode": "cron", "limit": 10 })).await?;
    }
    let waiting = "select count(*) from relay.ready where seq = 0";
    assert_eq!(world.number(waiting).await?, 20);
    // The fifth takes ten more and opens the circuit.
    world.run(json!({ "mode": "cron", "limit": 10 })).await?;
    let versions = world.number(untouched).await?;

    let answer = world.run_worker().await?;

    assert_eq!(answer.processed, 0, "an open circuit is skipped");
    assert_eq!(
        world.number("select count(*) from relay.provider_health_state where state = 'OPEN'").await?,
        1
    );
    assert_eq!((world.number(waiting).await?, world.number(untouched).await?), (10, versions));
    let standing = world.standing("sale-59").await?;
    assert_eq!((standing.status.as_str(), standing.last_error.as_str()), ("QUEUED", "CIRCUIT_OPEN"));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_delivery_clears_the_count_and_a_refusal_does_not_raise_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "bad", "http.503*3", 1).await?;
    world.run_worker().await?;
    let after_three = world.number("select failure_count::bigint from relay.provider_health_state").await?;
    world.enqueue_many(site, "refused", "error.UNPARSEABLE_GCLID", 8).await?;
    world.run_worker().await?;

    assert_eq!(after_three, 0, "the fourth request delivered it");
    assert_eq!(world.number("select failure_count::bigint from relay.provider_health_state").await?, 0);
    assert_eq!(world.statuses().await?, "COMPLETED 1, FAILED 8");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_probe_takes_five_rows_at_most_and_its_success_closes_the_circuit() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "http.503*4", 20).await?;
    world.run_worker().await?;
    assert_eq!(
        world.number("select count(*) from relay.provider_health_state where state = 'OPEN'").await?,
        1
    );

    // Each row fails once more, five in the first probe and one in each that follows; then they are taken.
    for _ in 0..20 {
        world.let_pass("7 minutes").await?;
        world.run_worker().await?;
    }

    assert_eq!(world.statuses().await?, "COMPLETED 20");
    let probe = "select max(conversions)::bigint from relay.provider_upload_attempts where is_probe";
    assert_eq!(world.number(probe).await?, 5);
    assert_eq!(
        world.number("select count(*) from relay.provider_health_state where state = 'CLOSED' and failure_count = 0").await?,
        1
    );
    assert_eq!(world.sandbox.summary().totals.conversions_counted, 20);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_probe_that_fails_opens_the_circuit_again() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "http.503", 20).await?;
    world.run_worker().await?;
    world.let_pass("7 minutes").await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.processed, answer.retry), (5, 5), "{answer:?}");
    assert_eq!(world.number("select opened_total from relay.provider_health_state").await?, 2);
    assert_eq!(world.number("select sum(retry_count) from relay.ready").await?, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn five_refused_rows_prove_that_the_provider_lives() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "bad", "http.503", 5).await?;
    world.run_worker().await?;
    // The rows that opened it are gone; what is probed with now is refused.
    world.sql.batch_execute("update relay.ready set next_attempt_at = next_attempt_at").await?;
    world.enqueue_many(site, "refused", "error.UNPARSEABLE_GCLID", 5).await?;
    world
        .sql
        .batch_execute(
            "with moved as (select r.conversion_id from relay.ready r join relay.conversion c using (conversion_id) \
             where c.external_id like 'bad-%') \
             update relay.ready set next_attempt_at = next_attempt_at + interval '1 day' \
             where conversion_id in (select conversion_id from moved)",
        )
        .await?;
    world.let_pass("7 minutes").await?;

    let answer = world.run_worker().await?;

    assert_eq!(answer.failed, 5, "{answer:?}");
    assert_eq!(
        world.number("select count(*) from relay.provider_health_state where state = 'CLOSED'").await?,
        1
    );
    Ok(())
}

#[tokio::test]
async fn a_lost_probe_is_due_again_and_answers_of_its_epoch_change_nothing() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "http.503", 20).await?;
    world.run_worker().await?;
    let epoch = world.number("select epoch::bigint from relay.provider_health_state").await?;
    world
        .sql
        .batch_execute(
            "update relay.provider_health_state set state = 'HALF_OPEN', epoch = epoch + 1, \
             probe_until = clock_timestamp() - interval '1 second'; \
             update relay.delivery_group set turn_at = clock_timestamp()",
        )
        .await?;

    let late = world
        .sql
        .query_one(
            "select relay.record_provider_outcome(group_id, $1, 'success') from relay.provider_health_state",
            &[&i32::try_from(epoch)?],
        )
        .await?;
    let answer = world.run_worker().await?;

    assert_eq!(late.get::<_, Option<&str>>(0), None, "an older epoch's success closes nothing");
    assert_eq!(answer.processed, 5, "the probe went out again: {answer:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_quota_answer_never_counts() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "http.429.90", 4).await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.processed, answer.retry), (4, 4), "{answer:?}");
    assert_eq!(world.number("select failure_count::bigint from relay.provider_health_state").await?, 0);
    assert_eq!(world.number("select sum(retry_count) from relay.ready").await?, 0);
    assert_eq!(world.number("select http_429_count from relay.task_runs").await?, 1);
    let wait = "select min(extract(epoch from next_attempt_at - closed_at))::bigint \
                from relay.ready cross join relay.provider_upload_attempts";
    assert!((80..=90).contains(&world.number(wait).await?));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_row_that_fails_every_request_does_not_keep_a_small_groups_circuit_open() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "poison", "http.503", 1).await?;
    world.run_worker().await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;

    for _ in 0..3 {
        world.let_pass("7 minutes").await?;
        world.run_worker().await?;
    }

    assert_eq!(world.statuses().await?, "COMPLETED 3, RETRY 1");
    world.assert_accounted_for().await
}

/// Rows of one order that count for an action each. They never share a request: a claim of them is cut into as many parts.
async fn enqueue_one_order(world: &World, directive: &str, rows: usize) -> anyhow::Result<()> {
    let site = world.site(json!({})).await?;
    let order = |number| {
        let mut row = row("part", directive, number);
        row["order_id"] = json!("one");
        row["conversion_action"] = json!(format!("customers/1234567890/conversionActions/{}", 100 + number));
        row
    };
    let rows: Vec<_> = (0..rows).map(order).collect();
    world.enqueue(site, &rows).await?;
    Ok(())
}

#[tokio::test]
async fn an_answer_that_asks_to_wait_stops_the_other_parts_of_its_claim() -> anyhow::Result<()> {
    let world = World::new().await?;
    enqueue_one_order(&world, "http.429.90", 6).await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.retry, answer.released), (1, 5), "{answer:?}");
    assert_eq!(world.number("select count(*) from relay.provider_upload_attempts").await?, 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_circuit_that_opens_stops_the_other_parts_of_its_claim() -> anyhow::Result<()> {
    let world = World::new().await?;
    enqueue_one_order(&world, "http.503", 9).await?;

    let answer = world.run_worker().await?;
    world.let_pass("7 minutes").await?;
    world.run_worker().await?;

    assert_eq!((answer.retry, answer.released), (5, 4), "{answer:?}");
    let attempts = "select count(*) from relay.provider_upload_attempts";
    assert_eq!(world.number(attempts).await?, 6, "five opened it, and a probe is one request");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_day_of_outage_loses_nothing() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "http.503*20", 12).await?;

    // A probe every six minutes: twenty-four hours hold far more requests than the outage lasts for any row.
    for _ in 0..240 {
        world.run_worker().await?;
        world.let_pass("6 minutes").await?;
    }

    assert_eq!(world.statuses().await?, "COMPLETED 12");
    assert_eq!(
        world.number("select count(*) from relay.conversion_outcome where outcome = 'RETRY'").await?,
        0,
        "no retry was burnt"
    );
    assert_eq!(world.sandbox.summary().totals.conversions_counted, 12);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_probe_that_leaves_late_is_not_overtaken() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "http.503", 20).await?;
    world.run_worker().await?;
    world.let_pass("7 minutes").await?;
    let claim = "select claim_token from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 5, 50, 50, 30)";
    let probe: uuid::Uuid = world.sql.query_one(claim, &[]).await?.get(0);
    world.let_pass("16 seconds").await?;
    let book = "select attempt_id from relay.book_provider_upload_attempt($1, 'ads_api', '00', array[1::bigint], 30)";
    world.sql.query_one(book, &[&probe]).await?;
    world.let_pass("16 seconds").await?;

    let second = world.sql.query(claim, &[]).await?;

    assert!(second.is_empty(), "two probers at once");
    Ok(())
}
