//! Groups that cannot send, and groups that have much to send, keep nobody from their turn.

use std::collections::BTreeSet;

use tests::world::World;

use super::{Answer, claim, enqueue, open_circuits, put_groups, settle};

/// Groups of each kind that cannot send: a claim of ten groups would visit 200 of them before it gives up.
const OF_A_KIND: i32 = 120;

/// Groups of every kind that cannot send, all older than whatever comes after; how many.
async fn put_groups_that_cannot_send(world: &World) -> anyhow::Result<i64> {
    let sql = &world.sql;
    // Throttled alone: their one claim was answered with a wait.
    let throttled = put_groups(sql, "throttled", 1_000, OF_A_KIND).await?;
    enqueue(sql, &throttled, 1, "-3 hours").await?;
    let claimed = claim(sql, OF_A_KIND, 1_000, 1).await?;
    assert_eq!(claimed.len(), throttled.len());
    for claim in claimed {
        let told = Answer { throttle: Some(("group", 3_600)), ..Answer::unsent("UNANSWERED", "TRANSIENT") };
        assert!(settle(sql, claim.token, 1, told).await?);
    }
    // A key that was told to wait, and a key whose slots are taken: their groups keep their old places in the line.
    for (key, slots) in [("told", 1), ("full", 1)] {
        let groups = put_groups(sql, key, slots, OF_A_KIND).await?;
        enqueue(sql, &groups, 1, "-3 hours").await?;
        let claimed = claim(sql, 1, 1, 1).await?;
        assert_eq!(claimed.len(), 1);
        if key == "told" {
            let told =
                Answer { throttle: Some(("quota_key", 3_600)), ..Answer::unsent("UNANSWERED", "TRANSIENT") };
            assert!(settle(sql, claimed[0].token, 1, told).await?);
        }
    }
    let open = put_groups(sql, "open", 1_000, OF_A_KIND).await?;
    enqueue(sql, &open, 1, "-3 hours").await?;
    open_circuits(sql, &open).await?;
    let idle = put_groups(sql, "idle", 1_000, OF_A_KIND).await?;
    enqueue(sql, &idle, 1, "3 hours").await?;
    sql.batch_execute(&format!(
        "select relay.ensure_groups(array_agg(gen_random_uuid()), array_agg('google_ads'::text), now()) \
         from generate_series(1, {OF_A_KIND})"
    ))
    .await?;
    let held = sql.query("select group_id from relay.delivery_group where hold_id is not null", &[]).await?;
    enqueue(sql, &held.iter().map(|row| row.get(0)).collect(), 1, "-3 hours").await?;
    world.number("select count(*) from relay.delivery_group").await
}

#[tokio::test]
async fn groups_that_cannot_send_keep_nobody_from_the_very_next_claim() -> anyhow::Result<()> {
    let world = World::new().await?;
    let blocked = put_groups_that_cannot_send(&world).await?;
    assert_eq!(blocked, i64::from(6 * OF_A_KIND));
    let due = put_groups(&world.sql, "due", 10, 8).await?;
    enqueue(&world.sql, &due, 2, "0 s").await?;

    let claimed = claim(&world.sql, 10, 1_000, 100).await?;

    assert_eq!(claimed.iter().map(|claim| claim.group).collect::<BTreeSet<_>>(), due);
    assert!(claimed.iter().all(|claim| claim.rows == 2), "{claimed:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_group_with_much_to_send_starves_none_with_little() -> anyhow::Result<()> {
    let world = World::new().await?;
    let large = put_groups(&world.sql, "shared", 1_000, 1).await?;
    enqueue(&world.sql, &large, 2_000, "-1 hour").await?;
    let small = put_groups(&world.sql, "shared", 1_000, 40).await?;
    enqueue(&world.sql, &small, 2, "0 s").await?;

    // Twenty calls of at most 20 rows: in order of their age all 400 would be the large group's.
    let mut served = BTreeSet::new();
    let mut of_the_large = 0;
    for _ in 0..20 {
        for claim in claim(&world.sql, 4, 20, 20).await? {
            of_the_large += if large.contains(&claim.group) { claim.rows } else { 0 };
            served.insert(claim.group);
        }
    }

    let starved: Vec<_> = small.difference(&served).collect();
    assert!(starved.is_empty(), "{starved:?}");
    assert!(of_the_large >= 20, "nor is the large one starved: {of_the_large}");
    world.assert_accounted_for().await
}
