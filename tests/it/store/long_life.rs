//! What is busy stays small: the tables that a claim walks are as large as what waits, not as what was delivered.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::world::World;

/// Conversions that wait at most, and how often they come.
const WAITING: usize = 5_000;
const ROUNDS: usize = 20;

/// Bytes of a row of ready with its entry in the index, pages of the b-tree half full: some 96 and 2 × 40.
const ROW_BYTES: i64 = 176;

#[tokio::test]
async fn the_queue_is_as_large_as_what_waits_and_not_as_what_was_delivered() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let size = "select pg_total_relation_size('relay.ready')";
    let mut largest = 0;

    for round in 0..ROUNDS {
        world.enqueue_many(site, &format!("sale-{round}"), "ok", WAITING).await?;
        assert_eq!(world.run_worker().await?.completed, WAITING as u64);
        // Autovacuum comes after 20,000 dead rows, which are four rounds.
        if round % 4 == 3 {
            largest = largest.max(world.number(size).await?);
            world.sql.batch_execute("vacuum relay.ready").await?;
        }
    }

    let delivered = world.number("select count(*) from relay.conversion_outcome").await?;
    assert_eq!(delivered, (WAITING * ROUNDS) as i64);
    // What waits, and what is dead before a vacuum comes; the index keeps its pages and fills them again.
    let bound = 5 * WAITING as i64 * ROW_BYTES;
    assert!(largest <= bound, "{largest} bytes at most, {bound} are allowed");
    let left = world.number(size).await?;
    assert!(left <= bound, "{left} bytes after all were delivered");
    world.assert_accounted_for().await
}

/// After five calls PostgreSQL would take a plan for arrays of any length, which compares each entry with each.
#[tokio::test]
async fn a_warm_connection_takes_a_batch_in_as_fast_as_a_new_one() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let mut times: Vec<Duration> = Vec::new();

    for round in 0..10 {
        let started = Instant::now();
        world.enqueue_many(site, &format!("sale-{round}"), "ok", WAITING).await?;
        times.push(started.elapsed());
    }

    let fastest = |times: &[Duration]| times.iter().min().copied().unwrap_or_default();
    // It was seven times as long.
    assert!(fastest(&times[5..]) < 3 * fastest(&times[..5]), "{times:?}");
    Ok(())
}
