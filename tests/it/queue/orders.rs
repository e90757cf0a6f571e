//! Of the writes of one order one is in flight, and the newest wins.

use super::order_ground::{AGAIN, DELIVERED, End, Ground, REJECTED, SUBMITTED, Write};

const NOTHING: [&str; 0] = [];

/// Orders that were called when a receipt settled are looked at by the next claim.
const TELL: &str =
    "select relay.call_orders(array[group_id], conversion_ids, clock_timestamp()) from relay.receipt";

#[tokio::test]
async fn a_restatement_waits_for_its_original() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    let original = ground.claim().await?.remove(0);

    let taken = ground.take_in(&[Write::restatement("less", "sale", 10)]).await?;

    assert_eq!((taken[0].as_str(), ground.standing("less").await?.as_str()), ("queued", "QUEUED ORDER_BUSY"));
    assert_eq!(ground.send(DELIVERED).await?, NOTHING);
    ground.assert_in_order().await?;
    ground.settle(&original, DELIVERED).await?;
    assert_eq!(ground.send(DELIVERED).await?, ["less"]);
    assert_eq!(ground.world.statuses().await?, "COMPLETED 2");
    ground.assert_in_order().await
}

#[tokio::test]
async fn what_waits_in_ready_or_for_its_retry_is_under_way() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    ground.take_in(&[Write::restatement("less", "sale", 10)]).await?;

    assert_eq!(ground.send(AGAIN).await?, ["sale"]);
    assert_eq!(ground.send(AGAIN).await?, ["sale"]);
    assert_eq!(ground.send(DELIVERED).await?, ["sale"]);
    assert_eq!(ground.send(DELIVERED).await?, ["less"]);
    ground.assert_in_order().await
}

#[tokio::test]
async fn a_submitted_original_is_in_flight_until_its_receipt() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    ground.send(SUBMITTED).await?;
    ground.take_in(&[Write::restatement("less", "sale", 10)]).await?;
    assert_eq!(ground.send(DELIVERED).await?, NOTHING);
    let settled = "update relay.receipt set state = 'SETTLED', outcome = 'DELIVERED'";

    ground.world.sql.batch_execute(&format!("{settled}; {TELL}")).await?;

    assert_eq!(ground.send(DELIVERED).await?, ["less"]);
    assert_eq!(ground.world.statuses().await?, "COMPLETED 2");
    ground.assert_in_order().await
}

#[tokio::test]
async fn a_receipt_that_tells_of_a_delivery_lets_the_next_go() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0), Write::restatement("less", "sale", 10)]).await?;
    ground.send(SUBMITTED).await?;
    assert_eq!(ground.send(DELIVERED).await?, NOTHING);

    ground.world.sql.execute("select relay.finish_receipt(attempt_id) from relay.receipt", &[]).await?;

    assert_eq!(ground.send(DELIVERED).await?, ["less"]);
    ground.assert_in_order().await
}

#[tokio::test]
async fn a_receipt_that_nobody_told_of_is_found_by_the_next_look() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    ground.send(SUBMITTED).await?;
    ground.take_in(&[Write::restatement("less", "sale", 10)]).await?;
    ground.world.let_pass("16 seconds").await?;
    assert_eq!(ground.send(DELIVERED).await?, NOTHING);
    ground
        .world
        .sql
        .batch_execute("update relay.receipt set state = 'SETTLED', outcome = 'REJECTED'")
        .await?;
    assert_eq!(
        (ground.send(DELIVERED).await?, ground.standing("less").await?),
        (vec![], "QUEUED ORDER_BUSY".to_owned())
    );

    ground.world.let_pass("31 seconds").await?;

    assert_eq!(ground.send(DELIVERED).await?, NOTHING);
    assert_eq!(ground.standing("less").await?, "FAILED ORIGINAL_NOT_DELIVERED");
    assert_eq!(ground.world.number("select count(*) from relay.order_call").await?, 0);
    ground.assert_in_order().await
}

#[tokio::test]
async fn claims_look_at_few_of_many_that_wait_for_their_orders_and_at_all_in_the_end() -> anyhow::Result<()> {
    const ORDERS: usize = 2_500;
    let ground = Ground::new().await?;
    let names: Vec<String> = (0..ORDERS).map(|number| format!("sale-{number}")).collect();
    let changes: Vec<String> = (0..ORDERS).map(|number| format!("less-{number}")).collect();
    let sales: Vec<_> = names.iter().map(|name| Write::conversion(name, 0)).collect();
    let waits = changes.iter().zip(&names).map(|(change, name)| Write::restatement(change, name, 10));
    ground.take_in(&sales).await?;
    ground.take_in(&waits.collect::<Vec<_>>()).await?;
    let world = &ground.world;
    world
        .sql
        .batch_execute("update relay.ready set next_attempt_at = next_attempt_at + interval '1 year'")
        .await?;
    world
        .sql
        .batch_execute(
            "update relay.conversion set due_at = due_at + interval '1 year' where kind = 'conversion'",
        )
        .await?;
    world.let_pass("16 seconds").await?;
    for _ in 0..3 {
        ground.claim().await?;
    }
    let calls = "select count(*) from relay.order_call";
    assert_eq!(world.number(calls).await?, 0, "nobody is called again who still waits");

    // Each order is over, and nobody says so.
    world
        .sql
        .batch_execute(
            "with gone as (delete from relay.ready returning *) \
         insert into relay.conversion_outcome (conversion_id, seq, outcome, class, retry_count, recorded_at) \
         select conversion_id, seq + 1, 'REJECTED', 'PERM', 0, now() from gone",
        )
        .await?;
    let waiting = "select count(*) from relay.blocked";
    let mut looks = Vec::new();
    for _ in 0..3 {
        world.let_pass("31 seconds").await?;
        ground.claim().await?;
        looks.push(world.number(waiting).await?);
    }

    // The walk goes on behind the thousand that were looked at before, to the end, and begins anew.
    assert_eq!(looks, [1_500, 1_000, 0]);
    assert_eq!(world.statuses().await?, format!("FAILED {}", 2 * ORDERS));
    ground.assert_in_order().await
}

#[tokio::test]
async fn the_newest_value_goes_and_older_ones_end() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    let original = ground.claim().await?.remove(0);
    for (id, minute) in [("first", 10), ("newest", 30), ("second", 20)] {
        ground.take_in(&[Write::restatement(id, "sale", minute)]).await?;
    }

    ground.settle(&original, DELIVERED).await?;

    assert_eq!(ground.send(DELIVERED).await?, ["newest"]);
    for id in ["first", "second"] {
        assert_eq!(ground.standing(id).await?, "COMPLETED NEWER_WRITE");
    }
    let metrics = "select completed_total from relay.provider_upload_metrics";
    assert_eq!(ground.world.number(metrics).await?, 4);
    assert_eq!(ground.send(DELIVERED).await?, NOTHING);
    ground.assert_in_order().await
}

#[tokio::test]
async fn an_older_value_that_comes_after_a_newer_was_delivered_is_not_sent() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    ground.send(DELIVERED).await?;
    ground.take_in(&[Write::restatement("newer", "sale", 20)]).await?;
    ground.send(DELIVERED).await?;

    let taken = ground.take_in(&[Write::restatement("older", "sale", 10)]).await?;

    assert_eq!(taken, ["superseded"]);
    assert_eq!(ground.standing("older").await?, "COMPLETED NEWER_WRITE");
    assert_eq!(ground.send(DELIVERED).await?, NOTHING);
    assert_eq!(
        ground.take_in(&[Write::retraction("newest", "sale", 20)]).await?,
        ["queued"],
        "as new is new"
    );
    assert_eq!(ground.send(DELIVERED).await?, ["newest"]);
    ground.assert_in_order().await
}

#[tokio::test]
async fn a_value_that_may_have_arrived_is_not_overwritten_by_an_older_one() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    ground.send(DELIVERED).await?;
    ground.take_in(&[Write::restatement("newer", "sale", 20)]).await?;
    ground.send(End("RETRY", Some("AMBIGUOUS"))).await?;
    ground.take_in(&[Write::restatement("older", "sale", 10)]).await?;

    assert_eq!(ground.send(REJECTED).await?, ["newer"]);

    assert_eq!(ground.send(DELIVERED).await?, NOTHING);
    assert_eq!(ground.standing("older").await?, "COMPLETED NEWER_WRITE");
    ground.assert_in_order().await
}

#[tokio::test]
async fn an_older_value_goes_where_the_newer_never_arrived() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    ground.send(DELIVERED).await?;
    ground.take_in(&[Write::restatement("newer", "sale", 20)]).await?;
    ground.send(REJECTED).await?;

    assert_eq!(ground.take_in(&[Write::restatement("older", "sale", 10)]).await?, ["queued"]);

    assert_eq!(ground.send(DELIVERED).await?, ["older"]);
    ground.assert_in_order().await
}

#[tokio::test]
async fn an_enhancement_and_a_restatement_both_go() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    let both = [Write::restatement("less", "sale", 10), Write::enhancement("who", "sale")];
    ground.take_in(&both).await?;

    let sent = [ground.send(DELIVERED).await?, ground.send(DELIVERED).await?, ground.send(DELIVERED).await?];

    assert_eq!(sent, [["sale"], ["who"], ["less"]]);
    assert_eq!(ground.take_in(&[Write::enhancement("who-else", "sale")]).await?, ["queued"], "it has no age");
    assert_eq!(ground.send(DELIVERED).await?, ["who-else"]);
    ground.assert_in_order().await
}

#[tokio::test]
async fn a_retraction_follows_a_restatement_that_is_in_flight() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    ground.send(DELIVERED).await?;
    ground.take_in(&[Write::restatement("less", "sale", 10)]).await?;
    let less = ground.claim().await?.remove(0);
    ground.take_in(&[Write::retraction("none", "sale", 20)]).await?;
    assert_eq!(ground.send(DELIVERED).await?, NOTHING);

    ground.settle(&less, DELIVERED).await?;

    assert_eq!(ground.send(DELIVERED).await?, ["none"]);
    ground.assert_in_order().await
}

#[tokio::test]
async fn what_adjusts_an_order_that_failed_is_a_dead_letter_until_that_was_delivered() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("sale", 0), Write::restatement("less", "sale", 10)]).await?;
    assert_eq!(ground.send(REJECTED).await?, ["sale"]);
    assert_eq!(ground.send(DELIVERED).await?, NOTHING);
    assert_eq!(ground.standing("less").await?, "FAILED ORIGINAL_NOT_DELIVERED");
    assert_eq!(ground.take_in(&[Write::enhancement("who", "sale")]).await?, ["original_failed"]);
    let metrics = "select failed_total from relay.provider_upload_metrics";
    assert_eq!(ground.world.number(metrics).await?, 3);

    // Before its original it ends again; with it, it waits for it.
    assert_eq!(ground.redrive(Some("ORIGINAL_NOT_DELIVERED")).await?, 2);
    assert_eq!(ground.standing("less").await?, "FAILED ORIGINAL_NOT_DELIVERED");
    assert_eq!(ground.redrive(None).await?, 3);
    assert_eq!(ground.standing("less").await?, "QUEUED ORDER_BUSY");
    ground.assert_in_order().await?;

    let sent = [ground.send(DELIVERED).await?, ground.send(DELIVERED).await?, ground.send(DELIVERED).await?];
    assert_eq!(sent, [["sale"], ["who"], ["less"]]);
    ground.assert_in_order().await
}

#[tokio::test]
async fn an_original_that_may_have_arrived_has_not_failed() -> anyhow::Result<()> {
    for ends in [
        [End("RETRY", Some("AMBIGUOUS")), End("EXHAUSTED", Some("TRANSIENT"))],
        [AGAIN, End("UNCONFIRMED", None)],
    ] {
        let ground = Ground::new().await?;
        ground.take_in(&[Write::conversion("sale", 0), Write::retraction("none", "sale", 10)]).await?;
        for end in ends {
            assert_eq!(ground.send(end).await?, ["sale"]);
        }

        assert_eq!(ground.send(DELIVERED).await?, ["none"], "{ends:?}");
        ground.assert_in_order().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_adjusts_an_order_that_we_never_saw_goes_at_once_and_one_by_one() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::restatement("less", "elsewhere", 10)]).await?;
    let less = ground.claim().await?.remove(0);
    assert_eq!(less.ids, ["less"]);
    ground.take_in(&[Write::restatement("lesser", "elsewhere", 20)]).await?;
    assert_eq!(ground.send(DELIVERED).await?, NOTHING);

    ground.settle(&less, DELIVERED).await?;

    assert_eq!(ground.send(DELIVERED).await?, ["lesser"]);
    let late = ground.take_in(&[Write::conversion("elsewhere", 0)]).await?;
    assert_eq!(late, ["superseded"], "its value is older than what was written");
    ground.assert_in_order().await
}

#[tokio::test]
async fn two_conversions_of_one_order_do_not_both_go() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    ground.take_in(&[Write::conversion("shop-1", 0).of_order("sale")]).await?;
    ground.take_in(&[Write::conversion("crm-1", 1).of_order("sale")]).await?;
    ground.take_in(&[Write::conversion("sale", 2)]).await?;
    ground.assert_in_order().await?;

    assert_eq!(ground.send(DELIVERED).await?, ["shop-1"]);

    assert_eq!(ground.send(DELIVERED).await?, NOTHING);
    for id in ["crm-1", "sale"] {
        assert_eq!(ground.standing(id).await?, "COMPLETED ORDER_ALREADY_DELIVERED");
    }
    let late = ground.take_in(&[Write::conversion("erp-1", 3).of_order("sale")]).await?;
    assert_eq!(late, ["order_delivered"]);
    ground.assert_in_order().await
}

#[tokio::test]
async fn the_second_conversion_of_an_order_goes_where_the_first_failed() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    // The first names no order, and is found by its key.
    ground.take_in(&[Write::conversion("sale", 0)]).await?;
    ground
        .take_in(&[Write::conversion("crm-1", 1).of_order("sale"), Write::restatement("less", "sale", 10)])
        .await?;
    ground.assert_in_order().await?;

    let sent = [ground.send(REJECTED).await?, ground.send(DELIVERED).await?, ground.send(DELIVERED).await?];

    assert_eq!(sent, [["sale"], ["crm-1"], ["less"]]);
    assert_eq!(ground.redrive(None).await?, 1);
    assert_eq!(ground.standing("sale").await?, "COMPLETED ORDER_ALREADY_DELIVERED");
    ground.assert_in_order().await
}

#[tokio::test]
async fn each_action_has_orders_of_its_own() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    let (bought, paid) = (Write::conversion("bought", 0), Write::conversion("paid", 0));
    ground.take_in(&[bought.of_order("sale"), paid.of_order("sale").of_action("17")]).await?;

    ground.take_in(&[Write::restatement("less", "sale", 10).of_action("18")]).await?;
    // One that names no order has no chain, and is found by its key.
    ground.take_in(&[Write::conversion("plain", 0)]).await?;
    ground.take_in(&[Write::restatement("other", "plain", 10).of_action("18")]).await?;

    assert_eq!(ground.send(DELIVERED).await?, ["bought", "less", "other", "paid", "plain"]);
    ground.assert_in_order().await
}

#[tokio::test]
async fn programs_that_know_of_no_orders_bring_what_waits_for_none() -> anyhow::Result<()> {
    let ground = Ground::new().await?;
    let groups = [ground.world.sql.query_one("select group_id from relay.delivery_group", &[]).await?.get(0)];

    super::enqueue(&ground.world.sql, &groups.into_iter().collect(), 3, "0 s").await?;

    assert_eq!(ground.send(DELIVERED).await?.len(), 3);
    assert_eq!(ground.world.number("select count(*) from relay.order_chain").await?, 0);
    Ok(())
}
