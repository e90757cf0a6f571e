//! Who gets how much of a claim.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use shared::domain::{ProviderKey, RunId, SiteId};
use shared::store::ClaimRequest;
use tests::world::World;

/// Conversions by site, of one claim as it is asked for here.
async fn claimed(
    world: &World,
    groups: i32,
    rows: i32,
    batch: i32,
) -> anyhow::Result<BTreeMap<SiteId, Vec<usize>>> {
    let ask = ClaimRequest {
        run: RunId(1),
        provider: ProviderKey::GoogleAds,
        site: None,
        groups,
        rows,
        batch,
        lease: Duration::from_secs(60),
    };
    let mut batches: BTreeMap<SiteId, Vec<usize>> = BTreeMap::new();
    for claim in world.context.store.claim_offline_conversion_jobs_v2(&ask).await? {
        batches.entry(claim.site).or_default().push(claim.rows.len());
    }
    Ok(batches)
}

#[tokio::test]
async fn scarce_rows_go_by_the_root_of_the_backlog_and_nobody_gets_nothing() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (large, middle, small) =
        (world.site(json!({})).await?, world.site(json!({})).await?, world.site(json!({})).await?);
    world.enqueue_many(large, "large", "ok", 900).await?;
    world.enqueue_many(middle, "middle", "ok", 100).await?;
    world.enqueue_many(small, "small", "ok", 1).await?;

    let batches = claimed(&world, 10, 200, 200).await?;

    // 200 rows for three are 67 each; four times that is where counting ends: roots of 200, 100 and 1.
    let rows = |site| batches[&site].iter().sum::<usize>();
    // What the small one does not need goes to the first that does, and nothing is left unused.
    assert_eq!((rows(large), rows(middle), rows(small)), (120, 79, 1), "{batches:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_small_groups_leave_goes_to_the_large_one() -> anyhow::Result<()> {
    let world = World::new().await?;
    let large = world.site(json!({})).await?;
    world.enqueue_many(large, "large", "ok", 500).await?;
    for number in 0..4 {
        world.enqueue_many(world.site(json!({})).await?, &format!("small-{number}"), "ok", 2).await?;
    }

    let batches = claimed(&world, 10, 300, 300).await?;

    assert_eq!(batches.len(), 5, "{batches:?}");
    assert_eq!(batches[&large].iter().sum::<usize>(), 292, "{batches:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_large_group_takes_the_places_that_nobody_else_wants() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (large, small) = (world.site(json!({})).await?, world.site(json!({})).await?);
    world.enqueue_many(large, "large", "ok", 100).await?;
    world.enqueue_many(small, "small", "ok", 3).await?;

    let batches = claimed(&world, 10, 1_000, 10).await?;

    assert_eq!((batches[&small].as_slice(), batches[&large].as_slice()), (&[3][..], &[10; 9][..]));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_run_uploads_the_batches_of_a_lone_large_group_at_once() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 10_000).await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.completed, answer.groups), (10_000, 1), "{answer:?}");
    let overlapping = "select count(*) from relay.provider_upload_attempts as a \
                       join relay.provider_upload_attempts as b \
                       on b.attempt_id > a.attempt_id and b.opened_at < a.closed_at";
    assert!(world.number(overlapping).await? > 0, "one request at a time");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn turns_go_round_whatever_the_size() -> anyhow::Result<()> {
    let world = World::new().await?;
    let large = world.site(json!({})).await?;
    world.enqueue_many(large, "large", "ok", 600).await?;
    world.let_pass("1 hour").await?;
    for number in 0..30 {
        world.enqueue_many(world.site(json!({})).await?, &format!("small-{number}"), "ok", 1).await?;
    }
    world.sql.batch_execute("update relay.quota set slots = 1000").await?;
    world
        .sql
        .batch_execute(
            "insert into relay.upload_slot (quota_key, slot_no) \
         select quota_key, slot_no from relay.quota cross join generate_series(11, 1000) as slot_no",
        )
        .await?;

    let mut order = Vec::new();
    for _ in 0..31 {
        order.extend(claimed(&world, 1, 10, 10).await?.into_keys());
    }

    assert_eq!(
        order.iter().filter(|site| **site == large).count(),
        1,
        "the oldest is large, and waits its turn"
    );
    assert_eq!(order[0], large);
    assert_eq!(claimed(&world, 1, 10, 10).await?.into_keys().next(), Some(large));
    world.assert_accounted_for().await
}
