//! What may have been delivered stays marked, with the place it went to, on every way that a row can take.

use tests::world::World;
use tokio_postgres::Client;

use super::{Answer, Claimed, claim_one, enqueue, open, put_groups, settle};

/// Where the request of these tests goes.
const TARGET: i64 = 7;

/// A claim of two rows.
async fn claimed(world: &World) -> anyhow::Result<Claimed> {
    let groups = put_groups(&world.sql, "key", 100, 1).await?;
    enqueue(&world.sql, &groups, 2, "0 s").await?;
    claim_one(&world.sql).await
}

/// A claim of two rows that a request may have delivered before.
async fn claimed_after_a_request(world: &World) -> anyhow::Result<Claimed> {
    let first = claimed(world).await?;
    open(&world.sql, first.token, TARGET).await?;
    world.let_pass("31 seconds").await?;
    claim_one(&world.sql).await
}

/// Marks and targets of what is claimed, and of what waits.
async fn marks(sql: &Client) -> anyhow::Result<Vec<(bool, Option<i64>)>> {
    let statement = "select maybe_delivered, target from relay.ready union all \
                     select part.marked, part.target from relay.inflight \
                     cross join lateral unnest(maybe_delivered, targets) as part (marked, target)";
    Ok(sql.query(statement, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

const MARKED: [(bool, Option<i64>); 2] = [(true, Some(TARGET)); 2];

#[tokio::test]
async fn what_was_out_when_its_runner_died_is_marked() -> anyhow::Result<()> {
    let world = World::new().await?;
    claimed_after_a_request(&world).await?;

    assert_eq!(marks(&world.sql).await?, MARKED);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_was_not_out_when_its_runner_died_is_not() -> anyhow::Result<()> {
    let world = World::new().await?;
    claimed(&world).await?;
    world.let_pass("31 seconds").await?;

    claim_one(&world.sql).await?;

    assert_eq!(marks(&world.sql).await?, [(false, None); 2]);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_mark_outlives_a_second_loss() -> anyhow::Result<()> {
    let world = World::new().await?;
    claimed_after_a_request(&world).await?;
    world.let_pass("31 seconds").await?;

    claim_one(&world.sql).await?;

    assert_eq!(marks(&world.sql).await?, MARKED);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn an_ambiguous_answer_marks() -> anyhow::Result<()> {
    let world = World::new().await?;
    let claim = claimed(&world).await?;
    let attempt = open(&world.sql, claim.token, TARGET).await?;

    let answer = Answer { attempt, circuit: "transient", ..Answer::unsent("UNANSWERED", "AMBIGUOUS") };
    settle(&world.sql, claim.token, 2, answer).await?;

    assert_eq!(marks(&world.sql).await?, MARKED);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_mark_outlives_an_answer_that_puts_off() -> anyhow::Result<()> {
    let world = World::new().await?;
    let claim = claimed_after_a_request(&world).await?;

    settle(&world.sql, claim.token, 2, Answer::unsent("RETRY", "TRANSIENT")).await?;

    assert_eq!(marks(&world.sql).await?, MARKED);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_cut_claim_remembers_where_its_request_went() -> anyhow::Result<()> {
    let world = World::new().await?;
    let claim = claimed(&world).await?;
    open(&world.sql, claim.token, TARGET).await?;

    world.sql.query("select relay.split_claim($1, array[0, 1], 30)", &[&claim.token]).await?;

    assert_eq!(marks(&world.sql).await?, [(false, Some(TARGET)); 2]);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_mark_outlives_a_hold() -> anyhow::Result<()> {
    let world = World::new().await?;
    let claim = claimed_after_a_request(&world).await?;
    let park = "select from relay.settle_offline_conversions($1, null, array['HELD', 'HELD'], \
                array['CONFIG', 'CONFIG'], array['A', 'B'], array[0, 0], array[null, null]::timestamptz[], \
                array['row', 'row'], array['1', '2'], 'none', null, null, null, null, null, null, null, null, null, false)";
    world.sql.query(park, &[&claim.token]).await?;
    assert_eq!(world.number("select count(*) from relay.held").await?, 2);

    world.sql.query("select relay.lift_holds($1, clock_timestamp())", &[&claim.group]).await?;

    assert_eq!(marks(&world.sql).await?, MARKED);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_mark_outlives_being_put_first() -> anyhow::Result<()> {
    let world = World::new().await?;
    let claim = claimed_after_a_request(&world).await?;
    settle(&world.sql, claim.token, 2, Answer::unsent("RELEASED", "TRANSIENT")).await?;
    world.let_pass("59 days").await?;

    let hastened = world.number("select hastened::bigint from relay.expire_conversions(100)").await?;

    assert_eq!(hastened, 2);
    assert_eq!(marks(&world.sql).await?, MARKED);
    world.assert_accounted_for().await
}
