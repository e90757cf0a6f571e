//! The plot of the demo of AWS: what happens, in order.

use anyhow::{Context as _, ensure};
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::checkout::{Checkout, Event};
use super::stage::{PROCESSING, Stage, ask};
use super::{Answered, AwsDemo};
use crate::demo::Check;
use crate::demo::story::{Ink, Story};
use crate::postgres::ThrowawayPostgres;

/// The site of `events/seed-direct.json`.
const SITE: &str = "00000000-0000-4000-8000-000000000001";

/// Conversions that meet a key that is denied, and such as meet a password that is new.
const BEFORE_THE_KEY: usize = 3;
const BEFORE_THE_PASSWORD: usize = 2;

/// Receipts are asked for at once.
const EARLY_MINUTES: u32 = 60;

/// Events that are turned away, as they should be: a signature that is too old, and a header that proves nothing.
const TURNED_AWAY: [&str; 2] = ["ingest-http", "runner-http-vercel-only"];

/// What a line of the table shows of an answer.
const ANSWER_SHOWN: usize = 56;

/// Plays on a server that has just been started.
pub(super) async fn play(
    checkout: &Checkout,
    server: &ThrowawayPostgres,
    story: &mut Story,
) -> anyhow::Result<AwsDemo> {
    let mut stage = Stage::set(checkout, server).await?;
    story.say("one key, and secrets as RDS and people write them: the database's login, cron, internal");
    let events = events(checkout, &mut stage, story).await?;
    let mut checks = vec![Check {
        fact: "every file of events/ was answered as it should be",
        ok: events.iter().all(|event| event.ok),
        figures: format!("{} events over `cargo lambda watch`", events.len()),
    }];
    checks.push(sealed(&stage, story).await?);
    checks.push(denied(&stage, story).await?);
    checks.push(rotated(&stage, story).await?);
    checks.push(accounts(&stage, story).await?);
    stage.sandbox.stop().await;
    Ok(AwsDemo { ok: checks.iter().all(|check| check.ok), seconds: 0.0, events, checks })
}

/// Every file of `events/`: the schema first, then a site, then all others.
async fn events(
    checkout: &Checkout,
    stage: &mut Stage<'_>,
    story: &mut Story,
) -> anyhow::Result<Vec<Answered>> {
    story.step("cargo lambda watch, and every file of events/");
    let mut files = checkout.events()?;
    let rank = |event: &Event| match event.function() {
        "migrate" => 0,
        "seed" => 1,
        _ => 2,
    };
    files.sort_by_key(rank);
    let mut all = Vec::new();
    for event in files {
        let (invoked, answer) = stage.lambda.invoke(event.function(), &event.text).await?;
        let status = answer["statusCode"].as_u64().unwrap_or_else(|| u64::from(invoked));
        let wanted = if TURNED_AWAY.contains(&event.name.as_str()) { 401 } else { 200 };
        let text = answer["body"].as_str().map_or_else(|| answer.to_string(), str::to_owned);
        let ok = status == wanted;
        let mark = if ok {
            story.ink(Ink::Green, &status.to_string())
        } else {
            story.ink(Ink::Red, &status.to_string())
        };
        let shown: String = text.chars().take(ANSWER_SHOWN).collect();
        story.line(&format!("{:<26} {mark}  {}", event.name, story.ink(Ink::Dim, &shown)));
        let migrated = event.function() == "migrate";
        all.push(Answered { event: event.name, status, ok, answer: text });
        if migrated {
            ensure!(ok, "migrate failed: {}", all[0].answer);
            stage.open().await?;
        }
    }
    Ok(all)
}

/// A new data key of KMS, and everything sealed with it.
async fn sealed(stage: &Stage<'_>, story: &mut Story) -> anyhow::Result<Check> {
    story.step("relay credentials rotate: a new data key of KMS, and a task that seals with it");
    let (code, rotated) = stage.relay(&["credentials", "rotate"]).await?;
    let answer = stage.ask("maintain", &json!({ "tasks": ["reseal-credentials"] })).await?;
    let told = &answer["tasks"]["reseal-credentials"];
    let figures =
        format!("key version {}, {} credentials sealed anew", rotated["key_version"], told["processed"]);
    story.say(&figures);
    Ok(Check {
        fact: "credentials are sealed under a data key that KMS wraps, and again after a rotation",
        ok: code == Some(0) && rotated["key_version"] == 2 && told["processed"].as_u64() > Some(0),
        figures,
    })
}

/// A runner to which the key is denied, and then one that has it.
async fn denied(stage: &Stage<'_>, story: &mut Story) -> anyhow::Result<Check> {
    story.step("A key that is denied");
    take_in(stage, "key", BEFORE_THE_KEY).await?;
    let held = ask(&stage.denied, "runner", &worker()).await?;
    let of_site = held["errors"].as_array().into_iter().flatten().find(|error| error["site_id"] == SITE);
    let error = of_site.and_then(|error| error["error"].as_str()).unwrap_or("no error").to_owned();
    story.say(&format!("{} conversions; a runner whose KMS key is another: {error}", BEFORE_THE_KEY));
    let (_, holds) = stage.relay(&["holds"]).await?;
    let sent = delivered(&stage.ask("runner", &worker()).await?);
    story.say(&format!("the runner with the key: {sent} sent"));
    let was_held = holds.to_string().contains("KEY_REFUSED");
    Ok(Check {
        fact: "a key that is denied holds the sites that it sealed, and loses nothing",
        ok: held["processed"] == 0
            && error.starts_with("KEY_REFUSED")
            && was_held
            && sent == BEFORE_THE_KEY as u64,
        figures: format!("{} sent without the key, then {sent} of {BEFORE_THE_KEY}", held["processed"]),
    })
}

/// A password that changes between two invocations of the same process.
async fn rotated(stage: &Stage<'_>, story: &mut Story) -> anyhow::Result<Check> {
    story.step("The database's password is rotated, and every connection ended");
    take_in(stage, "password", BEFORE_THE_PASSWORD).await?;
    stage.rotate_login().await?;
    let sent = delivered(&stage.ask("runner", &worker()).await?);
    let figures = format!("{sent} of {BEFORE_THE_PASSWORD} sent by the very next run");
    story.say(&figures);
    Ok(Check { fact: "a rotated password costs no run", ok: sent == BEFORE_THE_PASSWORD as u64, figures })
}

/// Receipts are read, and everything is added up.
async fn accounts(stage: &Stage<'_>, story: &mut Story) -> anyhow::Result<Check> {
    story.step("confirm reads the receipts; relay audit adds everything up");
    sleep(PROCESSING).await;
    let confirmed = stage.ask("confirm", &json!({ "early_minutes": EARLY_MINUTES })).await?;
    let (audited, _) = stage.relay(&["audit"]).await?;
    let totals = stage.sandbox.summary().totals;
    let wanted = (BEFORE_THE_KEY + BEFORE_THE_PASSWORD) as u64;
    let figures = format!(
        "{} confirmed, {} counted by the stand-in for Google, of {wanted}; audit ends with {audited:?}",
        confirmed["completed"], totals.conversions_counted
    );
    story.say(&figures);
    Ok(Check {
        fact: "every conversion is accounted for, and was counted once",
        ok: confirmed["completed"] == wanted && totals.conversions_counted == wanted && audited == Some(0),
        figures,
    })
}

fn worker() -> Value {
    json!({ "mode": "worker", "provider_key": "google_ads" })
}

fn delivered(answer: &Value) -> u64 {
    ["completed", "submitted"].iter().filter_map(|name| answer[name].as_u64()).sum()
}

/// Takes conversions in at the door, as a job of the site's owner would.
async fn take_in(stage: &Stage<'_>, name: &str, count: usize) -> anyhow::Result<()> {
    let occurred_at = (Timestamp::now() - 2.hours()).to_string();
    let one = |number: usize| {
        json!({
            "provider_key": "google_ads", "external_id": format!("demo-{name}-{number}"), "kind": "conversion",
            "occurred_at": occurred_at, "value": "129.90", "currency": "EUR",
            "click_ids": { "gclid": format!("Cj0KCQjw-{name}-{number}") },
        })
    };
    let conversions: Vec<Value> = (0..count).map(one).collect();
    let answer = stage.ask("ingest", &json!({ "site_id": SITE, "conversions": conversions })).await?;
    let queued = answer["counts"]["queued"].as_u64().context("ingest counts nothing")?;
    ensure!(queued == count as u64, "not all were taken in: {answer}");
    Ok(())
}
