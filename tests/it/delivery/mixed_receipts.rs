//! Receipts that count many and name none: whatever the mixture, each conversion ends by its own verdict, and finding it
//! costs fewer calls than asking for each.

use serde_json::{Value, json};
use tests::world::{World, row};

/// The ends of these tests: the name that a conversion has for it, the stand-in's directive, and where it ends.
const ENDS: [(&str, &str, &str, &str); 3] = [
    ("good", "ok", "COMPLETED", ""),
    ("bad", "reason.INVALID_EVENT", "FAILED", "PROCESSING_ERROR_REASON_INVALID_EVENT"),
    ("gone", "reason.CLICK_NOT_FOUND", "COMPLETED", "PROCESSING_ERROR_REASON_CLICK_NOT_FOUND"),
];

fn of_end(end: usize, number: usize) -> Value {
    let (name, directive, ..) = ENDS[end];
    row(name, directive, number)
}

async fn submitted(ends: impl Iterator<Item = usize>) -> anyhow::Result<World> {
    let rows: Vec<Value> = ends.enumerate().map(|(number, end)| of_end(end, number)).collect();
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue(site, &rows).await?;
    world.run_worker().await?;
    Ok(world)
}

/// Half hours pass until nothing waits any more; how many.
async fn settle_all(world: &World) -> anyhow::Result<u32> {
    for round in 1..=20 {
        world.let_pass("31 minutes").await?;
        world.confirm().await?;
        world.run_worker().await?;
        let open = "select (select count(*) from relay.receipt where state = 'PENDING') \
                    + (select count(*) from relay.ready)";
        if world.number(open).await? == 0 {
            return Ok(round);
        }
    }
    anyhow::bail!("not settled: {}", world.statuses().await?)
}

async fn assert_each_has_its_own_verdict(world: &World) -> anyhow::Result<()> {
    for (name, _, status, code) in ENDS {
        let wrong = world
            .sql
            .query_one(
                "select count(*), min(sale_id || ' ' || status || ' ' || coalesce(last_error, '')) \
                 from relay.offline_conversion_queue \
                 where sale_id like $1 || '-%' and (status <> $2 or coalesce(last_error, '') not like '%' || $3)",
                &[&name, &status, &code],
            )
            .await?;
        anyhow::ensure!(wrong.get::<_, i64>(0) == 0, "{:?}", wrong.get::<_, Option<String>>(1));
    }
    let counted =
        world.number("select count(*) from relay.offline_conversion_queue where sale_id like 'good-%'");
    assert_eq!(world.sandbox.summary().totals.conversions_counted, u64::try_from(counted.await?)?);
    world.assert_accounted_for().await
}

/// Whatever the mixture of 2,000, it must cost fewer than 4,000 calls.
async fn check(name: &str, end: impl Fn(usize) -> usize) -> anyhow::Result<()> {
    let world = submitted((0..2_000).map(end)).await?;

    let rounds = settle_all(&world).await?;

    let uploads = world.number("select count(*) from relay.provider_upload_attempts").await?;
    let polls = world.number("select sum(polls)::bigint from relay.receipt").await?;
    let calls = world.sandbox.summary().totals.requests;
    assert!(calls < 4_000, "{name}: {uploads} requests, {polls} questions, {calls} calls, {rounds} rounds");
    assert_each_has_its_own_verdict(&world).await
}

/// Without a pattern, and the same in each run.
fn any(number: usize) -> usize {
    let mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40).unwrap_or(0)
}

#[tokio::test]
async fn three_wrong_ones_among_many_cost_few_calls() -> anyhow::Result<()> {
    check("three wrong", |number| usize::from([700, 1_234, 1_999].contains(&number))).await
}

#[tokio::test]
async fn one_in_ten_that_is_wrong_costs_fewer_calls_than_asking_for_each() -> anyhow::Result<()> {
    check("one in ten", |number| usize::from(any(number).is_multiple_of(10))).await
}

#[tokio::test]
async fn half_that_are_wrong_at_random_cost_fewer_calls_than_asking_for_each() -> anyhow::Result<()> {
    check("half", |number| any(number) % 2).await
}

#[tokio::test]
async fn wrong_and_right_in_turns_cost_fewer_calls_than_asking_for_each() -> anyhow::Result<()> {
    check("in turns", |number| number % 2).await
}

#[tokio::test]
async fn three_ends_at_random_cost_fewer_calls_than_asking_for_each() -> anyhow::Result<()> {
    check("three ends", |number| any(number) % 3).await
}

#[tokio::test]
async fn all_that_are_wrong_cost_one_request_and_one_question() -> anyhow::Result<()> {
    check("all wrong", |_| 1).await
}

/// A world in which some have stayed behind for what others tell.
async fn with_some_behind() -> anyhow::Result<World> {
    let world = submitted((0..40).map(|number| any(number) % 2)).await?;
    for _ in 0..6 {
        world.let_pass("31 minutes").await?;
        world.confirm().await?;
        world.run_worker().await?;
        if world.number("select count(*) from relay.receipt_rest").await? > 0 {
            return Ok(world);
        }
    }
    anyhow::bail!("nobody stayed behind")
}

#[tokio::test]
async fn a_crash_while_those_that_stayed_behind_are_told_of_loses_and_doubles_nothing() -> anyhow::Result<()>
{
    let world = with_some_behind().await?;
    let open = "select stayed_behind from relay.receipt r, relay.open_told_receipt(r.attempt_id, 1, 60) \
                where r.state = 'PENDING'";
    let claims = world.sql.query(open, &[]).await?;
    assert!(claims.iter().any(|claim| claim.get(0)), "somebody stayed behind");
    world.assert_accounted_for().await?;

    world.let_pass("2 minutes").await?;
    world.run_worker().await?;
    settle_all(&world).await?;

    assert_each_has_its_own_verdict(&world).await
}

#[tokio::test]
async fn who_stayed_behind_goes_by_itself_where_nobody_comes() -> anyhow::Result<()> {
    let world = with_some_behind().await?;
    let behind = "select count(*) from relay.ready where next_attempt_at > now() + interval '2 hours'";
    assert!(world.number(behind).await? > 0);
    let sent = world.sandbox.summary().totals.conversions_received;

    world.let_pass("3 hours").await?;
    world.run_worker().await?;
    assert_eq!(world.number(behind).await?, 0);
    assert!(world.sandbox.summary().totals.conversions_received > sent, "they went");
    settle_all(&world).await?;

    assert_each_has_its_own_verdict(&world).await
}

#[tokio::test]
async fn what_a_receipt_tells_of_others_is_supposed_and_proven_by_one_of_their_own() -> anyhow::Result<()> {
    let world = with_some_behind().await?;

    settle_all(&world).await?;

    // Each end was told by a receipt of the request that carried the conversion last.
    let unproven = "select count(*) from relay.offline_conversion_queue as queue \
                    join lateral (select * from relay.conversion_outcome as told \
                                  where told.conversion_id = queue.id order by told.seq desc limit 1) as told on true \
                    join relay.receipt on receipt.attempt_id = told.attempt_id \
                    where not queue.id = any (receipt.conversion_ids)";
    assert_eq!(world.number(unproven).await?, 0);
    assert_each_has_its_own_verdict(&world).await
}
