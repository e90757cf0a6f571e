//! CloudWatch's embedded metric format: what is told, where to, and under which dimensions.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>,
//! read 2026-11-22.

use std::process::Command;

use serde_json::{Value, json};
use tests::binaries::binary;
use tests::world::World;

use super::{answer, lines, start, worker};

/// Documents of the embedded metric format, each checked for what CloudWatch needs of it.
fn documents(lines: &[Value]) -> Vec<&Value> {
    let documents: Vec<_> = lines.iter().filter(|line| line.get("_aws").is_some()).collect();
    for document in &documents {
        let aws = &document["_aws"];
        assert!(aws["Timestamp"].as_u64().is_some_and(|millis| millis > 1_700_000_000_000), "{document}");
        let directive = &aws["CloudWatchMetrics"][0];
        for dimension in directive["Dimensions"][0].as_array().unwrap() {
            assert!(document[dimension.as_str().unwrap()].is_string(), "{dimension}: {document}");
        }
        for metric in directive["Metrics"].as_array().unwrap() {
            let value = &document[metric["Name"].as_str().unwrap()];
            let numbers = value.as_array().map_or_else(|| vec![value], |values| values.iter().collect());
            assert!(numbers.iter().all(|number| number.is_number()), "{metric}: {document}");
            assert!(metric["Unit"].is_string(), "{metric}");
        }
    }
    documents
}

fn value(document: &Value, name: &str) -> f64 {
    document[name][0].as_f64().unwrap_or_else(|| panic!("{name}: {document}"))
}

fn dimensions(document: &Value) -> &Value {
    &document["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0]
}

#[tokio::test]
async fn a_run_on_lambda_tells_what_it_counted_by_environment_and_task() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "good", "ok", 4).await?;
    world.enqueue_many(site, "bad", "error.UNPARSEABLE_GCLID", 2).await?;
    world.enqueue_many(site, "new", "error.NOBODY_KNOWS_IT", 1).await?;
    let mut settings = world.environment();
    settings.push(("METRICS_NAMESPACE", "ConversionRelay/test".to_owned()));
    let mut runner = start("runner", &settings).await?;

    let answered = answer(&mut runner, worker()).await?;
    let lines = lines(&runner);
    let told = documents(&lines);

    let [run] = told[..] else { panic!("{told:?}") };
    assert_eq!(run["_aws"]["CloudWatchMetrics"][0]["Namespace"], "ConversionRelay/test");
    assert_eq!(dimensions(run), &json!(["Environment", "Task"]));
    assert_eq!((&run["Environment"], &run["Task"]), (&json!("development"), &json!("upload:google_ads")));
    for (metric, field) in
        [("Processed", "processed"), ("Completed", "completed"), ("Failed", "failed"), ("Retried", "retry")]
    {
        assert_eq!(Some(value(run, metric)), answered[field].as_f64(), "{metric}: {answered}");
    }
    assert_eq!((value(run, "RunsDone"), value(run, "UnknownCodes")), (1.0, 1.0), "{run}");
    assert!(value(run, "Requests") >= 1.0 && value(run, "RunDuration") > 0.0, "{run}");
    for metric in ["Held", "Submitted", "Released", "StaleOutcomes", "Throttled", "RunErrors"] {
        value(run, metric);
    }
    Ok(())
}

#[tokio::test]
async fn the_gauges_are_told_once_by_their_task_and_never_by_site() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (one, two) = (world.site(json!({})).await?, world.site(json!({})).await?);
    world.enqueue_many(one, "one", "ok", 3).await?;
    world.enqueue_many(two, "two", "ok", 2).await?;
    let mut maintain = start("maintain", &world.environment()).await?;

    let answered = answer(&mut maintain, json!({ "tasks": ["gauges"] })).await?;
    answer(&mut maintain, json!({ "tasks": ["keep-partitions"] })).await?;

    assert_eq!(answered["tasks"]["gauges"]["all"]["backlog"], json!(5), "{answered}");
    let lines = lines(&maintain);
    let told = documents(&lines);
    let gauges: Vec<_> = told.iter().filter(|document| document.get("Backlog").is_some()).collect();
    assert_eq!(gauges.len(), 2, "of all providers and of the one: {told:?}");
    assert_eq!(dimensions(gauges[0]), &json!(["Environment"]));
    assert_eq!(dimensions(gauges[1]), &json!(["Environment", "Provider"]));
    for gauge in gauges {
        assert_eq!((value(gauge, "Backlog"), value(gauge, "OpenCircuits")), (5.0, 0.0));
        for metric in [
            "OldestWaitingAge",
            "AtRisk",
            "WaitingHeld",
            "WaitingSubmitted",
            "OldestSubmittedAge",
            "DeadLetters",
            "SilentGroups",
            "CompletedLastHour",
            "FailedLastHour",
            "RetriedLastHour",
            "StaleOutcomesLastHour",
        ] {
            value(gauge, metric);
        }
    }
    let runs: Vec<_> = told.iter().filter_map(|document| document["Task"].as_str()).collect();
    assert_eq!(runs, ["gauges", "keep-partitions"]);
    for document in &told {
        let text = document.to_string();
        assert!(!text.contains(&one.to_string()) && !text.contains(&two.to_string()), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_run_that_fails_is_told_as_not_done() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 1).await?;
    let mut settings = world.environment();
    // Another key than the one that sealed the credentials.
    settings.retain(|(name, _)| *name != "VAULT_KEY");
    settings.push(("VAULT_KEY", "b3RoZXItdGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3Q=".to_owned()));
    let mut runner = start("runner", &settings).await?;

    answer(&mut runner, worker()).await.unwrap_err();

    let lines = lines(&runner);
    let told = documents(&lines);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((value(told[0], "RunsDone"), value(told[0], "RunErrors")), (0.0, 1.0));
    Ok(())
}

/// The binary with these settings: standard output and standard error.
async fn relay(
    settings: Vec<(&'static str, String)>,
    arguments: &'static [&str],
) -> anyhow::Result<(String, String)> {
    let mut command = Command::new(binary("relay")?);
    command.args(arguments).env_clear().envs(settings);
    let ran = tokio::task::spawn_blocking(move || command.output()).await??;
    Ok((String::from_utf8(ran.stdout)?, String::from_utf8(ran.stderr)?))
}

#[tokio::test]
async fn a_command_tells_figures_where_they_are_asked_for_and_never_in_its_answer() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 2).await?;
    const CALL: &[&str] = &["run", "--mode", "worker", "--provider", "google_ads", "--json"];
    let mut asked = world.environment();
    asked.push(("METRICS_NAMESPACE", "Own".to_owned()));

    let (quiet_answer, quiet) = relay(world.environment(), CALL).await?;
    let (answered, told) = relay(asked, CALL).await?;

    for answer in [quiet_answer, answered] {
        let answer: Value = serde_json::from_str(&answer)?;
        assert!(answer["ok"].is_boolean() && answer.get("_aws").is_none(), "{answer}");
    }
    assert!(!quiet.contains("_aws"), "{quiet}");
    let told: Vec<Value> = told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(documents(&told).len(), 1, "{told:?}");
    Ok(())
}
