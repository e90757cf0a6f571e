//! Whose slot it is, and for how long.

use tests::world::World;
use uuid::Uuid;

use super::{Answer, claim, claim_one, enqueue, open, put_groups, settle};

const TAKEN: &str = "select count(*) from relay.upload_slot where claim_token is not null";
const LIVE: &str = "select count(*) from relay.upload_slot where lease_until > clock_timestamp()";

/// A key with one slot, two groups with two rows each, and a claim.
async fn claimed(world: &World) -> anyhow::Result<Uuid> {
    let groups = put_groups(&world.sql, "key", 1, 2).await?;
    enqueue(&world.sql, &groups, 2, "0 s").await?;
    Ok(claim_one(&world.sql).await?.token)
}

/// Cuts a claim of two rows into two.
async fn cut(world: &World, token: Uuid) -> anyhow::Result<[Uuid; 2]> {
    let cut = "select claim_token from relay.split_claim($1, array[0, 1], 30)";
    let parts = world.sql.query(cut, &[&token]).await?;
    Ok([parts[0].get(0), parts[1].get(0)])
}

/// Its slot lapsed and is another claim's by now, while the claim is still there.
async fn lose_the_slot(world: &World) -> anyhow::Result<()> {
    let taken = "update relay.upload_slot set claim_token = gen_random_uuid(), \
                 lease_until = clock_timestamp() - interval '1 second' where claim_token is not null";
    Ok(world.sql.batch_execute(taken).await?)
}

#[tokio::test]
async fn a_request_keeps_its_slot_as_long_as_its_claim() -> anyhow::Result<()> {
    let world = World::new().await?;
    let token = claimed(&world).await?;
    world.let_pass("16 seconds").await?;
    open(&world.sql, token, 1).await?;

    world.let_pass("16 seconds").await?;

    assert_eq!(world.number(LIVE).await?, 1);
    assert!(claim(&world.sql, 10, 100, 100).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn nobody_renews_a_slot_that_is_anothers_by_now() -> anyhow::Result<()> {
    let world = World::new().await?;
    let token = claimed(&world).await?;
    lose_the_slot(&world).await?;

    let [first, _] = cut(&world, token).await?;
    open(&world.sql, first, 1).await?;

    assert_eq!(world.number(LIVE).await?, 0);
    Ok(())
}

#[tokio::test]
async fn no_part_outlives_its_slot_however_often_a_claim_is_cut() -> anyhow::Result<()> {
    let world = World::new().await?;
    let token = claimed(&world).await?;
    let [first, _] = cut(&world, token).await?;

    let again = "select relay.split_claim($1, array[0], 5)";
    world.sql.query(again, &[&first]).await?;
    world.let_pass("6 seconds").await?;
    claim_one(&world.sql).await?;

    let out = "select count(distinct slot_token) from relay.inflight where lease_until > clock_timestamp()";
    assert_eq!(world.number(out).await?, 1, "one slot, one claim");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_lapsed_claim_frees_no_slot_that_is_anothers_by_now() -> anyhow::Result<()> {
    let world = World::new().await?;
    claimed(&world).await?;
    world.let_pass("31 seconds").await?;
    lose_the_slot(&world).await?;

    world.sql.query("select relay.return_lapsed_claims(10, 0, null, clock_timestamp())", &[]).await?;

    assert_eq!(world.number(TAKEN).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_lapsed_part_does_not_free_the_slot_of_the_others() -> anyhow::Result<()> {
    let world = World::new().await?;
    let token = claimed(&world).await?;
    let [lapsed, _] = cut(&world, token).await?;
    let ends = "update relay.inflight set lease_until = clock_timestamp() - interval '1 second' where claim_token = $1";
    world.sql.execute(ends, &[&lapsed]).await?;

    let returned =
        world.number("select claims::bigint from relay.return_lapsed_claims(10, 0, null, clock_timestamp())");

    assert_eq!(returned.await?, 1);
    assert_eq!(world.number(TAKEN).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_slot_is_free_when_the_last_part_is_settled() -> anyhow::Result<()> {
    let world = World::new().await?;
    let token = claimed(&world).await?;
    let [first, last] = cut(&world, token).await?;

    settle(&world.sql, first, 1, Answer { keep_slot: true, ..Answer::unsent("REJECTED", "PERM") }).await?;
    let meanwhile = world.number(TAKEN).await?;
    settle(&world.sql, last, 1, Answer::unsent("REJECTED", "PERM")).await?;

    assert_eq!((meanwhile, world.number(TAKEN).await?), (1, 0));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_request_renews_no_claim_of_others() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 2, 2).await?;
    enqueue(&world.sql, &groups, 2, "0 s").await?;
    let claims = claim(&world.sql, 10, 100, 100).await?;
    let [first, _] = cut(&world, claims[0].token).await?;
    world.let_pass("16 seconds").await?;

    open(&world.sql, first, 1).await?;

    world.let_pass("16 seconds").await?;
    let lapsed = "select count(*) from relay.inflight where lease_until < clock_timestamp()";
    assert_eq!(world.number(lapsed).await?, 1);
    Ok(())
}
