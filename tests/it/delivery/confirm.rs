//! Receipts: what is submitted comes to its end, each conversion to its own.

use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::SiteId;
use shared::engine::tasks::confirm;
use tests::world::{HTTP_TIMEOUT, World, row};

async fn submitted(rows: &[Value]) -> anyhow::Result<World> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue(site, rows).await?;
    world.run_worker().await?;
    Ok(world)
}

/// Half hours pass, and everybody does what is due, until nothing is submitted or waits; how many rounds that took.
async fn settle_all(world: &World, most: u32) -> anyhow::Result<u32> {
    for round in 1..=most {
        world.let_pass("31 minutes").await?;
        world.confirm().await?;
        world.run_worker().await?;
        let open = "select count(*) from relay.receipt where state = 'PENDING'";
        if world.number(open).await? == 0 && world.number("select count(*) from relay.ready").await? == 0 {
            return Ok(round);
        }
    }
    anyhow::bail!("not settled after {most} rounds: {}", world.statuses().await?)
}

#[tokio::test]
async fn a_success_ends_every_conversion_of_its_request_with_one_write() -> anyhow::Result<()> {
    let rows: Vec<_> = (0..50).map(|number| row("sale", "ok", number)).collect();
    let world = submitted(&rows).await?;
    let outcomes = "select count(*) from relay.conversion_outcome";
    let before = world.number(outcomes).await?;

    let early = world.confirm().await?;
    world.let_pass("31 minutes").await?;
    let answer = world.confirm().await?;
    let again = world.confirm().await?;

    assert_eq!(early.total, 0, "the first question waits for half an hour");
    assert_eq!((answer.total, answer.processed, answer.completed), (1, 1, 50), "{answer:?}");
    assert_eq!(again.total, 0);
    assert_eq!(world.statuses().await?, "COMPLETED 50");
    assert_eq!(world.number(outcomes).await?, before, "no outcome was written");
    assert_eq!(world.number("select completed_total from relay.provider_upload_metrics").await?, 50);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn who_wants_to_know_now_asks_for_each_receipt_once() -> anyhow::Result<()> {
    let world = World::beside(HTTP_TIMEOUT, Duration::from_secs(3_600)).await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;
    world.run_worker().await?;
    let mut early = confirm::Request { early_minutes: 1_440, ..confirm::Request::default() };

    let answer = world.confirm_as(&early).await?;
    early.early_minutes = 0;
    let later = world.confirm_as(&early).await?;

    assert_eq!((answer.total, answer.processed, answer.skipped), (1, 0, 1), "{answer:?}");
    assert_eq!(later.total, 0);
    assert_eq!(world.statuses().await?, "SUBMITTED 3");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_was_sent_tells_whom_a_receipt_means_without_another_request() -> anyhow::Result<()> {
    let mut rows: Vec<_> = (0..20).map(|number| row("sale", "ok", number)).collect();
    let mut braid = row("braid", "ok", 90);
    braid["click_ids"] = json!({ "gbraid": "sandbox-reason.INVALID_GBRAID-1" });
    rows.push(braid);
    let world = submitted(&rows).await?;
    let before = world.sandbox.summary().totals.requests;

    world.let_pass("31 minutes").await?;
    let answer = world.confirm().await?;

    assert_eq!((answer.completed, answer.failed, answer.retry), (20, 1, 0), "{answer:?}");
    assert_eq!(world.sandbox.summary().totals.requests - before, 1, "the question alone");
    let standing = world.standing("braid-90").await?;
    let code = "dataManager.ProcessingErrorReason.PROCESSING_ERROR_REASON_INVALID_GBRAID";
    assert_eq!((standing.status.as_str(), standing.last_error.as_str()), ("FAILED", code));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn few_that_are_wrong_among_many_are_found_in_few_requests() -> anyhow::Result<()> {
    let rows: Vec<_> = (0..2_000)
        .map(|number| match number {
            700 | 1_234 => row("bad", "reason.INVALID_EVENT", number),
            1_999 => row("gone", "reason.CLICK_NOT_FOUND", number),
            _ => row("sale", "ok", number),
        })
        .collect();
    let world = submitted(&rows).await?;

    let rounds = settle_all(&world, 12).await?;

    assert_eq!(world.statuses().await?, "COMPLETED 1998, FAILED 2");
    for name in ["bad-700", "bad-1234"] {
        let standing = world.standing(name).await?;
        assert!(standing.last_error.ends_with("INVALID_EVENT"), "{name}: {standing:?}");
    }
    let unmatched = "select count(*) from relay.conversion_outcome where outcome = 'UNMATCHED'";
    assert_eq!(world.number(unmatched).await?, 1);
    let uploads = world.number("select count(*) from relay.provider_upload_attempts").await?;
    assert!(uploads <= 70 && rounds <= 6, "{uploads} uploads in {rounds} rounds");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn one_in_ten_that_is_wrong_costs_less_than_asking_for_each() -> anyhow::Result<()> {
    let rows: Vec<_> = (0..300)
        .map(|number| match number * number * 31 % 101 % 10 {
            3 => row("bad", "reason.INVALID_EVENT", number),
            _ => row("sale", "ok", number),
        })
        .collect();
    let world = submitted(&rows).await?;

    settle_all(&world, 12).await?;

    let bad = (0..300).filter(|number| number * number * 31 % 101 % 10 == 3).count();
    assert_eq!(world.statuses().await?, format!("COMPLETED {}, FAILED {bad}", 300 - bad));
    let calls = world.sandbox.summary().totals.requests;
    assert!(calls < 2 * 300 * 3 / 4, "{calls} calls for 300 conversions");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn more_parts_than_one_claim_sends_take_their_turns() -> anyhow::Result<()> {
    let rows: Vec<_> = (0..200).map(|number| row("sale", "ok", number)).collect();
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue(site, &rows).await?;
    world.sql.execute("update relay.ready set part = conversion_id", &[]).await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.submitted, answer.errors_total), (200, 0), "{answer:?}");
    let alone = "select count(*) from relay.provider_upload_attempts where conversions = 1";
    assert_eq!(world.number(alone).await?, 200);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_refused_request_ends_each_by_its_reason() -> anyhow::Result<()> {
    let rows = [
        row("old", "reason.EVENT_TOO_OLD", 0),
        row("old", "reason.EVENT_TOO_OLD", 1),
        row("old", "reason.EVENT_TOO_OLD", 2),
    ];
    let world = submitted(&rows).await?;

    world.let_pass("31 minutes").await?;
    let answer = world.confirm().await?;

    assert_eq!((answer.failed, answer.retry), (3, 0), "{answer:?}");
    let expired = "select count(*) from relay.conversion_outcome where outcome = 'EXPIRED'";
    assert_eq!(world.number(expired).await?, 3);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn reasons_lead_where_their_class_says() -> anyhow::Result<()> {
    for (reason, expected) in [
        ("DENIED_CONSENT", "COMPLETED 1"),
        ("CLICK_NOT_FOUND", "COMPLETED 1"),
        ("DUPLICATE_TRANSACTION_ID", "COMPLETED 1"),
        ("INTERNAL_ERROR", "RETRY 1"),
        ("TOO_RECENT_CLICK", "RETRY 1"),
        ("OPERATING_ACCOUNT_MISMATCH_FOR_AD_IDENTIFIER", "HELD 1"),
        ("NO_CONSENT", "HELD 1"),
        ("INVALID_FORMAT", "FAILED 1"),
    ] {
        let world = submitted(&[row("sale", &format!("reason.{reason}"), 0)]).await?;

        world.let_pass("31 minutes").await?;
        world.confirm().await?;

        assert_eq!(world.statuses().await?, expected, "{reason}");
        world.assert_accounted_for().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_receipt_that_never_comes_ends_where_an_operator_sees_it() -> anyhow::Result<()> {
    let world = World::beside(HTTP_TIMEOUT, Duration::from_secs(30 * 24 * 3_600)).await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue_many(site, "late", "ok", 3).await?;
    world.run_worker().await?;

    for _ in 0..20 {
        world.let_pass("90 minutes").await?;
        world.confirm().await?;
    }

    assert_eq!(world.statuses().await?, "FAILED 3");
    let standing = world.standing("late-0").await?;
    assert_eq!(standing.last_error, "RECEIPT_NEVER_CAME");
    let polls = world.number("select polls::bigint from relay.receipt where state = 'RESOLVED'").await?;
    assert!((4..=9).contains(&polls), "{polls} questions in a day");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_crash_after_a_receipt_was_taken_apart_sends_its_conversions_again() -> anyhow::Result<()> {
    let world = submitted(&[row("sale", "ok", 0), row("sale", "ok", 1)]).await?;
    let open = "select claim_token from relay.receipt r, relay.open_receipt(r.attempt_id, 1, 60)";
    assert_eq!(world.sql.query(open, &[]).await?.len(), 1);
    assert_eq!(world.statuses().await?, "PROCESSING 2");
    world.assert_accounted_for().await?;

    world.let_pass("2 minutes").await?;
    world.run_worker().await?;
    settle_all(&world, 3).await?;

    assert_eq!(world.statuses().await?, "COMPLETED 2");
    let ledger = world.sandbox.summary();
    assert_eq!(ledger.totals.conversions_counted, 2, "the platform counted each once");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_revoked_grant_that_a_question_meets_holds_its_site_and_loses_nothing() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue_many(site, "sale", "ok", 2).await?;
    world.run_worker().await?;
    world
        .put_credentials(site, json!({ "transport": "data_manager", "refresh_token": "invalid_grant" }))
        .await?;

    world.let_pass("31 minutes").await?;
    let answer = world.confirm().await?;
    world.let_pass("2 days").await?;
    let held = world.confirm().await?;
    let holds = world.context.store.read_holds(None, None, 10).await?;
    world.put_credentials(site, json!({ "transport": "data_manager" })).await?;
    world.let_pass("11 minutes").await?;
    world.confirm().await?;

    assert_eq!((answer.skipped, answer.errors_total), (1, 1), "{answer:?}");
    assert_eq!(held.total, 0, "nobody asks while the site is held");
    assert_eq!(holds[0].code, "invalid_grant");
    assert_eq!(world.statuses().await?, "COMPLETED 2");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn an_original_that_expires_before_its_receipt_is_clear_has_not_failed() -> anyhow::Result<()> {
    let mut less = row("less", "ok", 7);
    less["kind"] = json!("restatement");
    less["order_id"] = json!("sale-1");
    less["click_ids"] = json!({});
    let world = submitted(&[row("bad", "reason.INVALID_EVENT", 0), row("sale", "ok", 1)]).await?;
    let site = SiteId(world.sql.query_one("select site_id from relay.site", &[]).await?.get(0));
    world.enqueue(site, &[less]).await?;
    world.let_pass("31 minutes").await?;
    world.confirm().await?;
    assert_eq!(world.standing("sale-1").await?.last_error, "RECEIPT_PARTIAL");

    world.sql.execute("update relay.ready set expires_at = now()", &[]).await?;
    world.run_worker().await?;
    world.run_worker().await?;

    let sale = world.standing("sale-1").await?;
    assert_eq!(
        (sale.outcome.as_str(), sale.last_error.as_str()),
        ("unconfirmed", "EXPIRED_PERHAPS_DELIVERED")
    );
    let standing = world.standing("less-7").await?;
    assert_ne!(standing.last_error, "ORIGINAL_NOT_DELIVERED", "{standing:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_budget_that_is_used_up_stands_in_no_other_clients_way() -> anyhow::Result<()> {
    let world = World::new().await?;
    let used_up = world.site(json!({ "transport": "data_manager", "quota_key": "used-up" })).await?;
    let other = world.site(json!({ "transport": "data_manager", "quota_key": "other" })).await?;
    world.enqueue_many(other, "sale", "ok", 1).await?;
    world.run_worker().await?;
    world.let_pass("31 minutes").await?;
    world
        .sql
        .execute(
            "insert into relay.receipt (attempt_id, group_id, provider_request_id, next_poll_at, created_at) \
             select number, group_id, 'r', now() - interval '1 hour', now() - interval '2 hours' \
             from relay.delivery_group, generate_series(1, 1500) as number where site_id = $1",
            &[&used_up.0],
        )
        .await?;
    let spent =
        "update relay.quota set per_day = 10, day_at = now() + interval '5 days' where quota_key = 'used-up'";
    world.sql.batch_execute(spent).await?;

    let answer = world.confirm().await?;

    assert_eq!((answer.total, answer.completed), (1, 1), "{answer:?}");
    let due = "select count(*) from relay.receipt where state = 'PENDING' and next_poll_at <= now()";
    assert_eq!(world.number(due).await?, 0, "they come back when there is room");
    Ok(())
}

#[tokio::test]
async fn two_that_claim_receipts_never_wait_for_each_others_budgets() -> anyhow::Result<()> {
    let world = submitted(&[row("sale", "ok", 0)]).await?;
    let (one, other) = (world.database.connect().await?, world.database.connect().await?);
    let claim = "select from relay.claim_receipts('google_ads', null, 1, 10, 60)";
    one.batch_execute("begin").await?;
    one.query(claim, &[]).await?;

    let mut waits = Box::pin(other.query(claim, &[]));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut waits).await;

    assert!(early.is_err(), "whoever comes second waits before it books anything");
    one.batch_execute("commit").await?;
    waits.await?;
    Ok(())
}

#[tokio::test]
async fn a_change_that_names_its_order_alone_goes_by_what_its_original_was_known_by() -> anyhow::Result<()> {
    let mut original = row("sale", "ok", 0);
    original["order_id"] = json!("O-1");
    original["consent"] = json!({ "ad_user_data": "GRANTED" });
    let world = submitted(&[original]).await?;
    world.let_pass("31 minutes").await?;
    world.confirm().await?;
    let site = world.sql.query_one("select site_id from relay.delivery_group", &[]).await?.get(0);
    let now = jiff::Timestamp::now().to_string();
    let change = |kind: &str, id: &str, order: &str| json!({ "external_id": id, "kind": kind, "order_id": order, "occurred_at": now, "value": "7.00" });
    let changes = [change("restatement", "less", "O-1"), change("restatement", "stranger", "O-unknown")];
    world.enqueue(shared::domain::SiteId(site), &changes).await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.submitted, answer.failed), (1, 1), "{answer:?}");
    assert_eq!(world.standing("less").await?.status, "SUBMITTED");
    assert_eq!(world.standing("stranger").await?.last_error, "NO_IDENTIFIER");
    let consent =
        "select count(*) from relay.conversion where payload #>> '{consent,ad_user_data}' = 'GRANTED'";
    assert_eq!(world.number(consent).await?, 2, "what was lent goes under the consent that was given for it");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn who_asks_early_gets_to_every_receipt_however_late_it_is_due() -> anyhow::Result<()> {
    let world = World::beside(HTTP_TIMEOUT, Duration::from_secs(3_600)).await?;
    for number in 0..25 {
        let site = world.site(json!({ "transport": "data_manager" })).await?;
        world.enqueue_many(site, &format!("sale{number}"), "ok", 1).await?;
    }
    world.run_worker().await?;
    world
        .sql
        .execute("update relay.receipt set next_poll_at = next_poll_at + interval '5 hours'", &[])
        .await?;
    let early = confirm::Request { early_minutes: 1_440, ..confirm::Request::default() };

    let answer = world.confirm_as(&early).await?;

    assert_eq!((answer.total, answer.skipped), (25, 25), "{answer:?}");
    assert_eq!(world.number("select max(polls)::bigint from relay.receipt").await?, 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_went_to_an_account_that_is_another_by_now_stays_perhaps_delivered() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    let mut other = row("sale", "ok", 1);
    other["conversion_action"] = json!("customers/1234567890/conversionActions/1");
    world.enqueue(site, &[row("sale", "reason.INVALID_EVENT", 0), other]).await?;
    world.run_worker().await?;
    let moved = json!({ "transport": "data_manager", "customer_id": "2234567890" });
    world.put_credentials(site, moved).await?;

    world.let_pass("31 minutes").await?;
    world.confirm().await?;
    let perhaps = world.number("select count(*) from relay.ready where maybe_delivered").await?;
    world.let_pass("10 minutes").await?;
    world.run_worker().await?;

    assert_eq!(perhaps, 2);
    assert_eq!(world.statuses().await?, "HELD 2", "it may be there, and goes nowhere else");
    world.assert_accounted_for().await
}
