//! Trace context: from whoever called, through a run, to the platform, and on every line.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::providers::http::build_client;
use shared::providers::trace::{TRACEPARENT, Trace};
use tests::front::request;
use tests::served::ServeProcess;
use tests::world::{CRON_SECRET, World};

use super::{answer, lines, of_event, start, worker};

/// What the stand-in was sent as `traceparent`, one entry for each request.
async fn received(world: &World) -> anyhow::Result<Vec<String>> {
    let url = format!("{}/sandbox/requests?last=100", world.sandbox.base_url());
    let told = build_client(std::time::Duration::from_secs(30))?.get(url).send().await?.text().await?;
    let told: Value = serde_json::from_str(&told)?;
    let requests = told["requests"].as_array().or(told.as_array()).expect("a list of requests");
    let header = |request: &Value| request["headers"]["traceparent"].as_str().unwrap_or("none").to_owned();
    Ok(requests.iter().map(header).collect())
}

async fn two_groups() -> anyhow::Result<World> {
    let world = World::new().await?;
    for name in ["one", "two"] {
        let site = world.site(json!({})).await?;
        world.enqueue_many(site, name, "ok", 2).await?;
    }
    Ok(world)
}

/// Each request had a parent of its own in one trace, which stands on every line.
#[track_caller]
fn assert_one_trace(received: &[String], lines: &[Value], trace: &str, flags: &str) {
    let whole = |header: &String| {
        header.starts_with(&format!("00-{trace}-")) && header.ends_with(&format!("-{flags}"))
    };
    assert!(received.len() >= 3 && received.iter().all(whole), "tokens, and two uploads: {received:?}");
    let parents: BTreeSet<_> = received.iter().collect();
    assert_eq!(parents.len(), received.len(), "{received:?}");
    let of_call = lines.iter().filter(|line| line.get("_aws").is_none());
    assert!(
        of_call.clone().count() >= 3 && of_call.clone().all(|line| line["trace.id"] == trace),
        "{lines:?}"
    );
}

#[tokio::test]
async fn the_trace_of_an_http_call_goes_along_to_the_platform() -> anyhow::Result<()> {
    let world = two_groups().await?;
    let mut runner = start("runner", &world.environment()).await?;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let event = json!({
        "version": "2.0", "rawPath": "/api/workers/google-ads-oci", "rawQueryString": "",
        "headers": {
            "x-cron-secret": CRON_SECRET, "Traceparent": format!("00-{trace}-00f067aa0ba902b7-01"),
        },
        "requestContext": { "http": { "method": "POST", "path": "/api/workers/google-ads-oci" } },
    });

    let answered = answer(&mut runner, event).await?;

    assert_eq!(answered["statusCode"], 200, "{answered}");
    assert_one_trace(&received(&world).await?, &lines(&runner), trace, "01");
    Ok(())
}

#[tokio::test]
async fn without_one_the_trace_is_that_of_lambda() -> anyhow::Result<()> {
    let world = two_groups().await?;
    let mut runner = start("runner", &world.environment()).await?;

    answer(&mut runner, worker()).await?;

    let lines = lines(&runner);
    let trace = of_event(&lines, "run_complete")[0]["trace.id"].as_str().unwrap().to_owned();
    let request = of_event(&lines, "run_complete")[0]["request.id"].as_str().unwrap().replace('-', "");
    assert_eq!(
        trace,
        format!("00000000{}", &request[..24]),
        "the stand-in for Lambda makes it of the request's id"
    );
    assert_one_trace(&received(&world).await?, &lines, &trace, "00");
    Ok(())
}

#[tokio::test]
async fn a_run_that_nobody_traces_begins_a_trace_of_its_own() -> anyhow::Result<()> {
    let world = two_groups().await?;

    world.run_worker().await?;
    let first = received(&world).await?;

    let trace = first[0].get(3..35).unwrap_or_default().to_owned();
    let same =
        |header: &&String| header.get(3..35) == Some(&trace) && Trace::from_traceparent(header).is_some();
    assert!(first.iter().all(|header| same(&header)), "{first:?}");
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "again", "ok", 1).await?;
    world.run_worker().await?;
    let all = received(&world).await?;
    assert!(
        all.len() > first.len() && all.iter().filter(same).count() == first.len(),
        "another run, another trace: {all:?}"
    );
    Ok(())
}

#[tokio::test]
async fn relay_serve_takes_the_trace_of_its_caller_too() -> anyhow::Result<()> {
    let world = two_groups().await?;
    let mut settings = world.environment();
    settings.push(("RUST_LOG", "info".to_owned()));
    let served = ServeProcess::start(&settings, &[]).await?;
    let trace = "5bf92f3577b34da6a3ce929d0e0e4736";
    let headers =
        [("x-cron-secret", CRON_SECRET.to_owned()), (TRACEPARENT, format!("00-{trace}-00f067aa0ba902b7-00"))];
    let url = format!("{}/api/workers/google-ads-oci", served.base_url());

    let answered = request(&url, "POST", &headers, b"").await?;

    assert_eq!(answered.status, 200, "{}", answered.body);
    let lines = served.stderr();
    let lines: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of_run: Vec<_> = lines.into_iter().filter(|line| line["run.id"].is_string()).collect();
    assert!(of_run.iter().all(|line| line["request.id"].is_string()), "{of_run:?}");
    assert_one_trace(&received(&world).await?, &of_run, trace, "00");
    Ok(())
}

#[track_caller]
fn check(read: Option<Trace>, expected: Option<&str>) {
    assert_eq!(read.map(|trace| trace.to_string()).as_deref(), expected);
}

#[test]
fn what_is_no_trace_context_is_not_taken_for_one() {
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";

    for (header, expected) in [
        (format!("00-{id}-00f067aa0ba902b7-01"), Some(id)),
        (format!("cc-{id}-00f067aa0ba902b7-01-what-the-future-brings"), Some(id)),
        (format!("00-{id}-00f067aa0ba902b7-01-more"), None),
        (format!("ff-{id}-00f067aa0ba902b7-01"), None),
        (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
        (format!("00-{id}-{}-01", "0".repeat(16)), None),
        (format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()), None),
        (format!("00-{}-00f067aa0ba902b7-01", &id[1..]), None),
        (format!("00-{id}-00f067aa0ba902b7"), None),
        (format!("00-+{}-00f067aa0ba902b7-01", &id[1..]), None),
        (String::new(), None),
    ] {
        check(Trace::from_traceparent(&header), expected);
    }
    let root = "Root=1-5759e988-bd862e3fe1be46a994272793";
    for (header, expected) in [
        (format!("{root};Parent=53995c3f42cd8ad8;Sampled=1"), Some("5759e988bd862e3fe1be46a994272793")),
        (root.to_owned(), Some("5759e988bd862e3fe1be46a994272793")),
        ("Root=1-5759e988-bd862e3f;Sampled=1".to_owned(), None),
        ("Self=1-5759e988-bd862e3fe1be46a994272793".to_owned(), None),
        (String::new(), None),
    ] {
        check(Trace::from_xray(&header), expected);
    }
}
