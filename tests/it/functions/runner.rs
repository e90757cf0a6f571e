//! The runner: each kind of event reaches it with the right options.

use serde_json::{Value, json};
use tests::lambda::Invocation;
use tests::world::{CRON_SECRET, INTERNAL_SECRET, World, row};

use super::{answer, http, invoke, start, with};

const CRON: &str = "/api/cron/process-offline-conversions";
const WORKER: &str = "/api/workers/google-ads-oci";

#[tokio::test]
async fn each_kind_of_event_reaches_the_runner_with_the_right_options() -> anyhow::Result<()> {
    let world = World::new().await?;
    let (one, two) = (world.site(json!({})).await?, world.site(json!({})).await?);
    world.enqueue_many(one, "one", "ok", 30).await?;
    world.enqueue_many(two, "two", "ok", 4).await?;
    let mut runner = start("runner", &world.environment()).await?;
    let cron_secret = json!({ "Authorization": format!("Bearer {CRON_SECRET}") });

    let direct =
        answer(&mut runner, json!({ "mode": "cron", "limit": 2, "site_id": one.to_string() })).await?;
    let schedule = answer(
        &mut runner,
        json!({ "mode": "cron", "limit": 3, "provider_key": "google_ads", "scheduled_time": "2026-11-22T10:00:00Z" }),
    )
    .await?;
    let envelope = answer(
        &mut runner,
        json!({
            "version": "0", "id": "1", "detail-type": "Scheduled Event", "source": "aws.events",
            "time": "2026-11-22T10:10:00Z", "resources": [], "detail": { "mode": "cron", "limit": 1 },
        }),
    )
    .await?;
    let (status, cron) =
        http(&mut runner, "POST", CRON, "limit=5&provider_key=google_ads", cron_secret, None).await?;
    let internal = json!({ "x-internal-secret": INTERNAL_SECRET });
    let (worker_status, worker) = http(&mut runner, "POST", WORKER, "", internal, None).await?;

    let told =
        |answer: &Value| (answer["mode"].clone(), answer["processed"].clone(), answer["stopped"].clone());
    assert_eq!(told(&direct), (json!("cron"), json!(2), json!("limit")), "{direct}");
    assert_eq!(told(&schedule), (json!("cron"), json!(3), json!("limit")), "{schedule}");
    assert_eq!(told(&envelope), (json!("cron"), json!(1), json!("limit")), "{envelope}");
    assert_eq!((status, told(&cron)), (200, (json!("cron"), json!(5), json!("limit"))), "{cron}");
    assert_eq!(
        (worker_status, told(&worker)),
        (200, (json!("worker"), json!(23), json!("drained"))),
        "{worker}"
    );
    assert_eq!(world.statuses().await?, "COMPLETED 34");
    let times = "select count(*) from relay.task_runs where scheduled_time is not null and status = 'DONE'";
    assert_eq!(world.number(times).await?, 2);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn the_answer_has_every_field_and_its_counters_add_up() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "good", "ok", 5).await?;
    world.enqueue_many(site, "bad", "error.UNPARSEABLE_GCLID", 2).await?;
    world.enqueue_many(site, "again", "error.internalError.INTERNAL_ERROR", 3).await?;
    world.enqueue_many(site, "held", "error.INVALID_CONVERSION_ACTION_TYPE", 1).await?;
    let mut runner = start("runner", &world.environment()).await?;

    let answer = answer(&mut runner, json!({ "mode": "worker", "provider_key": "google_ads" })).await?;

    let mut names: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "completed",
            "errors",
            "errors_total",
            "failed",
            "groups",
            "held",
            "mode",
            "ok",
            "processed",
            "released",
            "retry",
            "run_id",
            "stopped",
            "submitted",
        ]
    );
    let count = |name: &str| answer[name].as_u64().unwrap();
    assert_eq!(
        (count("completed"), count("failed"), count("retry"), count("held")),
        (5, 2, 3, 1),
        "{answer}"
    );
    assert_eq!(count("processed"), 11);
    assert_eq!((count("released"), count("groups")), (0, 1));

    let logs = runner.stdout();
    let line = |event: &str| {
        let found: Vec<Value> = logs
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|line| line["event"] == event)
            .collect();
        assert_eq!(found.len(), 1, "{event}: {logs:?}");
        found[0].clone()
    };
    let group = line("group_complete");
    assert_eq!(
        (group["claimed"].clone(), group["success"].clone(), group["mode"].clone()),
        (json!(11), json!(5), json!("worker"))
    );
    assert_eq!(line("run_complete")["processed"], json!(11));
    assert_eq!(line("hold_opened")["code"], json!("conversionUploadError.INVALID_CONVERSION_ACTION_TYPE"));
    for line in &logs {
        assert!(!line.contains("sandbox-") && !line.contains("secret-for-tests"), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_code_that_nobody_knows_is_logged_once_for_the_alarm() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "new", "error.internalError.ADDED_IN_V27", 3).await?;
    world.enqueue_many(site, "other", "error.internalError.ADDED_IN_V28", 1).await?;
    let mut runner = start("runner", &world.environment()).await?;

    answer(&mut runner, json!({ "mode": "worker", "provider_key": "google_ads" })).await?;

    let told = runner
        .stdout()
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .collect::<Vec<_>>();
    let told: Vec<_> = told.iter().filter(|line| line["event"] == "unknown_code").collect();
    let codes: Vec<_> = told.iter().map(|line| (&line["level"], &line["provider"], &line["code"])).collect();
    let line = |code: &'static str| (json!("WARN"), json!("google_ads"), json!(code));
    let (first, second) = (line("internalError.ADDED_IN_V27"), line("internalError.ADDED_IN_V28"));
    assert_eq!(codes, [(&first.0, &first.1, &first.2), (&second.0, &second.1, &second.2)]);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_by_name() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut runner = start("runner", &world.environment()).await?;

    for (event, told) in [
        (json!({ "mode": "worker" }), "mode worker requires provider_key"),
        (json!({ "mode": "sprint" }), "mode must be worker or cron"),
        (json!({}), "mode is missing"),
        (json!({ "mode": "cron", "limit": 0 }), "limit must be a whole number from 1 to 1000"),
        (json!({ "mode": "cron", "limit": 1001 }), "limit must be a whole number from 1 to 1000"),
        (json!({ "mode": "cron", "colour": 1 }), "colour is no field"),
        (json!({ "mode": "cron", "site_id": "x" }), "site_id must be a UUID"),
        (json!({ "mode": "cron", "provider_key": "myspace" }), "provider_key is no provider"),
    ] {
        match invoke(&mut runner, event.clone()).await? {
            Invocation::Failed(error) => assert!(error.to_string().contains(told), "{event}: {error}"),
            other => panic!("{event}: {other:?}"),
        }
    }
    let secret = json!({ "x-cron-secret": CRON_SECRET });
    for (query, told) in
        [("limit=1001", "limit must be"), ("limit=ten", "limit must be"), ("x=1", "x is no field")]
    {
        let (status, body) = http(&mut runner, "POST", CRON, query, secret.clone(), None).await?;
        assert_eq!(status, 400, "{query}");
        assert!(body["error"].as_str().unwrap().contains(told), "{query}: {body}");
    }
    assert_eq!(world.number("select count(*) from relay.task_runs").await?, 0, "nothing ran");
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_down_or_not_ours_is_a_failure_and_never_zeros() -> anyhow::Result<()> {
    let world = World::new().await?;
    let event = json!({ "mode": "worker", "provider_key": "google_ads" });

    for (setting, value, told) in [
        ("DATABASE_URL", "postgresql://relay_service@127.0.0.1:1/nowhere", "cannot be reached"),
        ("APP_ENV", "staging", "belongs to development"),
        ("DATABASE_URL", "", "DATABASE_URL is missing"),
    ] {
        let mut runner = start("runner", &with(&world, &[(setting, value)])).await?;
        match invoke(&mut runner, event.clone()).await? {
            Invocation::Failed(error) => assert!(error.to_string().contains(told), "{told}: {error}"),
            other => panic!("{told}: {other:?}"),
        }
        let secret = json!({ "x-cron-secret": CRON_SECRET });
        let (status, body) = http(&mut runner, "POST", CRON, "", secret, None).await?;
        assert_eq!(status, 503, "{told}: {body}");
        assert!(!body.to_string().contains("127.0.0.1"), "{body}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_vault_key_says_so_and_touches_nothing() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "ok", 3).await?;
    let other = "b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItb3Q=";
    let mut runner = start("runner", &with(&world, &[("VAULT_KEY", other)])).await?;

    let failed = invoke(&mut runner, json!({ "mode": "worker", "provider_key": "google_ads" })).await?;

    let Invocation::Failed(error) = failed else { panic!("{failed:?}") };
    assert!(error.to_string().contains("VAULT_KEY does not open key version 1"), "{error}");
    assert!(!error.to_string().contains(other));
    assert_eq!(world.statuses().await?, "QUEUED 3");
    assert_eq!(world.number("select count(*) from relay.task_runs where status = 'ERROR'").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_run_ends_before_its_deadline() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.put_credentials(site, json!({ "transport": "data_manager" })).await?;
    let mut runner = start("runner", &world.environment()).await?;
    let event = json!({ "mode": "worker", "provider_key": "google_ads" });
    // With nothing to do: its start is not what takes the time.
    answer(&mut runner, event.clone()).await?;
    // Halved again and again, each request slow: far more than eight seconds of work.
    let rows: Vec<Value> = (0..30)
        .flat_map(|number| [row("bad", "http.400", number), row("slow", "slow.700", number)])
        .collect();
    world.enqueue(site, &rows).await?;

    let answered = runner.invoke(event, std::time::Duration::from_secs(8)).await?;

    let Invocation::Answered(answer) = answered else { panic!("{answered:?}") };
    assert_eq!(answer["stopped"], json!("deadline"), "{answer}");
    assert!(answer["released"].as_u64() > Some(0), "{answer}");
    assert_eq!(world.number("select count(*) from relay.inflight").await?, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_signal_to_stop_ends_the_run_and_then_the_process() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    let rows: Vec<Value> = (0..40)
        .flat_map(|number| [row("bad", "http.400", number), row("slow", "slow.500", number)])
        .collect();
    world.enqueue(site, &rows).await?;
    let mut runner = start("runner", &world.environment()).await?;
    let pid = libc::pid_t::try_from(runner.pid().expect("it runs"))?;
    // In the middle: the first request was refused, and its halves are on their way.
    let signal = async {
        while world.number("select count(*) from relay.provider_upload_attempts").await? < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        // SAFETY: the process is our child, and a signal takes nothing of ours.
        anyhow::ensure!(unsafe { libc::kill(pid, libc::SIGTERM) } == 0, "it was gone before its signal");
        anyhow::Ok(std::time::Instant::now())
    };

    let run = answer(&mut runner, json!({ "mode": "worker", "provider_key": "google_ads" }));
    let (answer, signalled) = tokio::try_join!(run, signal)?;

    assert_eq!(answer["stopped"], json!("shutdown"), "{answer}");
    assert!(answer["released"].as_u64() > Some(0), "{answer}");
    assert!(signalled.elapsed() < std::time::Duration::from_secs(20));
    assert_eq!(world.number("select count(*) from relay.inflight").await?, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_schedule_that_is_delivered_twice_is_done_once_and_a_pause_skips_it() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "first", "ok", 2).await?;
    let mut runner = start("runner", &world.environment()).await?;
    let worker =
        |time: &str| json!({ "mode": "worker", "provider_key": "google_ads", "scheduled_time": time });

    let first = answer(&mut runner, worker("2026-11-22T10:00:00Z")).await?;
    world.enqueue_many(site, "second", "ok", 2).await?;
    let twice = answer(&mut runner, worker("2026-11-22T10:00:00Z")).await?;
    let cron =
        answer(&mut runner, json!({ "mode": "cron", "limit": 1, "scheduled_time": "2026-11-22T10:00:00Z" }))
            .await?;
    world.context.store.pause_task("upload:google_ads", None, "a holiday").await?;
    let secret = json!({ "x-cron-secret": CRON_SECRET });
    let (status, paused) = http(&mut runner, "POST", WORKER, "", secret, None).await?;
    world.context.store.resume_task("upload:google_ads").await?;
    let resumed = answer(&mut runner, worker("2026-11-22T10:01:00Z")).await?;

    assert_eq!(first["completed"], json!(2), "{first}");
    assert_eq!(twice, json!({ "skipped": true, "reason": "done" }));
    assert_eq!(cron["completed"], json!(1), "another schedule of the same minute is another: {cron}");
    assert_eq!((status, paused), (200, json!({ "skipped": true, "reason": "paused" })));
    assert_eq!(resumed["completed"], json!(1), "{resumed}");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_rate_limit_skips_the_schedules_that_follow_until_the_time_that_it_named() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "sale", "http.429.600*1", 2).await?;
    let mut runner = start("runner", &world.environment()).await?;
    let worker = json!({ "mode": "worker", "provider_key": "google_ads" });

    let limited = answer(&mut runner, worker.clone()).await?;
    let during = answer(&mut runner, worker.clone()).await?;
    world.let_pass("11 minutes").await?;
    let after = answer(&mut runner, worker).await?;

    assert_eq!(limited["completed"], json!(0), "{limited}");
    assert_eq!(during, json!({ "skipped": true, "reason": "paused" }));
    assert_eq!(after["completed"], json!(2), "{after}");
    world.assert_accounted_for().await
}
