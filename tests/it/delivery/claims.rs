//! Whose turn it is.

use serde_json::json;
use tests::world::World;

/// Claims rows of at most ten groups, and says how many each gave.
async fn claim(world: &World, rows: i32) -> anyhow::Result<Vec<i32>> {
    let sql = "select cardinality(conversion_ids) \
               from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 10, $1, $1, 60)";
    Ok(world.sql.query(sql, &[&rows]).await?.iter().map(|row| row.get(0)).collect())
}

#[tokio::test]
async fn a_large_group_leaves_the_others_their_share_of_a_limit() -> anyhow::Result<()> {
    let world = World::new().await?;
    for (name, rows) in [("large", 200), ("small", 5), ("middle", 30)] {
        let site = world.site(json!({})).await?;
        world.enqueue_many(site, name, "ok", rows).await?;
    }

    let answer = world.run(json!({ "mode": "cron", "limit": 60 })).await?;

    assert_eq!((answer.completed, answer.groups), (60, 3), "{answer:?}");
    let of = |name: &str| {
        format!(
            "select count(*) from relay.offline_conversion_queue where status = 'COMPLETED' and sale_id like '{name}-%'"
        )
    };
    let (large, middle, small) = (
        world.number(&of("large")).await?,
        world.number(&of("middle")).await?,
        world.number(&of("small")).await?,
    );
    assert!(large >= 20 && middle >= 20 && small == 5, "{large}, {middle}, {small}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_group_left_out_of_the_line_comes_back_however_busy_the_others_are() -> anyhow::Result<()> {
    let world = World::new().await?;
    let stray = world.site(json!({ "quota_key": "stray" })).await?;
    world.enqueue_many(stray, "stray", "ok", 1).await?;
    // As a claim leaves it that did not see the row, whose transaction committed later.
    world.sql.batch_execute("update relay.delivery_group set turn_at = 'infinity'").await?;
    let busy = world.site(json!({ "quota_key": "busy" })).await?;
    world.enqueue_many(busy, "busy", "ok", 200).await?;

    let mut claimed = Vec::new();
    for _ in 0..3 {
        world.let_pass("31 seconds").await?;
        claimed.extend(claim(&world, 10).await?);
    }

    assert!(claimed.contains(&1), "{claimed:?}");
    Ok(())
}

#[tokio::test]
async fn a_key_whose_slots_are_taken_does_not_keep_other_keys_waiting() -> anyhow::Result<()> {
    let world = World::new().await?;
    for number in 0..30 {
        let site = world.site(json!({ "quota_key": "full" })).await?;
        world.enqueue_many(site, &format!("full{number}"), "ok", 1).await?;
    }
    let site = world.site(json!({ "quota_key": "free" })).await?;
    world.enqueue_many(site, "free", "ok", 1).await?;
    // Another claimer is just now taking the last slots.
    let other = world.database.connect().await?;
    other.batch_execute("begin; select from relay.upload_slot where quota_key = 'full' for update").await?;

    let claimed = claim(&world, 10).await?;

    assert_eq!(claimed, [1]);
    other.batch_execute("rollback").await?;
    Ok(())
}
