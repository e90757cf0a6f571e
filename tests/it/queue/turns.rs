//! Who is called to the line, and when.

use std::collections::BTreeSet;

use tests::world::World;

use super::{Answer, claim, claim_one, enqueue, open_circuits, put_groups, settle};

/// A group that is held, one whose circuit is open, one that was told to wait: each with a row that was due long ago.
async fn put_groups_that_wait(world: &World) -> anyhow::Result<BTreeSet<i32>> {
    let sql = &world.sql;
    let throttled = put_groups(sql, "key", 100, 1).await?;
    enqueue(sql, &throttled, 1, "-1 hour").await?;
    let claimed = claim_one(sql).await?;
    let told = Answer { throttle: Some(("group", 3_600)), ..Answer::unsent("UNANSWERED", "TRANSIENT") };
    settle(sql, claimed.token, 1, told).await?;
    let mut all = throttled;
    let open = put_groups(sql, "key", 100, 1).await?;
    enqueue(sql, &open, 1, "-1 hour").await?;
    open_circuits(sql, &open).await?;
    all.extend(open);
    let held = put_groups(sql, "key", 100, 1).await?;
    enqueue(sql, &held, 1, "-1 hour").await?;
    let claimed = claim_one(sql).await?;
    let hold = "select from relay.settle_offline_conversions($1, null, array['HELD'], array['CONFIG'], array['X'], \
                array[0], array[null]::timestamptz[], array[null]::text[], array[null]::text[], 'none', 'site', \
                'invalid_grant', null, null, null, null, null, null, null, false)";
    sql.query(hold, &[&claimed.token]).await?;
    all.extend(held);
    Ok(all)
}

const IN_LINE: &str = "select count(*) from relay.delivery_group where turn_at <= clock_timestamp()";

#[tokio::test]
async fn new_rows_call_no_group_that_waits() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups_that_wait(&world).await?;

    enqueue(&world.sql, &groups, 1, "-1 hour").await?;

    assert_eq!(world.number(IN_LINE).await?, 0);
    assert!(claim(&world.sql, 10, 100, 100).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn the_search_for_forgotten_groups_wakes_none_that_waits() -> anyhow::Result<()> {
    let world = World::new().await?;
    put_groups_that_wait(&world).await?;
    world.sql.batch_execute("update relay.delivery_group set turn_at = 'infinity'").await?;
    world.let_pass("31 seconds").await?;

    let claimed = claim(&world.sql, 10, 100, 100).await?;

    assert!(claimed.is_empty(), "{claimed:?}");
    assert_eq!(world.number(IN_LINE).await?, 0);
    // Two come to their turn when their wait is over; the hold waits for a mend.
    assert_eq!(
        world.number("select count(*) from relay.delivery_group where turn_at = 'infinity'").await?,
        1
    );
    Ok(())
}

#[tokio::test]
async fn rows_for_later_do_not_send_a_group_to_a_later_turn() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 100, 1).await?;
    enqueue(&world.sql, &groups, 1, "-1 hour").await?;

    enqueue(&world.sql, &groups, 1, "3 hours").await?;

    assert_eq!(world.number(IN_LINE).await?, 1);
    assert_eq!(claim_one(&world.sql).await?.rows, 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_goes_back_is_claimed_at_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 100, 1).await?;
    enqueue(&world.sql, &groups, 2, "0 s").await?;
    let claimed = claim_one(&world.sql).await?;

    settle(&world.sql, claimed.token, 2, Answer::unsent("RELEASED", "TRANSIENT")).await?;

    assert_eq!(claim_one(&world.sql).await?.rows, 2);
    world.assert_accounted_for().await
}
