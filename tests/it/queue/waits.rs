//! Nobody waits for a lock that somebody else holds.

use std::collections::BTreeSet;

use tests::world::World;
use tokio_postgres::Client;

use super::{Claimed, claim, claim_one, enqueue, open_circuits, put_groups};

/// Whoever waits for a lock longer than that fails: a claim is to wait for none.
const NO_WAITING: &str = "set lock_timeout = '2s'";

/// Somebody who has locked what this statement finds; the locks go with the connection.
async fn locked(world: &World, statement: &str) -> anyhow::Result<Client> {
    world.sql.batch_execute(NO_WAITING).await?;
    let somebody = world.database.connect().await?;
    somebody.batch_execute(&format!("begin; {statement}")).await?;
    Ok(somebody)
}

#[tokio::test]
async fn nobody_waits_while_somebody_else_has_the_circuit() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 100, 1).await?;
    enqueue(&world.sql, &groups, 20, "0 s").await?;
    open_circuits(&world.sql, &groups).await?;
    world.let_pass("7 minutes").await?;
    let somebody = locked(&world, "select from relay.provider_health_state for update").await?;

    let meanwhile = claim(&world.sql, 10, 100, 100).await?;
    somebody.batch_execute("rollback").await?;
    let afterwards = claim(&world.sql, 10, 100, 100).await?;

    assert!(meanwhile.is_empty(), "{meanwhile:?}");
    assert!(matches!(afterwards[..], [Claimed { is_probe: true, rows: 5, .. }]), "{afterwards:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn nobody_waits_while_somebody_else_has_the_group() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 100, 2).await?;
    enqueue(&world.sql, &groups, 3, "0 s").await?;
    let first = "select from relay.delivery_group where group_id = (select min(group_id) from relay.ready) for update";
    let _somebody = locked(&world, first).await?;

    let claimed = claim_one(&world.sql).await?;

    assert_eq!(Some(&claimed.group), groups.last());
    world.assert_accounted_for().await
}

#[tokio::test]
async fn nobody_waits_for_rows_that_somebody_else_has() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 100, 1).await?;
    enqueue(&world.sql, &groups, 6, "0 s").await?;
    world.sql.batch_execute("update relay.ready set band = (conversion_id % 2)::smallint").await?;
    let one_of_each = "select from relay.ready where conversion_id in \
                       (select min(conversion_id) from relay.ready group by band) for update";
    let _somebody = locked(&world, one_of_each).await?;

    let claimed = claim_one(&world.sql).await?;

    assert_eq!(claimed.rows, 4);
    Ok(())
}

#[tokio::test]
async fn nobody_waits_for_a_lapsed_claim_that_is_just_being_settled() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 100, 1).await?;
    enqueue(&world.sql, &groups, 3, "0 s").await?;
    claim_one(&world.sql).await?;
    world.let_pass("31 seconds").await?;
    let somebody = locked(&world, "select from relay.inflight for update").await?;

    let meanwhile = claim(&world.sql, 10, 100, 100).await?;
    somebody.batch_execute("rollback").await?;
    let afterwards = claim_one(&world.sql).await?;

    assert!(meanwhile.is_empty(), "{meanwhile:?}");
    assert_eq!(afterwards.rows, 3);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn the_walk_of_expiry_waits_for_no_row() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = BTreeSet::from_iter(put_groups(&world.sql, "key", 100, 1).await?);
    enqueue(&world.sql, &groups, 5, "0 s").await?;
    world.let_pass("100 days").await?;
    let first = "select from relay.ready where conversion_id = (select min(conversion_id) from relay.ready) for update";
    let _somebody = locked(&world, first).await?;

    let expired = world.number("select expired::bigint from relay.expire_conversions(100)").await?;

    assert_eq!(expired, 4);
    Ok(())
}
