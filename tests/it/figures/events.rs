//! Log lines: the names that alarms and searches go by, and whose they are, as the real binaries write them.

use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::SiteId;
use tests::lambda::LambdaProcess;
use tests::world::World;

use super::{answer, lines, of_event, start, until, worker};

/// The one line of an event, of this site and provider where it says so, within a run of this task.
#[track_caller]
fn assert_told<'a>(lines: &'a [Value], event: &str, site: Option<SiteId>, task: &str) -> &'a Value {
    let told = of_event(lines, event);
    let [line] = told[..] else { panic!("{event} was told {} times: {lines:?}", told.len()) };
    if let Some(site) = site {
        assert_eq!(line["site.id"], site.to_string(), "{line}");
        assert_eq!(line["provider"], "google_ads", "{line}");
    }
    assert_eq!(line["task.key"], task, "{line}");
    for id in ["run.id", "request.id", "trace.id"] {
        assert!(line[id].is_string(), "{id}: {line}");
    }
    line
}

/// Each line of a run says whose it is, also those of uploads that were spawned.
#[track_caller]
fn assert_every_line_says_whose_it_is(function: &LambdaProcess) {
    let (lines, all) = (lines(function), function.stdout());
    assert_eq!(lines.len(), all.len(), "every line is JSON: {all:?}");
    for line in lines.iter().filter(|line| line.get("_aws").is_none()) {
        assert!(line["request.id"].is_string() && line["trace.id"].is_string(), "{line}");
        let of_run = line["target"].as_str().is_some_and(|target| target.starts_with("shared::delivery"));
        assert!(!of_run || line["run.id"].is_string() && line["task.key"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn a_run_tells_one_line_for_each_group_and_one_for_itself() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (one, two) = (world.site(json!({})).await?, world.site(json!({})).await?);
    world.enqueue_many(one, "one", "ok", 3).await?;
    world.enqueue_many(two, "two", "ok", 2).await?;
    world.enqueue_many(two, "bad", "error.UNPARSEABLE_GCLID", 1).await?;
    let mut runner = start("runner", &world.environment()).await?;

    let answered = answer(&mut runner, worker()).await?;

    let lines = lines(&runner);
    let groups = of_event(&lines, "group_complete");
    let run = assert_told(&lines, "run_complete", None, "upload:google_ads");
    assert_eq!(groups.len(), 2, "{groups:?}");
    for group in &groups {
        assert_eq!(group["run.id"], run["run.id"]);
        assert_eq!(
            (&group["claimed"], &group["mode"], &group["provider"]),
            (&json!(3), &json!("worker"), &json!("google_ads"))
        );
        assert!(group["message"].as_str().unwrap().starts_with("offline_conversions: "), "{group}");
    }
    let sites: Vec<_> = groups.iter().map(|group| group["site.id"].clone()).collect();
    assert!(sites.contains(&json!(one)) && sites.contains(&json!(two)), "{sites:?}");
    assert!(run["message"].as_str().unwrap().starts_with("offline_conversions: "), "{run}");
    let counters = &run["counters"];
    assert_eq!(
        (&counters["completed"], &counters["failed"], &counters["groups"]),
        (&json!(5), &json!(1), &json!(2))
    );
    assert_eq!((&run["success"], &run["failure"]), (&json!(5), &json!(1)), "{run}");
    assert_eq!(
        run["run.id"].as_str().map(str::to_owned),
        answered["run_id"].as_i64().map(|id| id.to_string())
    );
    assert_every_line_says_whose_it_is(&runner);
    Ok(())
}

#[tokio::test]
async fn a_circuit_and_a_hold_that_open_are_told_by_name_with_their_group() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (open, held) = (world.site(json!({})).await?, world.site(json!({})).await?);
    world.enqueue_many(open, "outage", "http.503", 20).await?;
    world.enqueue_many(held, "held", "error.INVALID_CONVERSION_ACTION_TYPE", 1).await?;
    let mut runner = start("runner", &world.environment()).await?;

    answer(&mut runner, worker()).await?;

    let lines = lines(&runner);
    assert_told(&lines, "circuit_opened", Some(open), "upload:google_ads");
    let hold = assert_told(&lines, "hold_opened", Some(held), "upload:google_ads");
    assert_eq!(hold["code"], "conversionUploadError.INVALID_CONVERSION_ACTION_TYPE");
    assert_every_line_says_whose_it_is(&runner);
    Ok(())
}

#[tokio::test]
async fn an_answer_for_a_claim_that_was_lost_is_told_as_stale() -> anyhow::Result<()> {
    let world = World::with(Duration::from_secs(10)).await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "late", "slow.4000*1", 1).await?;
    let mut runner = start("runner", &world.environment()).await?;

    let lose = async {
        until(&world.sql, "select count(*) from relay.provider_upload_attempts where closed_at is null")
            .await?;
        world.let_pass("10 minutes").await?;
        world.recover(json!({ "min_age_minutes": 0 })).await
    };
    let (answered, lost) = tokio::join!(answer(&mut runner, worker()), lose);

    let (_, lost) = (answered?, lost?);
    assert_eq!(lost.requeued, 1, "{lost:?}");
    let told = lines(&runner);
    assert_told(&told, "stale_outcome", Some(site), "upload:google_ads");
    assert_eq!(of_event(&told, "run_complete")[0]["counters"]["stale"], json!(1));
    let gauges = super::take(&world).await?;
    assert_eq!(super::all(&gauges).stale_outcomes_last_hour, Some(1));
    Ok(())
}

#[tokio::test]
async fn a_claim_that_was_lost_before_its_request_left_is_told_as_a_lost_lease() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "slow", "ok", 1).await?;
    world.let_locks_take_long().await?;
    let mut runner = start("runner", &world.environment()).await?;
    // Between its claim and its request the runner needs an access token, and waits for this table.
    let mut other = world.database.connect().await?;
    let lock = other.transaction().await?;
    lock.batch_execute("lock table relay.access_token in access exclusive mode").await?;

    let lose = async {
        until(&world.sql, "select count(*) from relay.inflight").await?;
        world.let_pass("10 minutes").await?;
        let lost = world.recover(json!({ "min_age_minutes": 0 })).await?;
        lock.rollback().await?;
        anyhow::Ok(lost)
    };
    let (answered, lost) = tokio::join!(answer(&mut runner, worker()), lose);

    let (_, lost) = (answered?, lost?);
    assert_eq!(lost.requeued, 1, "{lost:?}");
    assert_told(&lines(&runner), "lease_lost", Some(site), "upload:google_ads");
    Ok(())
}

#[tokio::test]
async fn a_task_whose_lock_was_taken_tells_it_and_ends() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    world.enqueue_many(site, "taken", "ok", 1).await?;
    world.run_worker().await?;
    world.let_pass("40 minutes").await?;
    world.let_locks_take_long().await?;
    let mut confirm = start("confirm", &world.environment()).await?;
    // Between its claim of a receipt and its question it needs an access token, and waits for this table.
    let mut other = world.database.connect().await?;
    let lock = other.transaction().await?;
    lock.batch_execute("lock table relay.access_token in access exclusive mode").await?;

    let take = async {
        let claimed = "select count(*) from relay.receipt where state = 'PENDING' and polls > 0";
        until(&world.sql, claimed).await?;
        let taken = world.context.store.break_task_lock(482_173).await?;
        lock.rollback().await?;
        anyhow::Ok(taken)
    };
    let (answered, taken) = tokio::join!(confirm.invoke(json!({}), Duration::from_secs(30)), take);

    assert!(taken?, "nobody had the lock");
    assert!(!matches!(answered?, tests::lambda::Invocation::Answered(_)), "the run must have failed");
    let told = lines(&confirm);
    let line = assert_told(&told, "lock_lost", None, "confirm");
    assert_eq!(line["level"], "ERROR");
    assert!(of_event(&told, "run_complete").is_empty());
    Ok(())
}
