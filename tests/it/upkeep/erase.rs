//! Erasing: nothing in the whole database says any more who it was, and that something was there stays.

use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::delivery::ItemAnswer;
use shared::domain::Personal;
use shared::engine::tasks::erase;
use shared::providers::{Identity, IdentityKind};
use shared::store::{EnqueueResult, Erasure, Redrive};
use tests::world::World;
use tokio::task::JoinSet;

use super::bounds;

const ADDRESS: &str = "Jane.Doe@gmail.com";
const PHONE: &str = "+49 30 901820";

fn identity(world: &World, kind: IdentityKind, value: &str) -> anyhow::Result<Identity> {
    let mut identity = Identity::default();
    let value = Personal::new(value.to_owned());
    identity.add(kind, &value, world.context.access.registry()).map_err(anyhow::Error::msg)?;
    Ok(identity)
}

/// The task, as its schedule runs it.
async fn run(world: &World) -> anyhow::Result<erase::Answer> {
    let ran = erase::run(&world.context, &erase::Request::default(), bounds()).await?;
    ran.answer().context("skipped")
}

async fn erase(world: &World, kind: IdentityKind, value: &str) -> anyhow::Result<Erasure> {
    let id = erase::ask(&world.context, &identity(world, kind, value)?).await?;
    let ran = run(world).await?;
    anyhow::ensure!(ran.finished && ran.requests == 1, "{ran:?}");
    erase::read(&world.context, id).await?.ok_or_else(|| anyhow::anyhow!("the request is gone"))
}

/// Every place of the database where a text stands, by the text of whole rows: what no column of any table may hold.
async fn places_of(world: &World, text: &str) -> anyhow::Result<Vec<String>> {
    let tables = "select relname::text from pg_class where relnamespace = 'relay'::regnamespace and relkind in ('r', 'p') \
                  and not relispartition order by 1";
    let mut found = Vec::new();
    for table in world.sql.query(tables, &[]).await? {
        let table: String = table.get(0);
        let rows = format!("select count(*) from relay.{table} as t where t::text ilike '%' || $1 || '%'");
        if world.sql.query_one(&rows, &[&text]).await?.get::<_, i64>(0) > 0 {
            found.push(table);
        }
    }
    Ok(found)
}

fn bought_by(external_id: &str, user: Value) -> Value {
    json!({ "external_id": external_id, "user": user, "occurred_at": (Timestamp::now() - SignedDuration::from_hours(30)).to_string() })
}

#[tokio::test]
async fn nothing_says_who_it_was_and_that_something_was_stays() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let parked = json!({ "external_id": "parked", "click_ids": { "gclid": "sandbox-error.INVALID_CONVERSION_ACTION_TYPE-p" }, "user": { "email": ADDRESS } });
    let delivered = json!({ "external_id": "delivered", "click_ids": { "gclid": "sandbox-ok-jane" }, "user": { "email": ADDRESS } });
    world.enqueue(site, &[parked, delivered]).await?;
    world.enqueue_many(site, "somebody", "ok", 3).await?;
    world.run_worker().await?;
    world
        .enqueue(
            site,
            &[
                bought_by("waits", json!({ "email": "jane.doe+shop@gmail.com", "phone": PHONE })),
                bought_by("written-otherwise", json!({ "email": "janedoe@gmail.com" })),
                bought_by("another", json!({ "email": "john@example.com" })),
            ],
        )
        .await?;
    world
        .enqueue(
            site,
            &[json!({
                "external_id": "change", "kind": "restatement", "order_id": "waits", "value": "1.00",
                "occurred_at": Timestamp::now().to_string(),
            })],
        )
        .await?;
    let hash = identity(&world, IdentityKind::Email, ADDRESS)?.hashes.into_iter();
    let mut kept = Vec::new();
    for hash in hash {
        if !places_of(&world, &hash).await?.is_empty() {
            kept.push(hash);
        }
    }
    assert_eq!(kept.len(), 1, "the platform's own form is the one that is kept");

    let erasure = erase(&world, IdentityKind::Email, ADDRESS).await?;

    assert_eq!(places_of(&world, &kept[0]).await?, [""; 0]);
    assert_eq!(
        places_of(&world, "sandbox-ok-jane").await?,
        [""; 0],
        "all that one conversion knew of them goes"
    );
    let phone = identity(&world, IdentityKind::Phone, PHONE)?.hashes;
    for hash in &phone {
        assert_eq!(places_of(&world, hash).await?, [""; 0]);
    }
    assert_eq!(world.standing("parked").await?.last_error, "ERASED");
    assert_eq!(world.standing("written-otherwise").await?.last_error, "ERASED");
    assert_eq!(world.standing("delivered").await?.status, "COMPLETED");
    assert_eq!(world.standing("another").await?.status, "QUEUED");
    assert!(erasure.conversions >= 3 && erasure.keys == erasure.conversions, "{erasure:?}");
    assert_eq!((erasure.held, erasure.walked), (1, 9), "{erasure:?}");
    let value = "select payload ->> 'value' from relay.conversion where external_id = 'delivered'";
    assert_eq!(
        world.sql.query_one(value, &[]).await?.get::<_, String>(0),
        "12.50",
        "what it was worth stays"
    );
    world.run_worker().await?;
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_click_is_found_wherever_it_stands_and_kept_nowhere() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let click = "sandbox-ok-Cj0KCQ";
    world.enqueue(site, &[
        json!({ "external_id": "a", "click_ids": { "gclid": click } }),
        json!({ "external_id": "b", "click_ids": { "gclid": "sandbox-ok-other" }, "custom_variables": { "click": click } }),
        json!({ "external_id": "c", "click_ids": { "wbraid": click } }),
        json!({ "external_id": "d", "click_ids": { "gclid": "sandbox-ok-Cj0KCQx" } }),
    ]).await?;

    erase::ask(&world.context, &identity(&world, IdentityKind::ClickId, click)?).await?;
    let asked =
        world.sql.query_one("select erasure::text from relay.erasure", &[]).await?.get::<_, String>(0);
    run(&world).await?;

    assert!(!asked.contains(click), "a request holds no click id either");
    let ended = "select string_agg(sale_id, ' ' order by sale_id) from relay.offline_conversion_queue where status = 'FAILED'";
    assert_eq!(world.sql.query_one(ended, &[]).await?.get::<_, String>(0), "a b c");
    assert_eq!(world.run_worker().await?.completed, 1);
    let clicks = "select count(*) from relay.conversion where payload::text like '%sandbox-ok-Cj0KCQ\"%'";
    assert_eq!(world.number(clicks).await?, 0);
    let forgotten = "select count(*) from relay.erasure where hashes = '{}' and click_hashes = '{}' and order_hashes = '{}'";
    assert_eq!(world.number(forgotten).await?, 1);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_else_was_said_of_their_order_goes_too() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let of_order = |external_id: &str, order: &str, person: Value| {
        json!({
            "external_id": external_id, "order_id": order, "click_ids": person,
            "occurred_at": (Timestamp::now() - SignedDuration::from_hours(30)).to_string(),
        })
    };
    let mut first = of_order("first", "theirs", json!({ "gclid": "sandbox-ok-first" }));
    first["user"] = json!({ "email": ADDRESS });
    world
        .enqueue(site, &[first, of_order("other", "another", json!({ "gclid": "sandbox-ok-other" }))])
        .await?;
    // Later, and by the click alone.
    world.enqueue(site, &[of_order("second", "theirs", json!({ "gclid": "sandbox-ok-second" }))]).await?;

    let erasure = erase(&world, IdentityKind::Email, ADDRESS).await?;

    assert_eq!((erasure.conversions, erasure.ready, erasure.blocked), (2, 1, 1), "{erasure:?}");
    assert_eq!(places_of(&world, "sandbox-ok-second").await?, [""; 0]);
    assert_eq!(world.standing("other").await?.status, "QUEUED");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn nothing_brings_it_back_but_later_sales_of_the_same_person_go() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let sale = bought_by("sale", json!({ "email": ADDRESS }));
    world.enqueue(site, std::slice::from_ref(&sale)).await?;
    erase(&world, IdentityKind::Email, ADDRESS).await?;

    let again = world.enqueue(site, &[sale]).await?;
    world.enqueue(site, &[bought_by("new", json!({ "email": ADDRESS }))]).await?;

    let ItemAnswer::Taken { providers, .. } = &again[0] else { panic!("{again:?}") };
    assert_eq!(providers[0].result, EnqueueResult::Conflict, "its digest is gone with it");
    assert_eq!(world.run_worker().await?.completed, 1);
    assert_eq!(world.standing("new").await?.status, "COMPLETED");
    assert_eq!(world.standing("sale").await?.last_error, "ERASED");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_is_in_flight_is_blanked_and_ends_when_it_comes_back() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue(site, &[bought_by("lost", json!({ "email": ADDRESS }))]).await?;
    let claim = "select from relay.claim_offline_conversion_jobs_v2(1, 'google_ads', null, 10, 100, 100, 30)";
    world.sql.query(claim, &[]).await?;

    let erasure = erase(&world, IdentityKind::Email, ADDRESS).await?;
    world.let_pass("1 hour").await?;
    let ran = world.run_worker().await?;

    assert_eq!((erasure.in_flight, erasure.ready), (1, 0), "{erasure:?}");
    assert_eq!(world.standing("lost").await?.last_error, "ERASED", "{ran:?}");
    assert_eq!(world.sandbox.summary().totals.conversions_counted, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_dead_letter_of_somebody_who_was_erased_goes_nowhere() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let click = "sandbox-error.UNPARSEABLE_GCLID-dead";
    world.enqueue(site, &[json!({ "external_id": "dead", "click_ids": { "gclid": click } })]).await?;
    world.run_worker().await?;
    erase(&world, IdentityKind::ClickId, click).await?;

    let redrive = Redrive { site: Some(site), ..Redrive::default() };
    let redriven = world.context.store.redrive_dead_letters(&redrive, 10).await?;
    let before = world.sandbox.summary().totals.requests;
    world.run_worker().await?;

    assert_eq!(redriven, 1);
    assert_eq!(world.standing("dead").await?.last_error, "ERASED");
    assert_eq!(world.sandbox.summary().totals.requests, before, "there is nothing to send");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_was_submitted_ends_by_its_receipt() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue(site, &[bought_by("taken", json!({ "email": ADDRESS }))]).await?;
    world.enqueue_many(site, "beside", "ok", 2).await?;
    world.run_worker().await?;

    let erasure = erase(&world, IdentityKind::Email, ADDRESS).await?;
    world.let_pass("1 hour").await?;
    world.confirm().await?;

    assert_eq!(erasure.submitted, 1, "{erasure:?}");
    assert_eq!(world.statuses().await?, "COMPLETED 3");
    world.assert_accounted_for().await
}

/// Its receipt names nobody: an erased row cannot be cleared of what was counted, and nobody else is convicted for it.
#[tokio::test]
async fn a_receipt_that_convicts_an_erased_one_convicts_nobody_else() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    let click = "sandbox-later.PROCESSING_ERROR_REASON_INVALID_GCLID-x";
    world.enqueue(site, &[json!({ "external_id": "wrong", "click_ids": { "gclid": click } })]).await?;
    world.enqueue_many(site, "beside", "ok", 1).await?;
    world.run_worker().await?;

    erase(&world, IdentityKind::ClickId, click).await?;
    for _ in 0..6 {
        world.let_pass("1 hour").await?;
        world.confirm().await?;
        world.run_worker().await?;
    }

    assert_eq!(world.standing("beside-0").await?.status, "COMPLETED");
    let wrong = world.standing("wrong").await?;
    assert!(["ERASED", ""].contains(&wrong.last_error.as_str()), "{wrong:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_walk_that_broke_off_goes_on_where_it_stopped() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    for number in 0..10 {
        world.enqueue(site, &[bought_by(&format!("sale-{number}"), json!({ "email": ADDRESS }))]).await?;
    }
    let id = erase::ask(&world.context, &identity(&world, IdentityKind::Email, ADDRESS)?).await?;

    let first = world.context.store.erase_person(Some(id), 4).await?.unwrap();
    world.enqueue(site, &[bought_by("later", json!({ "email": ADDRESS }))]).await?;
    let rest = run(&world).await?;

    assert_eq!((first.walked, first.conversions, first.finished), (4, 4, false));
    assert_eq!((rest.processed, rest.requests, rest.finished), (6, 1, true), "{rest:?}");
    assert_eq!(world.statuses().await?, "FAILED 10, QUEUED 1", "who comes again after it is served");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn what_names_nobody_is_refused() -> anyhow::Result<()> {
    let world = World::new().await?;
    let refused = |kind, value| identity(&world, kind, value).is_err();

    assert!(refused(IdentityKind::Email, "no address"));
    assert!(refused(IdentityKind::Phone, "030 901820"), "the same number is somebody else's elsewhere");
    assert!(refused(IdentityKind::ClickId, " "));
    let nothing = erase::ask(&world.context, &Identity::default()).await;
    assert!(nothing.is_err());
    Ok(())
}

/// Beside claims, settlements, expiry and cancelling: nobody waits in a ring, and nothing is lost or sent without a name.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn beside_claims_and_settlements_nothing_is_lost() -> anyhow::Result<()> {
    // What is given up on, as on a machine with other things to do, may be counted, and then be erased.
    let world = World::with(Duration::from_secs(30)).await?;
    let site = world.site(json!({})).await?;
    let rows: Vec<Value> = (0..300)
        .map(|number| {
            let address = if number % 3 == 0 { ADDRESS } else { "john@example.com" };
            let directive = if number % 5 == 0 { "error.internalError.INTERNAL_ERROR" } else { "ok" };
            json!({
                "external_id": format!("sale-{number}"), "user": { "email": address },
                "click_ids": { "gclid": format!("sandbox-{directive}-{number}") },
            })
        })
        .collect();
    world.enqueue(site, &rows).await?;
    let id = erase::ask(&world.context, &identity(&world, IdentityKind::Email, ADDRESS)?).await?;

    let mut tasks = JoinSet::new();
    let context = world.context.clone();
    tasks.spawn(async move {
        while !context.store.erase_person(Some(id), 7).await?.is_none_or(|step| step.finished) {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    });
    let context = world.context.clone();
    tasks.spawn(async move {
        for _ in 0..30 {
            context.store.expire_conversions(50).await?;
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    });
    world.run(json!({ "mode": "cron", "provider_key": "google_ads", "limit": 200 })).await?;
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    for _ in 0..8 {
        world.let_pass("1 day").await?;
        world.run_worker().await?;
    }

    let named = "select count(*) from relay.conversion where payload ->> 'erased' = 'true'";
    assert_eq!(world.number(named).await?, 100);
    let alive =
        "select count(*) from relay.offline_conversion_queue where status not in ('COMPLETED', 'FAILED')";
    assert_eq!(world.number(alive).await?, 0);
    let delivered =
        world.number("select count(*) from relay.conversion_outcome where outcome = 'DELIVERED'").await?;
    assert_eq!(i64::try_from(world.sandbox.summary().totals.conversions_counted)?, delivered);
    world.assert_accounted_for().await
}
