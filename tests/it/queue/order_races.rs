//! What order chains promise to many at once, after a crash, at the end of a time, and over the years.

use jiff::{Timestamp, ToSpan};
use serde_json::json;
use tests::world::World;
use tokio::task::JoinSet;

use super::order_ground::{AGAIN, DELIVERED, Ground, REJECTED, SUBMITTED, Write};

const NOTHING: [&str; 0] = [];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_come_at_once_one_goes() -> anyhow::Result<()> {
    let ground = std::sync::Arc::new(Ground::new().await?);
    let mut tasks = JoinSet::new();
    for number in 0..8 {
        let ground = ground.clone();
        tasks.spawn(async move {
            let sql = ground.world.database.connect().await?;
            for order in 0..20 {
                let (id, order) = (format!("{number}-{order}"), order.to_string());
                ground.take_in_by(&sql, &[Write::conversion(&id, number).of_order(&order)]).await?;
            }
            anyhow::Ok(())
        });
    }

    while let Some(done) = tasks.join_next().await {
        done??;
    }

    assert_eq!(ground.world.number("select count(*) from relay.ready").await?, 20);
    assert_eq!(ground.world.number("select count(*) from relay.blocked").await?, 140);
    ground.assert_in_order().await?;
    assert_eq!(ground.send(DELIVERED).await?.len(), 20);
    assert_eq!(ground.send(DELIVERED).await?, NOTHING);
    assert_eq!(ground.world.statuses().await?, "COMPLETED 160");
    ground.assert_in_order().await
}

/// Two batches at once, of which the second cannot end before the first.
async fn second_waits_for_first(first: Write<'_>, second: Write<'_>) -> anyhow::Result<Ground> {
    let ground = Ground::new().await?;
    let (one, other) = (ground.world.database.connect().await?, ground.world.database.connect().await?);
    one.batch_execute("begin").await?;
    ground.take_in_by(&one, &[first]).await?;

    let meanwhile = [second];
    let mut waits = Box::pin(ground.take_in_by(&other, &meanwhile));
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut waits).await;
    anyhow::ensure!(early.is_err(), "it did not wait: {early:?}");
    one.batch_execute("commit").await?;
    waits.await?;

    ground.assert_in_order().await?;
    Ok(ground)
}

#[tokio::test]
async fn an_adjustment_and_its_original_that_come_at_once_see_each_other() -> anyhow::Result<()> {
    let (original, adjusted) = (Write::conversion("sale", 0), Write::restatement("less", "sale", 10));

    let ground = second_waits_for_first(original, adjusted).await?;
    assert_eq!([ground.send(DELIVERED).await?, ground.send(DELIVERED).await?], [["sale"], ["less"]]);

    let ground = second_waits_for_first(adjusted, original).await?;
    assert_eq!(ground.send(REJECTED).await?, ["less"], "who comes first goes first");
    assert_eq!(ground.send(DELIVERED).await?, ["sale"]);
    assert_eq!(ground.world.number("select count(*) from relay.conversion_key").await?, 2);
    ground.assert_in_order().await
}

#[tokio::test]
async fn an_end_that_nobody_saw_is_found_by_a_later_claim() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    let original = ground.claim().await?.remove(0);
    let settling = ground.world.database.connect().await?;
    settling.batch_execute("begin").await?;
    ground.settle_by(&settling, &original, &[DELIVERED]).await?;
    ground.take_in(&[Write::restatement("less", "sale", 10)]).await?;
    settling.batch_execute("commit").await?;
    assert_eq!(ground.send(DELIVERED).await?, NOTHING, "neither saw the other");

    ground.world.let_pass("15 seconds").await?;

    assert_eq!(ground.send(DELIVERED).await?, ["less"]);
    ground.assert_in_order().await
}

#[tokio::test]
async fn a_call_stays_while_somebody_has_the_order() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0), Write::restatement("less", "sale", 10)]).await?;
    ground.send(DELIVERED).await?;
    let curtain = ground.world.database.connect().await?;
    curtain.batch_execute("begin; select from relay.order_chain for update").await?;
    assert_eq!(ground.send(DELIVERED).await?, NOTHING, "and nobody waits");
    curtain.batch_execute("commit").await?;

    assert_eq!(ground.send(DELIVERED).await?, ["less"]);
    ground.assert_in_order().await
}

#[tokio::test]
async fn calls_that_nobody_claimed_after_are_not_forgotten() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0), Write::restatement("less", "sale", 10)]).await?;
    ground.send(DELIVERED).await?;

    ground.world.let_pass("3 days").await?;

    assert_eq!(ground.send(DELIVERED).await?, ["less"]);
    ground.assert_in_order().await
}

#[tokio::test]
async fn an_older_write_that_is_due_below_the_floor_is_found() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0), Write::restatement("less", "sale", 10)]).await?;
    ground.world.let_pass("2 minutes").await?;
    // This claim sets the floor.
    let original = ground.claim().await?.remove(0);
    ground.world.let_pass("20 seconds").await?;

    ground.settle(&original, DELIVERED).await?;

    assert_eq!(ground.send(DELIVERED).await?, ["less"]);
    ground.assert_in_order().await
}

#[tokio::test]
async fn the_expiry_of_a_head_lets_the_next_go() -> anyhow::Result<()> {
    for by_claim in [true, false] {
        let ground = Ground::new().await?;
        ground.take_in(&[Write::conversion("old", 0).of_order("sale").expires_in_minutes(5)]).await?;
        ground.take_in(&[Write::conversion("new", 1).of_order("sale")]).await?;
        ground.world.let_pass("6 minutes").await?;

        if by_claim {
            assert!(ground.claim().await?.is_empty());
        } else {
            ground.world.sql.execute("select relay.expire_conversions(100)", &[]).await?;
        }

        assert_eq!(ground.standing("old").await?, "FAILED EXPIRED_BEFORE_DELIVERY");
        assert_eq!(ground.send(DELIVERED).await?, ["new"], "by a claim: {by_claim}");
        ground.assert_in_order().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_waits_for_its_order_expires_there() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    ground.send(SUBMITTED).await?;
    ground.take_in(&[Write::restatement("less", "sale", 10).expires_in_minutes(60)]).await?;
    ground.world.let_pass("61 minutes").await?;

    let expired: i32 =
        ground.world.sql.query_one("select expired from relay.expire_conversions(100)", &[]).await?.get(0);

    assert_eq!((expired, ground.standing("less").await?.as_str()), (1, "FAILED EXPIRED_BEFORE_DELIVERY"));
    assert_eq!(ground.world.number("select failed_total from relay.provider_upload_metrics").await?, 1);
    ground.assert_in_order().await
}

#[tokio::test]
async fn what_expired_while_it_waited_is_in_nobodys_way() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    let original = ground.claim().await?.remove(0);
    ground.take_in(&[Write::restatement("newest", "sale", 20).expires_in_minutes(0)]).await?;
    ground.take_in(&[Write::restatement("newer", "sale", 20).expires_in_minutes(1)]).await?;
    ground.take_in(&[Write::restatement("less", "sale", 10)]).await?;
    ground
        .world
        .sql
        .batch_execute("update relay.inflight set lease_until = lease_until + interval '1 hour'")
        .await?;
    ground.world.let_pass("2 minutes").await?;

    ground.settle(&original, DELIVERED).await?;

    assert_eq!(ground.send(DELIVERED).await?, ["less"]);
    assert_eq!(ground.standing("newer").await?, "FAILED EXPIRED_BEFORE_DELIVERY");
    ground.assert_in_order().await
}

#[tokio::test]
async fn a_lost_claim_keeps_its_order() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0), Write::restatement("less", "sale", 10)]).await?;

    for lost in 0..20 {
        let claims = ground.claim().await?;
        assert_eq!(claims.len(), 1, "{lost}: {claims:?}");
        assert_eq!(claims[0].ids, ["sale"]);
        ground.world.let_pass("31 seconds").await?;
        ground.assert_in_order().await?;
    }

    // The claim that gives the original up sees what waited for it end, too.
    assert!(ground.claim().await?.is_empty());
    assert_eq!(ground.standing("sale").await?, "FAILED CLAIM_LOST");
    assert_eq!(ground.standing("less").await?, "FAILED ORIGINAL_NOT_DELIVERED");
    ground.assert_in_order().await
}

#[tokio::test]
async fn a_redriven_write_waits_for_the_one_in_flight() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    ground.send(DELIVERED).await?;
    ground.take_in(&[Write::restatement("less", "sale", 10)]).await?;
    ground.send(REJECTED).await?;
    ground.take_in(&[Write::enhancement("who", "sale")]).await?;
    let who = ground.claim().await?.remove(0);

    assert_eq!(ground.redrive(None).await?, 1);

    assert_eq!(ground.standing("less").await?, "QUEUED ORDER_BUSY");
    assert_eq!(ground.send(DELIVERED).await?, NOTHING);
    ground.assert_in_order().await?;
    ground.settle(&who, DELIVERED).await?;
    assert_eq!(ground.send(DELIVERED).await?, ["less"]);
    ground.assert_in_order().await
}

#[tokio::test]
async fn a_second_conversion_waits_for_a_plain_original_that_is_redriven_at_this_moment() -> anyhow::Result<()>
{
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    ground.send(REJECTED).await?;
    let (one, other) = (ground.world.database.connect().await?, ground.world.database.connect().await?);
    one.batch_execute("begin; select relay.redrive_dead_letters(null, null, array(select conversion_id from relay.conversion), 10)")
        .await?;

    let again = [Write::conversion("again", 1).of_order("sale")];
    let mut comes_in = Box::pin(ground.take_in_by(&other, &again));
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut comes_in).await;
    assert!(early.is_err(), "it waits until it sees what became of the other");
    one.batch_execute("commit").await?;
    comes_in.await?;

    assert_eq!(ground.standing("again").await?, "QUEUED ORDER_BUSY");
    ground.assert_in_order().await?;
    assert_eq!(ground.send(DELIVERED).await?, ["sale"]);
    assert_eq!(ground.send(DELIVERED).await?, NOTHING);
    assert_eq!(ground.standing("again").await?, "COMPLETED ORDER_ALREADY_DELIVERED");
    ground.assert_in_order().await
}

#[tokio::test]
async fn a_plain_original_that_is_redriven_waits_for_a_second_conversion_that_comes_in_at_this_moment()
-> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    ground.send(REJECTED).await?;
    let (one, other) = (ground.world.database.connect().await?, ground.world.database.connect().await?);
    one.batch_execute("begin").await?;
    ground.take_in_by(&one, &[Write::conversion("again", 1).of_order("sale")]).await?;

    let redrive = "select relay.redrive_dead_letters(null, null, array(select conversion_id from relay.conversion), 10)";
    let mut redriven = Box::pin(other.query(redrive, &[]));
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut redriven).await;
    assert!(early.is_err(), "it waits until it sees who goes");
    one.batch_execute("commit").await?;
    redriven.await?;

    ground.assert_in_order().await?;
    assert_eq!(ground.send(DELIVERED).await?, ["again"]);
    ground.assert_in_order().await?;
    assert_eq!(ground.send(DELIVERED).await?, NOTHING);
    assert_eq!(ground.world.statuses().await?, "COMPLETED 2");
    ground.assert_in_order().await
}

#[tokio::test]
async fn a_redriven_value_that_is_older_than_what_was_delivered_is_not_sent() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    ground.send(DELIVERED).await?;
    ground.take_in(&[Write::restatement("less", "sale", 10)]).await?;
    ground.send(REJECTED).await?;
    ground.take_in(&[Write::restatement("lesser", "sale", 20)]).await?;
    ground.send(DELIVERED).await?;

    assert_eq!(ground.redrive(None).await?, 1);

    assert_eq!(ground.standing("less").await?, "COMPLETED NEWER_WRITE");
    assert_eq!(ground.send(DELIVERED).await?, NOTHING);
    ground.assert_in_order().await
}

#[tokio::test]
async fn it_is_told_what_a_write_waits_for() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0), Write::restatement("less", "sale", 10)]).await?;
    ground.send(AGAIN).await?;

    let (sale, less) = (ground.explain("sale").await?, ground.explain("less").await?);

    assert_eq!((&less["blocked_by"], &less["waits_for"]), (&json!("ORDER_BUSY"), &sale["conversion_id"]));
    assert_eq!((&less["rows_ahead"], &less["next_retry_at"]), (&json!(null), &json!(null)));
    assert_eq!((&sale["blocked_by"], &sale["waits_for"]), (&json!("IN_LINE"), &json!(null)));
    let accounts = ground.world.context.store.audit_accounts(10).await?;
    assert_eq!((accounts.keys, accounts.waiting, accounts.balance()), (2, 2, true), "{accounts:?}");
    Ok(())
}

#[tokio::test]
async fn a_week_of_which_something_waits_for_its_order_stays_and_chains_go_with_theirs() -> anyhow::Result<()>
{
    let ground = Ground::new().await?;
    let world = &ground.world;
    ground.take_in(&[Write::conversion("sale", 0), Write::restatement("less", "sale", 10)]).await?;
    ground.take_in(&[Write::conversion("named", 0).of_order("other")]).await?;
    ground.send(SUBMITTED).await?;
    // Retention alone is looked at, and not expiry.
    world.let_weeks_pass(60).await?;
    world.sql.batch_execute("update relay.receipt set state = 'SETTLED', outcome = 'DELIVERED'").await?;

    let waits = prune(world).await?;
    assert!(waits.iter().any(|week| week.contains("waits for its order")), "{waits:?}");
    assert_eq!(world.number("select count(*) from relay.order_chain").await?, 2);

    world.context.store.expire_conversions(100).await?;
    assert_eq!(prune(world).await?, NOTHING);
    for table in ["order_chain", "conversion", "conversion_key"] {
        assert_eq!(world.number(&format!("select count(*) from relay.{table}")).await?, 0, "{table}");
    }
    ground.assert_in_order().await
}

/// Prunes what can be; the weeks that stay.
async fn prune(world: &World) -> anyhow::Result<Vec<String>> {
    for _ in 0..100 {
        let step = world.context.store.prune_history(400, 100).await?;
        world.assert_accounted_for().await?;
        if step.finished {
            return Ok(step.skipped);
        }
    }
    anyhow::bail!("it never ends")
}

/// Through the door, the runner and the stand-in: the value that counts is the newest.
#[tokio::test]
async fn the_platform_ends_with_the_newest_value() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let write = |id: &str, kind: &str, minutes: i64, value: &str| {
        json!({
            "external_id": id, "kind": kind, "order_id": "sale-1", "value": value,
            "occurred_at": (Timestamp::now() - 48.hours() + minutes.minutes()).to_string(),
            "click_ids": if kind == "conversion" { json!({ "gclid": "sandbox-ok-sale" }) } else { json!({}) },
        })
    };
    let newest = write("newest", "restatement", 20, "7.00");
    world.enqueue(site, &[newest, write("sale-1", "conversion", 0, "9.00")]).await?;
    world.enqueue(site, &[write("older", "restatement", 10, "8.00")]).await?;

    let answer = world.run_worker().await?;

    assert_eq!(world.statuses().await?, "COMPLETED 3", "{answer:?}");
    assert_eq!(world.standing("older").await?.last_error, "NEWER_WRITE");
    assert_eq!((answer.processed, world.sandbox.summary().totals.conversions_counted), (2, 1), "{answer:?}");
    world.assert_accounted_for().await
}
