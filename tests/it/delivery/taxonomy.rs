//! Every code of the taxonomy lands where it should, all the way from the platform's answer to the queue.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::domain::{Class, HoldScope, ProviderKey};
use shared::store::NewOverride;
use tests::world::{World, row};

/// The classes as the field's list has them: independent of the program's own data.
const CLASSES: &str = include_str!("../../fixtures/google_ads/classes.json");

/// Where a conversion may stand after one answer of a class: status and retries burnt.
fn expected(class: &str) -> &'static [(&'static str, i32)] {
    match class {
        "OK" => &[("COMPLETED", 0)],
        "PERM" => &[("FAILED", 0)],
        "CONFIG" => &[("HELD", 0)],
        "DELAY" => &[("RETRY", 0)],
        // Alone in its request, a row that should be batched otherwise fails for the moment.
        "TRANSIENT" | "SPLIT" => &[("RETRY", 1)],
        // Some are worth another try a day later.
        "UNMATCHED" => &[("COMPLETED", 0), ("RETRY", 1)],
        other => panic!("no such class: {other}"),
    }
}

#[tokio::test]
async fn every_code_of_a_click_upload_lands_where_it_should() -> anyhow::Result<()> {
    let world = World::new().await?;
    let classes: BTreeMap<String, Vec<Value>> = serde_json::from_str(CLASSES)?;
    let codes = &classes["conversionUploadError"];
    assert_eq!(codes.len(), 46);
    for entry in codes {
        // A site of its own for each, as some codes hold everything of their site.
        let code = entry["code"].as_str().unwrap_or_default();
        let site = world.site(json!({})).await?;
        world.enqueue(site, &[row(code, &format!("error.{code}"), 0)]).await?;
    }

    world.run_worker().await?;

    let mut faults = Vec::new();
    for entry in codes {
        let code = entry["code"].as_str().unwrap_or_default();
        let class = entry["class"].as_str().unwrap_or_default();
        let standing = world.standing(&format!("{code}-0")).await?;
        if !expected(class).contains(&(standing.status.as_str(), standing.retry_count)) {
            faults.push(format!("{code} ({class}): {standing:?}"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    world.assert_accounted_for().await
}

fn said(code: &str, class: Class) -> NewOverride<'_> {
    let provider = ProviderKey::GoogleAds;
    NewOverride {
        provider,
        code,
        class,
        scope: None,
        wait_seconds: None,
        max_attempts: None,
        whole: false,
        reason: "a test",
    }
}

#[tokio::test]
async fn an_override_rules_from_the_next_run_on_and_its_removal_restores_the_table() -> anyhow::Result<()> {
    let world = World::new().await?;
    let code = "conversionUploadError.UNPARSEABLE_GCLID";
    let site = world.site(json!({})).await?;
    let mut standings = Vec::new();
    for name in ["before", "during", "after"] {
        match name {
            "during" => {
                let said = NewOverride { wait_seconds: Some(7_200), ..said(code, Class::Delay) };
                world.context.store.put_taxonomy_meaning(&said).await?;
            }
            "after" => {
                assert!(world.context.store.delete_taxonomy_override(ProviderKey::GoogleAds, code).await?);
            }
            _ => {}
        }
        world.enqueue_many(site, name, "error.UNPARSEABLE_GCLID", 1).await?;
        world.run_worker().await?;
        standings.push(world.standing(&format!("{name}-0")).await?);
    }

    let stood: Vec<_> = standings.iter().map(|standing| (&*standing.status, standing.retry_count)).collect();
    assert_eq!(stood, [("FAILED", 0), ("RETRY", 0), ("FAILED", 0)]);
    assert!(standings.iter().all(|standing| standing.last_error == code), "{standings:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn an_override_of_a_requests_code_rules_the_whole_request() -> anyhow::Result<()> {
    let world = World::new().await?;
    let code = "authorizationError.CUSTOMER_NOT_ENABLED";
    world.context.store.put_taxonomy_meaning(&said(code, Class::Transient)).await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "shut", "refuse.authorizationError.CUSTOMER_NOT_ENABLED*1", 3).await?;

    let answer = world.run_worker().await?;

    assert_eq!((answer.held, answer.completed), (0, 3), "{answer:?}");
    assert_eq!(world.number("select count(*) from relay.hold where lifted_at is null").await?, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn an_override_of_a_status_rules_what_has_no_code() -> anyhow::Result<()> {
    let world = World::new().await?;
    let held = NewOverride { scope: Some(HoldScope::Site), ..said("HTTP_503", Class::Config) };
    world.context.store.put_taxonomy_meaning(&held).await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "down", "http.503", 2).await?;

    world.run_worker().await?;

    let standing = world.standing("down-0").await?;
    assert_eq!((standing.status.as_str(), standing.last_error.as_str()), ("HELD", "HTTP_503"));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_code_that_nobody_knows_is_told_kept_and_in_the_end_rejected() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "new", "error.internalError.ADDED_IN_V27", 2).await?;

    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(world.run_worker().await?);
        world.let_pass("6 hours").await?;
    }

    let code = "internalError.ADDED_IN_V27";
    for answer in &answers {
        let told = answer.errors.iter().filter(|error| error.error.starts_with(code)).count();
        assert_eq!((told, answer.errors_total), (1, 1), "{answer:?}");
    }
    let standing = world.standing("new-0").await?;
    assert_eq!((standing.status.as_str(), standing.outcome.as_str()), ("FAILED", "rejected"));
    let known = world.context.store.read_unknown_codes(10).await?;
    assert_eq!(known.len(), 1);
    assert_eq!((known[0].code.as_str(), known[0].times), (code, 3));
    assert!(known[0].first_seen_at < known[0].last_seen_at);
    let counted =
        "select (counters ->> 'unknown_codes')::bigint from relay.task_runs order by run_id limit 1";
    assert_eq!(world.number(counted).await?, 1);

    world.context.store.put_taxonomy_meaning(&said(code, Class::Unmatched)).await?;
    assert!(world.context.store.read_unknown_codes(10).await?.is_empty(), "it is known now");
    world.enqueue_many(site, "again", "error.internalError.ADDED_IN_V27", 1).await?;
    let answer = world.run_worker().await?;
    assert_eq!((answer.completed, answer.errors_total), (1, 0), "{answer:?}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn an_override_whose_parts_do_not_fit_its_class_is_refused() -> anyhow::Result<()> {
    let world = World::new().await?;
    let check = async |wrong: NewOverride<'_>| {
        let refused = world.context.store.put_taxonomy_meaning(&wrong).await;
        assert!(matches!(refused, Err(shared::store::StoreError::BadArgument(_))), "{wrong:?}: {refused:?}");
    };

    check(said("A", Class::Config)).await;
    check(NewOverride { scope: Some(HoldScope::Row), ..said("A", Class::Perm) }).await;
    check(NewOverride { wait_seconds: Some(1), ..said("A", Class::Perm) }).await;
    check(NewOverride { wait_seconds: Some(0), ..said("A", Class::Delay) }).await;
    check(NewOverride { max_attempts: Some(6), ..said("A", Class::Transient) }).await;
    check(NewOverride { max_attempts: Some(2), ..said("A", Class::Delay) }).await;
    check(NewOverride { reason: "", ..said("A", Class::Ok) }).await;
    Ok(())
}

#[tokio::test]
async fn an_adjustment_of_what_is_not_there_is_tried_three_times() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let mut lost = row("less", "ok", 0);
    lost["kind"] = json!("restatement");
    lost["order_id"] = json!("sandbox-error.CONVERSION_NOT_FOUND-elsewhere");
    lost["click_ids"] = json!({});
    world.enqueue(site, &[lost]).await?;
    let mut story = Vec::new();

    for _ in 0..4 {
        world.run_worker().await?;
        story.push(world.standing("less-0").await?.status);
        world.let_pass("25 hours").await?;
    }

    assert_eq!(story, ["RETRY", "RETRY", "FAILED", "FAILED"]);
    world.assert_accounted_for().await
}
