//! `docs/openapi.json` says what is so: each door stands in it and no other, and a tester that goes by it finds nothing.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Context as _;
use relay_cli::python::environment;
use relay_cli::serve::OPENAPI;
use serde_json::{Value, json};
use shared::boot::functions;
use shared::engine::{Tasks, Turns};
use tests::binaries::target_folder;
use tests::front::request;
use tests::served::ServeProcess;
use tests::world::{CRON_SECRET, World};
use tokio::process::Command;

fn document() -> Value {
    serde_json::from_str(OPENAPI).expect("docs/openapi.json is JSON")
}

#[test]
fn every_door_stands_in_the_document_and_every_path_of_it_is_a_door() {
    let doors = functions::ALL.iter().flat_map(|function| function.doors);
    let doors: BTreeSet<_> = doors.map(|door| format!("{} {}", door.method, door.path)).collect();
    let document = document();
    let paths = document["paths"].as_object().expect("the document has paths");
    let listed = paths.iter().flat_map(|(path, methods)| {
        methods
            .as_object()
            .into_iter()
            .flatten()
            .map(move |(method, _)| format!("{} {path}", method.to_uppercase()))
    });

    assert_eq!(listed.collect::<BTreeSet<_>>(), doors);
}

#[tokio::test]
async fn every_task_that_maintain_takes_stands_in_the_document() -> anyhow::Result<()> {
    let world = World::new().await?;
    let tasks = Tasks::of(&world.context.registry);
    let taken = tasks.iter().filter(|task| matches!(task.descriptor.turns, Turns::Exclusive(_)));
    let taken: BTreeSet<_> = taken.map(|task| task.descriptor.key.as_str().to_owned()).collect();

    let listed: BTreeSet<String> =
        serde_json::from_value(document()["components"]["schemas"]["TaskKey"]["enum"].clone())?;

    assert_eq!(listed, taken);
    Ok(())
}

#[tokio::test]
async fn a_tester_that_goes_by_the_document_finds_nothing() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let (_, key) = world.context.access.add_ingest_key(site).await?.context("the site has room for a key")?;
    let served = ServeProcess::start(&world.environment(), &[]).await?;
    let pins = include_str!("../openapi/requirements.txt");
    let made = || target_folder().and_then(|target| environment(&target, "openapi", pins));
    let programs = tokio::task::spawn_blocking(made).await??;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi");
    // It writes down what it tried; that is not for the sources.
    let notes = target_folder()?.join("tmp/openapi");
    fs::create_dir_all(&notes)?;

    let document = format!("{}/openapi.json", served.base_url());
    let mut tester = Command::new(programs.join("schemathesis"));
    tester.current_dir(notes).env("PYTHONDONTWRITEBYTECODE", "1");
    tester.env("RELAY_TEST_CALLERS", format!("{folder}/callers.py")).env("RELAY_TEST_SECRET", CRON_SECRET);
    tester.env("RELAY_TEST_KEY", key.expose()).env("RELAY_TEST_SITE", site.to_string());
    tester.arg("--config-file").arg(format!("{folder}/schemathesis.toml"));
    tester.args(["run", &document, "--url", served.base_url(), "--no-color"]);
    let ended = tester.output().await.context("run schemathesis")?;

    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{told}\n{}", String::from_utf8_lossy(&ended.stderr));
    assert!(told.contains("9 selected / 9 total") && told.contains("Tested: 9"), "{told}");
    // It got past the doors, and what it sent was taken.
    for (function, status) in
        [("ingest", 202), ("ingest", 422), ("seed", 200), ("maintain", 200), ("runner", 200)]
    {
        let answered = served.stderr().iter().any(|line| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            line["message"] == "answered" && line["function"] == function && line["http.status"] == status
        });
        assert!(answered, "{function} never answered {status}");
    }
    assert_eq!(request(&document, "GET", &[], b"").await?.body, self::document());
    world.assert_accounted_for().await
}
