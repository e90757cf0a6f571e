//! The real binaries over the Lambda Runtime API: every kind of event, every way of being turned away.

mod confirm;
mod health;
mod http;
mod ingest;
mod maintain;
pub(crate) mod migrate;
mod recover;
mod runner;
mod seed;
mod serve;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use shared::boot::functions;
use tests::binaries::binary;
use tests::lambda::{Invocation, LambdaProcess};
use tests::world::World;

#[test]
fn every_function_has_its_crate_and_its_resource() -> anyhow::Result<()> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let names: BTreeSet<_> = functions::ALL.iter().map(|function| function.name.to_owned()).collect();
    let crates: BTreeSet<_> = std::fs::read_dir(format!("{root}/functions"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<_>>()?;
    let template = std::fs::read_to_string(format!("{root}/template.yaml"))?;
    let built = template.lines().filter_map(|line| line.trim().strip_prefix("BuildProperties: {Binary: "));
    let resources: BTreeSet<_> = built.map(|rest| rest.trim_end_matches('}').to_owned()).collect();

    assert_eq!((&crates, &resources), (&names, &names));
    Ok(())
}

/// Starts a function with these settings; later ones win.
pub(crate) async fn start(name: &str, settings: &[(&'static str, String)]) -> anyhow::Result<LambdaProcess> {
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    LambdaProcess::start(&binary(name)?, &settings).await
}

/// The world's settings, with some replaced; an empty one counts as missing.
fn with(world: &World, replaced: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let mut settings = world.environment();
    for (name, value) in replaced {
        settings.retain(|(known, _)| known != name);
        settings.push((name, (*value).to_owned()));
    }
    settings
}

pub(crate) async fn invoke(function: &mut LambdaProcess, event: Value) -> anyhow::Result<Invocation> {
    function.invoke(event, Duration::from_secs(30)).await
}

/// What a function answered; anything else is a failure of the test.
pub(crate) async fn answer(function: &mut LambdaProcess, event: Value) -> anyhow::Result<Value> {
    match invoke(function, event).await? {
        Invocation::Answered(answer) => Ok(answer),
        other => anyhow::bail!("{other:?}; {:?}", function.stdout()),
    }
}

/// An HTTP event in the shape of payload 2.0, and what it is answered: status and body.
pub(crate) async fn http(
    function: &mut LambdaProcess,
    method: &str,
    path: &str,
    query: &str,
    headers: Value,
    body: Option<&str>,
) -> anyhow::Result<(u64, Value)> {
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": { "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1" } },
        "isBase64Encoded": false,
    });
    if let Some(body) = body {
        event["body"] = json!(body);
    }
    let answer = answer(function, event).await?;
    let body = answer["body"].as_str().unwrap_or_default();
    Ok((answer["statusCode"].as_u64().unwrap_or_default(), serde_json::from_str(body)?))
}
