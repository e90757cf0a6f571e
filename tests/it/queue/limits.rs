//! What a claim was asked for is the most that it takes, and what it puts back goes when it should.

use tests::world::World;

use super::{Answer, claim, claim_one, enqueue, put_groups, settle};

#[tokio::test]
async fn a_claim_takes_no_more_than_it_was_asked_for() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 100, 3).await?;
    enqueue(&world.sql, &groups, 50, "0 s").await?;

    let of_each = claim(&world.sql, 3, 1_000, 7).await?;
    let over_all = claim(&world.sql, 3, 20, 20).await?;

    assert_eq!(of_each.iter().map(|claim| claim.rows).collect::<Vec<_>>(), [7, 7, 7]);
    assert_eq!(over_all.iter().map(|claim| claim.rows).sum::<i32>(), 20);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_goes_back_near_its_end_goes_first() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 100, 1).await?;
    enqueue(&world.sql, &groups, 1, "0 s").await?;
    let claimed = claim_one(&world.sql).await?;
    world.let_pass("59 days").await?;

    settle(&world.sql, claimed.token, 1, Answer::unsent("RELEASED", "TRANSIENT")).await?;

    assert_eq!(world.number("select band::bigint from relay.ready").await?, 0);
    Ok(())
}

#[tokio::test]
async fn nothing_goes_before_the_time_that_the_platform_named() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 100, 1).await?;
    enqueue(&world.sql, &groups, 1, "0 s").await?;
    let claimed = claim_one(&world.sql).await?;
    let told = Answer { not_before: Some("3 hours"), ..Answer::unsent("DELAYED", "DELAY") };

    settle(&world.sql, claimed.token, 1, told).await?;

    let late =
        "select count(*) from relay.ready where next_attempt_at > clock_timestamp() + interval '2 hours'";
    assert_eq!(world.number(late).await?, 1);
    assert!(claim(&world.sql, 10, 100, 100).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_short_wait_does_not_end_a_long_one() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 100, 2).await?;
    enqueue(&world.sql, &groups, 2, "0 s").await?;
    let claims = [claim(&world.sql, 10, 100, 1).await?, claim(&world.sql, 10, 100, 1).await?].concat();
    assert_eq!(claims.len(), 4);

    // Of each group the first answer asks for an hour, the second for a second; the key is told the same.
    for (place, claim) in claims.iter().enumerate() {
        let seconds = if place < 2 { 3_600 } else { 1 };
        let scope = if groups.first() == Some(&claim.group) { "group" } else { "quota_key" };
        let told = Answer { throttle: Some((scope, seconds)), ..Answer::unsent("UNANSWERED", "TRANSIENT") };
        settle(&world.sql, claim.token, 1, told).await?;
    }

    let hour = "clock_timestamp() + interval '50 minutes'";
    let groups = format!(
        "select count(*) from relay.delivery_group where throttled_until > {hour} and turn_at > {hour}"
    );
    assert_eq!(world.number(&groups).await?, 1);
    assert_eq!(
        world.number(&format!("select count(*) from relay.quota where throttled_until > {hour}")).await?,
        1
    );
    Ok(())
}

#[tokio::test]
async fn only_a_request_that_failed_as_a_whole_is_counted_against_its_rows() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 100, 1).await?;
    enqueue(&world.sql, &groups, 1, "0 s").await?;
    let counted = "select request_failures::bigint from relay.ready";

    let unsent = claim_one(&world.sql).await?;
    settle(&world.sql, unsent.token, 1, Answer::unsent("UNANSWERED", "SPLIT")).await?;
    let after_none = world.number(counted).await?;
    let failed = claim_one(&world.sql).await?;
    let whole = Answer { circuit: "transient", ..Answer::unsent("UNANSWERED", "TRANSIENT") };
    settle(&world.sql, failed.token, 1, whole).await?;
    let after_one = world.number(counted).await?;
    // Another epoch of the circuit begins anew.
    world.sql.batch_execute("update relay.provider_health_state set epoch = epoch + 1").await?;
    let anew = claim_one(&world.sql).await?;
    settle(&world.sql, anew.token, 1, Answer::unsent("RELEASED", "TRANSIENT")).await?;

    assert_eq!((after_none, after_one, world.number(counted).await?), (0, 1, 0));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_row_that_sank_three_requests_goes_alone() -> anyhow::Result<()> {
    let world = World::new().await?;
    let groups = put_groups(&world.sql, "key", 100, 1).await?;
    enqueue(&world.sql, &groups, 3, "0 s").await?;

    let mut rows = Vec::new();
    for _ in 0..4 {
        let claimed = claim_one(&world.sql).await?;
        rows.push(claimed.rows);
        let whole = Answer { circuit: "transient", ..Answer::unsent("UNANSWERED", "TRANSIENT") };
        settle(&world.sql, claimed.token, claimed.rows, whole).await?;
    }

    assert_eq!(rows, [3, 3, 3, 1]);
    world.assert_accounted_for().await
}
