//! Cancelling: ends what waits, wherever it waits, and nothing that is on its way.

use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::{ConversionId, SiteId};
use shared::engine::hands;
use shared::store::{Cancel, Cancelled, Redrive};
use tests::world::World;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::bounds;

async fn cancel_site(world: &World, site: SiteId) -> anyhow::Result<Cancelled> {
    hands::cancel(&world.context, &Cancel::Site { site, provider: None }, &bounds()).await
}

async fn id_of(world: &World, external_id: &str) -> anyhow::Result<ConversionId> {
    let sql = format!("select conversion_id from relay.conversion_key where external_id = '{external_id}'");
    Ok(ConversionId(world.number(&sql).await?))
}

/// A write of an order that is sent to nobody in this test.
fn adjustment(external_id: &str, order: &str) -> Value {
    json!({
        "external_id": external_id, "kind": "restatement", "order_id": order, "value": "3.00",
        "occurred_at": (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(40)).to_string(),
    })
}

#[tokio::test]
async fn what_waits_for_a_site_ends_wherever_it_waits() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let other = world.site(json!({})).await?;
    world.enqueue_many(site, "parked", "error.INVALID_CONVERSION_ACTION_TYPE", 2).await?;
    world.enqueue_many(site, "later", "error.TOO_RECENT_EVENT", 3).await?;
    world.enqueue_many(site, "done", "ok", 4).await?;
    world.run_worker().await?;
    world.enqueue_many(site, "new", "ok", 5).await?;
    world.enqueue_many(other, "others", "ok", 6).await?;
    world
        .enqueue(site, &[json!({ "external_id": "order", "order_id": "o", "click_ids": { "gclid": "g" } })])
        .await?;
    world.enqueue(site, &[adjustment("blocked", "o")]).await?;

    let cancelled = cancel_site(&world, site).await?;

    assert_eq!((cancelled.cancelled, cancelled.finished), (12, true), "{cancelled:?}");
    assert_eq!((cancelled.in_flight, cancelled.submitted), (0, 0));
    for name in ["parked-1", "later-0", "new-4", "order", "blocked"] {
        let standing = world.standing(name).await?;
        assert_eq!((standing.status.as_str(), standing.outcome.as_str()), ("FAILED", "cancelled"), "{name}");
        assert_eq!(standing.last_error, "CANCELLED_BY_OPERATOR");
    }
    assert_eq!(world.statuses().await?, "COMPLETED 4, FAILED 12, QUEUED 6");
    let failed = "select failed_total from relay.provider_upload_metrics order by failed_total desc limit 1";
    assert_eq!(world.number(failed).await?, 12);
    assert_eq!(world.run_worker().await?.completed, 6, "the other site's go on");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_was_cancelled_stays_known_and_is_not_brought_back() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let row = json!({ "external_id": "sale", "click_ids": { "gclid": "g" }, "occurred_at": jiff::Timestamp::now().to_string() });
    world.enqueue(site, std::slice::from_ref(&row)).await?;
    cancel_site(&world, site).await?;

    world.enqueue(site, &[row]).await?;
    let redrive = Redrive { site: Some(site), ..Redrive::default() };
    let redriven = world.context.store.redrive_dead_letters(&redrive, 10).await?;

    assert_eq!(redriven, 0, "it is no dead letter");
    assert_eq!(world.run_worker().await?.processed, 0);
    assert_eq!(world.statuses().await?, "FAILED 1");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_is_on_its_way_is_told_of_and_not_called_back() -> anyhow::Result<()> {
    let world = World::new().await?;
    let later = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue_many(later, "taken", "ok", 3).await?;
    world.run_worker().await?;
    world.enqueue_many(later, "flying", "ok", 2).await?;
    let claim = "select from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 10, 100, 100, 30)";
    world.sql.query(claim, &[]).await?;
    world.enqueue_many(later, "waiting", "ok", 4).await?;

    let of_site = cancel_site(&world, later).await?;
    let ids = ["taken-0", "flying-0", "waiting-0"];
    let mut named = vec![ConversionId(1)];
    for id in ids {
        named.push(id_of(&world, id).await?);
    }
    let of_ids = hands::cancel(&world.context, &Cancel::Conversions(named), &bounds()).await?;

    assert_eq!((of_site.cancelled, of_site.in_flight, of_site.submitted), (4, 2, 3), "{of_site:?}");
    let told = (of_ids.cancelled, of_ids.in_flight, of_ids.submitted, of_ids.ended, of_ids.unknown);
    assert_eq!(told, (0, 1, 1, 1, 1), "{of_ids:?}");
    assert_eq!(world.statuses().await?, "FAILED 4, PROCESSING 2, SUBMITTED 3");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn of_those_that_are_named_the_others_go_on() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "parked", "error.INVALID_CONVERSION_ACTION_TYPE", 2).await?;
    world.enqueue_many(site, "later", "error.TOO_RECENT_EVENT", 2).await?;
    world.run_worker().await?;
    world.enqueue_many(site, "new", "ok", 2).await?;
    let mut named = Vec::new();
    for id in ["parked-0", "later-0", "new-0", "new-0"] {
        named.push(id_of(&world, id).await?);
    }

    let cancelled = hands::cancel(&world.context, &Cancel::Conversions(named), &bounds()).await?;

    assert_eq!((cancelled.cancelled, cancelled.ended, cancelled.finished), (3, 0, true), "{cancelled:?}");
    assert_eq!(world.standing("parked-1").await?.status, "HELD");
    assert_eq!(world.standing("later-1").await?.status, "RETRY");
    assert_eq!(world.standing("new-1").await?.status, "QUEUED");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_may_have_been_delivered_stays_in_doubt() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "lost", "ok", 1).await?;
    let claim = "select claim_token from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 10, 100, 100, 30)";
    let token: Uuid = world.sql.query_one(claim, &[]).await?.get(0);
    let open = "select from relay.book_provider_upload_attempt($1, 'ads_api', '00', array[1::bigint], 30)";
    world.sql.query(open, &[&token]).await?;
    world.let_pass("1 hour").await?;
    world.recover(json!({ "min_age_minutes": 0 })).await?;
    // An adjustment of it is judged by whether it may have arrived.
    world.enqueue(site, &[adjustment("change", "lost-0")]).await?;

    let lost = id_of(&world, "lost-0").await?;
    let cancelled = hands::cancel(&world.context, &Cancel::Conversions(vec![lost]), &bounds()).await?;
    world.run_worker().await?;

    assert_eq!((cancelled.cancelled, cancelled.in_doubt), (1, 1), "{cancelled:?}");
    let class = "select provider_error_category from relay.offline_conversion_queue where sale_id = 'lost-0'";
    assert_eq!(world.sql.query_one(class, &[]).await?.get::<_, Option<&str>>(0), Some("AMBIGUOUS"));
    let change = world.standing("change").await?;
    assert_ne!(change.last_error, "ORIGINAL_NOT_DELIVERED", "{change:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn an_adjustment_of_what_was_cancelled_alone_ends_with_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "error.TOO_RECENT_EVENT", 1).await?;
    world.run_worker().await?;
    world.enqueue(site, &[adjustment("change", "sale-0")]).await?;
    assert_eq!(world.standing("change").await?.last_error, "ORDER_BUSY");

    let sale = id_of(&world, "sale-0").await?;
    hands::cancel(&world.context, &Cancel::Conversions(vec![sale]), &bounds()).await?;
    world.run_worker().await?;

    assert_eq!(world.standing("sale-0").await?.last_error, "CANCELLED_BY_OPERATOR");
    assert_eq!(world.standing("change").await?.last_error, "ORIGINAL_NOT_DELIVERED");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn much_that_waits_ends_in_steps() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 25).await?;
    let all = Cancel::Site { site, provider: None };

    let mut steps = Vec::new();
    for _ in 0..3 {
        let step = world.context.store.cancel_conversions(&all, 10).await?;
        steps.push((step.cancelled, step.finished));
    }

    assert_eq!(steps, [(10, false), (10, false), (5, true)]);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_waits_behind_a_head_ends_before_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let head = json!({ "external_id": "head", "order_id": "o", "click_ids": { "gclid": "g" } });
    world.enqueue(site, &[head]).await?;
    for number in 0..3 {
        world.enqueue(site, &[adjustment(&format!("change-{number}"), "o")]).await?;
    }
    let all = Cancel::Site { site, provider: None };

    let first = world.context.store.cancel_conversions(&all, 2).await?;

    assert_eq!((first.cancelled, first.finished), (2, false), "{first:?}");
    assert_eq!(world.standing("head").await?.status, "QUEUED", "else its end would let another go");
    cancel_site(&world, site).await?;
    assert_eq!(world.statuses().await?, "FAILED 4");
    let codes = "select count(*) from relay.conversion_outcome where code <> 'CANCELLED_BY_OPERATOR'";
    assert_eq!(world.number(codes).await?, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_somebody_has_locked_is_passed_over_and_nobody_waits() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;
    let claiming = world.database.connect().await?;
    claiming
        .batch_execute(
            "begin; select from relay.ready order by conversion_id limit 1 for update; set local lock_timeout = '1s'",
        )
        .await?;

    let meanwhile =
        world.context.store.cancel_conversions(&Cancel::Site { site, provider: None }, 100).await?;
    claiming.batch_execute("rollback").await?;
    let after = cancel_site(&world, site).await?;

    assert_eq!((meanwhile.cancelled, meanwhile.finished), (2, false), "{meanwhile:?}");
    assert_eq!((after.cancelled, after.finished), (1, true), "{after:?}");
    world.assert_accounted_for().await
}

/// Whoever gets a row has it alone: a claim, or the hand that cancels it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn beside_claims_and_settlements_each_conversion_ends_once() -> anyhow::Result<()> {
    // What is given up on, as on a machine with other things to do, may be counted, and then be cancelled.
    let world = World::with(Duration::from_secs(30)).await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "first", "ok", 600).await?;
    world.enqueue_many(site, "again", "error.internalError.INTERNAL_ERROR", 200).await?;

    let mut tasks = JoinSet::new();
    for _ in 0..2 {
        let context = world.context.clone();
        tasks.spawn(async move {
            for _ in 0..60 {
                context.store.cancel_conversions(&Cancel::Site { site, provider: None }, 5).await?;
                tokio::task::yield_now().await;
            }
            anyhow::Ok(())
        });
    }
    let ran = world.run(json!({ "mode": "cron", "provider_key": "google_ads", "limit": 400 })).await?;
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    cancel_site(&world, site).await?;

    assert!(ran.errors.is_empty() || ran.completed > 0, "{ran:?}");
    let delivered =
        world.number("select count(*) from relay.conversion_outcome where outcome = 'DELIVERED'").await?;
    let cancelled =
        world.number("select count(*) from relay.conversion_outcome where outcome = 'CANCELLED'").await?;
    assert_eq!(delivered + cancelled, 800);
    assert_eq!(i64::try_from(world.sandbox.summary().totals.conversions_counted)?, delivered);
    world.assert_accounted_for().await
}
