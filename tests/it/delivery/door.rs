//! The door: once per (site, provider, external id), every fault named, one bad item sinks nobody.

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::delivery::ItemAnswer;
use shared::domain::{ConsentState, ConversionId, ConversionInput, SiteId};
use shared::store::{Change, EnqueueResult};
use tests::world::{World, conversion, row};
use uuid::Uuid;

fn results(answers: &[ItemAnswer]) -> Vec<EnqueueResult> {
    answers
        .iter()
        .flat_map(|answer| match answer {
            ItemAnswer::Taken { providers, .. } => providers.iter().map(|provider| provider.result).collect(),
            ItemAnswer::Invalid(_) => Vec::new(),
        })
        .collect()
}

#[tokio::test]
async fn the_same_conversion_is_known_and_another_of_its_id_is_a_conflict() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let sale = row("sale", "ok", 1);
    let mut other = sale.clone();
    other["value"] = json!("99.00");
    world.enqueue(site, std::slice::from_ref(&sale)).await?;

    let second = row("sale", "ok", 2);
    let answers = world.enqueue(site, &[sale, other, second.clone(), second]).await?;

    let expected =
        [EnqueueResult::Duplicate, EnqueueResult::Conflict, EnqueueResult::Queued, EnqueueResult::Duplicate];
    assert_eq!(results(&answers), expected);
    assert_eq!(world.number("select count(*) from relay.conversion").await?, 2);
    world.assert_accounted_for().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_doors_at_once_take_each_conversion_in_once() -> anyhow::Result<()> {
    let world = std::sync::Arc::new(World::new().await?);
    let site = world.site(json!({})).await?;
    // Seconds differ from call to call otherwise, and content would too.
    let at = (Timestamp::now() - jiff::SignedDuration::from_hours(48)).to_string();
    let mut doors = tokio::task::JoinSet::new();
    for door in 0..8 {
        let (world, at) = (std::sync::Arc::clone(&world), at.clone());
        doors.spawn(async move {
            let mut rows: Vec<Value> = (0..300).map(|number| row("sale", "ok", number)).collect();
            rows.rotate_left(door * 37);
            for row in &mut rows {
                row["occurred_at"] = json!(at);
            }
            world.enqueue(site, &rows).await.map(|answers| results(&answers))
        });
    }
    let mut queued = 0;
    while let Some(results) = doors.join_next().await {
        let results = results??;
        assert!(!results.contains(&EnqueueResult::Conflict));
        queued += results.iter().filter(|result| **result == EnqueueResult::Queued).count();
    }

    assert_eq!(queued, 300);
    assert_eq!(world.number("select count(*) from relay.conversion").await?, 300);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_conversion_without_a_provider_goes_where_the_site_has_credentials() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (site, bare) = (world.site(json!({})).await?, SiteId(Uuid::new_v4()));
    let mut sale = row("sale", "ok", 1);
    sale["provider_key"] = Value::Null;

    let taken = world.enqueue(site, std::slice::from_ref(&sale)).await?;
    let refused = world.enqueue(bare, &[sale]).await?;

    assert_eq!(results(&taken), [EnqueueResult::Queued]);
    let ItemAnswer::Invalid(errors) = &refused[0] else { panic!("{refused:?}") };
    assert_eq!(errors[0].field, "provider_key");
    Ok(())
}

#[tokio::test]
async fn addresses_and_numbers_are_stored_as_hashes_only() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let country = Change::Set("DE".parse().unwrap());
    world.context.store.put_site_defaults(site, country, Change::Kept, Change::Kept).await?;
    let sale = json!({ "external_id": "who", "user": { "email": "Ada.Lovelace@Example.com", "phone": "030 901820" } });

    world.enqueue(site, &[sale]).await?;

    let payload: Value = world.sql.query_one("select payload from relay.conversion", &[]).await?.get(0);
    assert_eq!(payload["user"]["hashed_email"].as_str().map(str::len), Some(64), "{payload}");
    assert_eq!(payload["user"]["hashed_phone"].as_str().map(str::len), Some(64), "{payload}");
    let text = payload.to_string().to_lowercase();
    assert!(!text.contains("lovelace") && !text.contains("901820"), "{text}");
    Ok(())
}

/// What is stored of the consent of each conversion, by its external id.
async fn consent_of(world: &World, external_id: &str) -> anyhow::Result<Value> {
    let sql = "select payload -> 'consent' from relay.conversion where external_id = $1";
    Ok(world.sql.query_one(sql, &[&external_id]).await?.get::<_, Option<Value>>(0).unwrap_or_default())
}

#[tokio::test]
async fn a_sites_default_fills_the_purpose_of_which_a_conversion_says_nothing_and_no_other()
-> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let granted = Change::Set(ConsentState::Granted);
    world.context.store.put_site_defaults(site, Change::Kept, granted, Change::Kept).await?;
    let sale = |name: &str, consent: Value| {
        let mut sale = row(name, "ok", 1);
        sale["consent"] = consent;
        sale
    };
    let sales = [
        sale("silent", Value::Null),
        sale("refused", json!({ "ad_user_data": "DENIED" })),
        sale("half", json!({ "ad_personalization": "DENIED" })),
    ];

    world.enqueue(site, &sales).await?;

    let check = async |name: &str, expected: Value| {
        assert_eq!(consent_of(&world, &format!("{name}-1")).await.unwrap(), expected, "{name}");
    };
    check("silent", json!({ "ad_user_data": "GRANTED" })).await;
    check("refused", json!({ "ad_user_data": "DENIED" })).await;
    check("half", json!({ "ad_user_data": "GRANTED", "ad_personalization": "DENIED" })).await;
    Ok(())
}

#[tokio::test]
async fn nothing_is_said_of_consent_where_neither_conversion_nor_operator_said_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let store = &world.context.store;
    let denied = Change::Set(ConsentState::Denied);
    store.put_site_defaults(site, Change::Kept, denied, denied).await?;
    store.put_site_defaults(site, Change::Kept, Change::None, Change::None).await?;

    world.enqueue(site, &[row("sale", "ok", 1)]).await?;

    let consent = consent_of(&world, "sale-1").await?;
    assert!(consent.as_object().is_none_or(serde_json::Map::is_empty), "{consent}");
    Ok(())
}

#[tokio::test]
async fn the_content_of_a_conversion_is_what_it_says_with_its_sites_defaults() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let silent = row("sale", "ok", 1);
    let mut said = silent.clone();
    said["consent"] = json!({ "ad_user_data": "GRANTED" });
    let granted = Change::Set(ConsentState::Granted);
    world.context.store.put_site_defaults(site, Change::Kept, granted, Change::Kept).await?;
    world.enqueue(site, std::slice::from_ref(&silent)).await?;

    let same = world.enqueue(site, &[said]).await?;
    world.context.store.put_site_defaults(site, Change::Kept, Change::None, Change::Kept).await?;
    let other = world.enqueue(site, &[silent]).await?;

    assert_eq!(results(&same), [EnqueueResult::Duplicate]);
    assert_eq!(results(&other), [EnqueueResult::Conflict]);
    Ok(())
}

#[tokio::test]
async fn a_national_number_without_a_country_is_dropped_and_told() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let mut sale = row("sale", "ok", 1);
    sale["user"] = json!({ "phone": "030 901820" });

    let answers = world.enqueue(site, &[sale]).await?;

    let ItemAnswer::Taken { dropped, .. } = &answers[0] else { panic!("{answers:?}") };
    assert_eq!(dropped[0].field, "user.phone");
    Ok(())
}

#[tokio::test]
async fn what_is_too_old_is_not_taken_in() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let mut sale = row("sale", "ok", 1);
    sale["occurred_at"] = json!("2025-01-01T00:00:00Z");

    let answers = world.enqueue(site, &[sale]).await?;

    assert_eq!(results(&answers), [EnqueueResult::Expired]);
    assert_eq!(world.number("select count(*) from relay.conversion_key").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_click_too_young_for_the_platform_waits() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let clicked = Timestamp::now() - jiff::SignedDuration::from_hours(1);
    let mut sale = row("sale", "ok", 1);
    sale["clicked_at"] = json!(clicked.to_string());
    sale["occurred_at"] = json!(Timestamp::now().to_string());
    world.enqueue(site, &[sale]).await?;

    let early = world.run_worker().await?;
    world.let_pass("5 hours 10 minutes").await?;
    let later = world.run_worker().await?;

    assert_eq!((early.processed, later.completed), (0, 1));
    Ok(())
}

#[test]
fn every_wrong_field_is_named() {
    let site = SiteId(Uuid::nil());
    let check = |fields: Value, field: &str| {
        let input = conversion(site, &fields);
        let errors = ConversionInput::parse(&input).expect_err(field);
        assert!(errors.iter().any(|error| error.field == field), "{field}: {errors:?}");
    };
    let click = json!({ "gclid": "x" });
    check(json!({ "click_ids": click, "colour": "red" }), "colour");
    check(json!({ "click_ids": { "gclyd": "x" } }), "click_ids.gclyd");
    check(json!({}), "click_ids");
    check(json!({ "click_ids": click, "currency": "EURO" }), "currency");
    check(json!({ "click_ids": click, "currency": null }), "currency");
    check(json!({ "click_ids": click, "occurred_at": "2026-11-01T10:00:00" }), "occurred_at");
    check(json!({ "click_ids": click, "occurred_at": "yesterday" }), "occurred_at");
    check(json!({ "click_ids": click, "value": "12,50" }), "value");
    check(json!({ "click_ids": click, "value": -3 }), "value");
    check(json!({ "click_ids": click, "value": true }), "value");
    check(json!({ "click_ids": click, "kind": "sale" }), "kind");
    check(json!({ "click_ids": click, "site_id": "site-1" }), "site_id");
    check(json!({ "click_ids": click, "external_id": "" }), "external_id");
    check(json!({ "click_ids": click, "provider_key": "myspace" }), "provider_key");
    check(json!({ "click_ids": click, "consent": { "ad_user_data": "YES" } }), "consent.ad_user_data");
    check(json!({ "click_ids": click, "custom_variables": { "a": 1 } }), "custom_variables.a");
    check(json!({ "click_ids": "x" }), "click_ids");
    check(json!({ "kind": "restatement", "click_ids": click, "value": null }), "order_id");
    check(json!({ "kind": "enhancement", "order_id": "o", "click_ids": click }), "user");
}

#[test]
fn money_keeps_every_digit() {
    let site = SiteId(Uuid::nil());
    for text in ["0.1", "19.99", "12345678901234567.89", "0.0000001", "100"] {
        for value in [json!(text), serde_json::from_str(text).unwrap()] {
            let input = conversion(site, &json!({ "click_ids": { "gclid": "x" }, "value": value }));
            let parsed = ConversionInput::parse(&input).unwrap();
            assert_eq!(parsed.value.unwrap().to_string(), text);
        }
    }
}

#[tokio::test]
async fn a_text_that_the_database_cannot_hold_sinks_its_own_row_alone() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let mut bad = row("bad", "ok", 1);
    bad["custom_variables"] = json!({ "note": "a\u{0}b" });

    let answers = world.enqueue(site, &[bad, row("good", "ok", 2)]).await?;

    assert!(matches!(answers[0], ItemAnswer::Invalid(_)), "{answers:?}");
    assert_eq!(results(&answers), [EnqueueResult::Queued]);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn ids_follow_the_order_of_arrival_whatever_the_batch() -> anyhow::Result<()> {
    let world = World::new().await?;
    let sites = [world.site(json!({})).await?, world.site(json!({})).await?];
    // As many as one plan takes, more than it takes, and many; of two sites in turns, and by external id from the end.
    for count in [1, 16, 17, 600] {
        let rows: Vec<Value> = (0..count)
            .map(|number| {
                let mut row = row(&format!("{count}-{}", 900 - number), "ok", number);
                row["site_id"] = json!(sites[number % 2].to_string());
                row
            })
            .collect();

        let answers = world.enqueue(sites[0], &rows).await?;

        let ids: Vec<_> = answers.iter().map(conversion_id).collect();
        assert!(ids.is_sorted_by(|one, next| one < next) && ids[0].is_some(), "{count}: {ids:?}");
    }
    world.assert_accounted_for().await
}

fn conversion_id(answer: &ItemAnswer) -> Option<ConversionId> {
    match answer {
        ItemAnswer::Taken { providers, .. } => providers.first()?.conversion_id,
        ItemAnswer::Invalid(_) => None,
    }
}
