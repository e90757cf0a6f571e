//! What is taken back of crashed runs, and what is left alone.

use std::collections::BTreeSet;

use tests::world::World;
use uuid::Uuid;

use super::{claim, claim_one, enqueue, open, put_groups};

/// Claims taken back, ledger rows closed, slots freed.
async fn recover(world: &World, minutes: i32, site: Option<Uuid>) -> anyhow::Result<(i32, i32, i32)> {
    let statement =
        "select claims, attempts_settled, leases_freed from relay.recover_offline_conversions($1, $2, 100)";
    let row = world.sql.query_one(statement, &[&minutes, &site]).await?;
    Ok((row.get(0), row.get(1), row.get(2)))
}

/// A claim of one group, with its request out.
async fn sent(world: &World) -> anyhow::Result<BTreeSet<i32>> {
    let groups = put_groups(&world.sql, "key", 100, 1).await?;
    enqueue(&world.sql, &groups, 2, "0 s").await?;
    let claim = claim_one(&world.sql).await?;
    anyhow::ensure!(open(&world.sql, claim.token, 1).await?.is_some());
    Ok(groups)
}

#[tokio::test]
async fn a_live_claim_keeps_its_rows_its_slot_and_its_ledger_row() -> anyhow::Result<()> {
    let world = World::new().await?;
    sent(&world).await?;
    world.let_pass("15 seconds").await?;

    assert_eq!(recover(&world, 0, None).await?, (0, 0, 0));
    world.let_pass("16 seconds").await?;
    assert_eq!(recover(&world, 0, None).await?, (1, 1, 1));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_is_too_young_is_left_alone() -> anyhow::Result<()> {
    let world = World::new().await?;
    sent(&world).await?;
    world.let_pass("14 minutes").await?;
    // Its slot is freed as soon as its lease is over.
    assert_eq!(recover(&world, 15, None).await?, (0, 0, 1));

    world.sql.batch_execute("delete from relay.inflight").await?;

    assert_eq!(recover(&world, 15, None).await?, (0, 0, 0), "so is a ledger row without a claim");
    world.let_pass("2 minutes").await?;
    assert_eq!(recover(&world, 15, None).await?, (0, 1, 0));
    Ok(())
}

#[tokio::test]
async fn one_sites_recovery_leaves_the_others_alone() -> anyhow::Result<()> {
    let world = World::new().await?;
    sent(&world).await?;
    world.let_pass("20 minutes").await?;

    let (claims, attempts, _) = recover(&world, 15, Some(Uuid::new_v4())).await?;

    assert_eq!((claims, attempts), (0, 0));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_comes_back_is_claimed_at_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    sent(&world).await?;
    world.let_pass("31 seconds").await?;
    // Nobody looks for groups that were left out of the line.
    world.sql.batch_execute("update relay.upkeep set done_at = clock_timestamp()").await?;

    let claimed = claim(&world.sql, 10, 100, 100).await?;

    assert_eq!(claimed.len(), 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_ledger_row_is_closed_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    sent(&world).await?;
    let close = "select relay.close_provider_upload_attempt(attempt_id, 401, null, null, null, 1) \
                 from relay.provider_upload_attempts";

    let first: bool = world.sql.query_one(close, &[]).await?.get(0);
    let again: bool = world.sql.query_one(close, &[]).await?.get(0);

    assert_eq!((first, again), (true, false));
    assert_eq!(world.number("select attempts_total from relay.provider_upload_metrics").await?, 1);
    Ok(())
}
