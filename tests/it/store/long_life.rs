//! What is busy stays small: the tables that a claim walks are as large as what waits, not as what was delivered.

use std::time::Duration;

use serde_json::json;
use tests::world::World;

/// Conversions that wait at most, and how often they come.
const WAITING: usize = 2_000;
const ROUNDS: usize = 24;

/// Bytes of a row of ready with its entry in the index, pages of the b-tree half full: some 96 and 2 × 40.
const ROW_BYTES: i64 = 176;

#[tokio::test]
async fn the_queue_is_as_large_as_what_waits_and_not_as_what_was_delivered() -> anyhow::Result<()> {
    // A request that is given up on, as on a machine with other things to do, would come again.
    let world = World::with(Duration::from_secs(30)).await?;
    let site = world.site(json!({})).await?;
    let size = "select pg_total_relation_size('relay.ready')";
    let mut largest = 0;

    for round in 0..ROUNDS {
        world.enqueue_many(site, &format!("sale-{round}"), "ok", WAITING).await?;
        assert_eq!(world.run_worker().await?.completed, WAITING as u64);
        // The vacuum that autovacuum would do, after four rounds of dead rows.
        if round % 4 == 3 {
            largest = largest.max(world.number(size).await?);
            world.sql.batch_execute("vacuum relay.ready").await?;
        }
    }

    let delivered =
        world.number("select count(*) from relay.conversion_outcome where outcome = 'DELIVERED'").await?;
    assert_eq!(delivered, (WAITING * ROUNDS) as i64);
    // What waits, and what is dead before a vacuum comes; the index keeps its pages and fills them again.
    // With some air: it is a third of what was delivered.
    let bound = 8 * WAITING as i64 * ROW_BYTES;
    assert!(largest <= bound, "{largest} bytes at most, {bound} are allowed");
    let left = world.number(size).await?;
    assert!(left <= bound, "{left} bytes after all were delivered");
    world.assert_accounted_for().await
}
