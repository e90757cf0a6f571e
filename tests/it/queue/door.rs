//! What is brought in is found by the next claim.

use tests::world::World;

use super::{claim, claim_one, enqueue, put_groups};

#[tokio::test]
async fn what_is_brought_is_claimed_at_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 100, 1).await?;
    // The group is known to be empty, and nobody looks for groups that were left out of the line.
    assert!(claim(&world.sql, 10, 100, 100).await?.is_empty());

    enqueue(&world.sql, &groups, 2, "0 s").await?;

    assert_eq!(claim_one(&world.sql).await?.rows, 2);
    world.assert_accounted_for().await
}
