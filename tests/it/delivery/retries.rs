//! What burns a retry, and how long it waits.

use std::time::Duration;

use serde_json::json;
use shared::domain::{MAX_RETRY_ATTEMPTS, retry_wait};
use tests::world::World;

#[test]
fn waits_are_jittered_between_half_and_the_whole() {
    for (failures, whole) in [(1, 60), (2, 600), (3, 3_600), (4, 21_600)] {
        let whole = Duration::from_secs(whole);
        assert_eq!(retry_wait(failures, None, 0.0), whole / 2);
        assert_eq!(retry_wait(failures, None, 1.0), whole);
    }
    assert_eq!(
        retry_wait(1, Some(Duration::from_secs(7)), 0.3),
        Duration::from_secs(7),
        "the provider's own wins"
    );
}

#[tokio::test]
async fn a_transient_verdict_on_the_row_burns_its_retries_and_ends_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "bad", "error.internalError.INTERNAL_ERROR", 1).await?;
    world.enqueue_many(site, "good", "ok", 3).await?;

    let mut waits = Vec::new();
    for _ in 0..MAX_RETRY_ATTEMPTS {
        world.run_worker().await?;
        // From the answer on, however long ago that is.
        let wait = "select coalesce(max(extract(epoch from ready.next_attempt_at - recorded_at)), 0)::bigint \
                    from relay.ready join relay.conversion_outcome using (conversion_id, seq)";
        waits.push(world.number(wait).await?);
        world.let_pass("6 hours").await?;
    }

    let standing = world.standing("bad-0").await?;
    assert_eq!((standing.status.as_str(), standing.outcome.as_str()), ("FAILED", "exhausted"));
    assert_eq!(world.statuses().await?, "COMPLETED 3, FAILED 1", "one bad row sinks nobody");
    for (wait, whole) in waits.iter().zip([60, 600, 3_600, 21_600]) {
        assert!((whole / 2..=whole).contains(wait), "{waits:?}");
    }
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_known_wait_burns_nothing() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "young", "error.TOO_RECENT_EVENT*1", 1).await?;
    world.run_worker().await?;

    let waiting = world.standing("young-0").await?;
    world.let_pass("7 hours").await?;
    world.run_worker().await?;

    assert_eq!((waiting.status.as_str(), waiting.retry_count), ("RETRY", 0));
    assert_eq!(world.statuses().await?, "COMPLETED 1");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_may_have_arrived_is_sent_again_and_its_duplicate_is_the_delivery() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "reset", "reset*1", 2).await?;

    world.run_worker().await?;

    let standing = world.standing("reset-0").await?;
    assert_eq!(
        (standing.status.as_str(), standing.outcome.as_str()),
        ("COMPLETED", "delivered"),
        "{standing:?}"
    );
    let summary = world.sandbox.summary();
    assert_eq!(summary.totals.conversions_counted, 2, "counted once");
    let hashes = "select count(distinct request_sha256) from relay.provider_upload_attempts";
    assert_eq!(world.number(hashes).await?, 1, "the resend was identical");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_duplicate_that_we_never_sent_is_told_apart() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "other", "error.ORDER_ID_ALREADY_IN_USE", 1).await?;

    world.run_worker().await?;

    let standing = world.standing("other-0").await?;
    assert_eq!((standing.status.as_str(), standing.outcome.as_str()), ("COMPLETED", "duplicate"));
    Ok(())
}

#[tokio::test]
async fn a_row_that_sinks_its_requests_is_sent_alone_and_then_its_failures_are_its_own() -> anyhow::Result<()>
{
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "poison", "http.503", 1).await?;
    world.enqueue_many(site, "good", "ok", 8).await?;

    for _ in 0..40 {
        world.run_worker().await?;
        world.let_pass("6 minutes").await?;
    }

    for number in 0..8 {
        assert_eq!(world.standing(&format!("good-{number}")).await?.status, "COMPLETED");
    }
    world.let_pass("7 hours").await?;
    assert_ne!(world.standing("poison-0").await?.status, "COMPLETED");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_row_past_its_time_ends_without_being_sent() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "old", "ok", 3).await?;
    world.let_pass("100 days").await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.processed, answer.failed), (3, 3), "{answer:?}");
    assert_eq!(world.standing("old-1").await?.outcome, "expired");
    assert_eq!(world.number("select count(*) from relay.provider_upload_attempts").await?, 0);
    assert_eq!(world.number("select failed_total from relay.provider_upload_metrics").await?, 3);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn rows_near_their_end_go_first() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "ordinary", "ok", 5).await?;
    let near = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(89 * 24);
    let urgent = json!({
        "external_id": "urgent", "occurred_at": near.to_string(),
        "click_ids": { "gclid": "sandbox-ok-urgent" },
    });
    world.enqueue(site, &[urgent]).await?;

    world.run(json!({ "mode": "cron", "limit": 1 })).await?;

    assert_eq!(world.standing("urgent").await?.status, "COMPLETED");
    assert_eq!(world.statuses().await?, "COMPLETED 1, QUEUED 5");
    Ok(())
}
