//! Batches: one bad row sinks nobody.

use serde_json::json;
use tests::world::World;

#[tokio::test]
async fn a_data_manager_batch_with_one_named_bad_row_goes_without_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue_many(site, "bad", "http.400.row", 1).await?;
    world.enqueue_many(site, "good", "ok", 20).await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.submitted, answer.failed), (20, 1), "{answer:?}");
    assert_eq!(world.statuses().await?, "FAILED 1, SUBMITTED 20");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_data_manager_batch_with_an_unnamed_bad_row_is_bisected() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue_many(site, "a", "ok", 30).await?;
    world.enqueue_many(site, "bad", "http.400", 1).await?;
    world.enqueue_many(site, "b", "ok", 33).await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.submitted, answer.failed), (63, 1), "{answer:?}");
    assert_eq!(world.standing("bad-0").await?.outcome, "rejected");
    let requests = world.number("select count(*) from relay.provider_upload_attempts").await?;
    assert!(requests <= 2 * 7, "halving 64 rows takes few requests, not {requests}");
    assert_eq!(
        world.number("select count(*) from relay.upload_slot where claim_token is not null").await?,
        0
    );
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_partial_failure_is_told_row_by_row() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "good", "ok", 10).await?;
    world.enqueue_many(site, "unmatched", "error.CLICK_NOT_FOUND", 2).await?;
    world.enqueue_many(site, "expired", "error.EXPIRED_EVENT", 2).await?;
    world.enqueue_many(site, "refused", "error.UNPARSEABLE_GCLID", 2).await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.completed, answer.failed), (12, 4), "{answer:?}");
    assert_eq!(world.standing("unmatched-0").await?.outcome, "unmatched");
    assert_eq!(world.standing("expired-0").await?.outcome, "expired");
    let refused = world.standing("refused-0").await?;
    assert_eq!(refused.outcome, "rejected");
    assert_eq!(refused.last_error, "conversionUploadError.UNPARSEABLE_GCLID");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_marks_nothing_delivered() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "garbage*1", 3).await?;

    world.run(json!({ "mode": "cron", "limit": 3 })).await?;
    let first = world.statuses().await?;
    world.run_worker().await?;

    assert_eq!(first, "RETRY 3");
    assert_eq!(world.statuses().await?, "COMPLETED 3");
    assert_eq!(world.sandbox.summary().totals.conversions_counted, 3);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_payload_that_cannot_be_read_parks_its_row_alone() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;
    world
        .sql
        .batch_execute(
            "update relay.conversion set payload = '{\"from\":\"elsewhere\"}' where external_id = 'sale-1'",
        )
        .await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.completed, answer.held), (2, 1), "{answer:?}");
    assert_eq!(world.standing("sale-1").await?.last_error, "PAYLOAD_UNREADABLE");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn many_groups_go_in_turns() -> anyhow::Result<()> {
    let world = World::new().await?;
    let whale = world.site(json!({ "quota_key": "shared" })).await?;
    world.enqueue_many(whale, "whale", "ok", 500).await?;
    for number in 0..20 {
        let site = world.site(json!({ "quota_key": "shared" })).await?;
        world.enqueue_many(site, &format!("small{number}"), "ok", 3).await?;
    }
    world.run(json!({ "mode": "cron", "limit": 100 })).await?;
    world.run(json!({ "mode": "cron", "limit": 100 })).await?;

    let small = "select count(*) from relay.offline_conversion_queue where sale_id like 'small%' and status = 'COMPLETED'";
    assert_eq!(world.number(small).await?, 60, "the big group's turn came once, then everybody else's");
    world.assert_accounted_for().await
}
