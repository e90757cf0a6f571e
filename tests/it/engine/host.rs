//! `relay run --forever`: a host that runs every task at its time, and stops as a supervisor asks it to.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use shared::domain::SiteId;
use tests::binaries::binary;
use tests::skew::skew;
use tests::world::{World, row};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// For what a host does within a second or so; a machine that is busy gets more, and a run that failed comes again within 66 s.
const SOON: Duration = Duration::from_secs(150);

/// A host on this world's database.
fn start(world: &World, more: &[(&str, String)]) -> anyhow::Result<Child> {
    let mut command = Command::new(binary("relay")?);
    command.args(["run", "--forever", "--json", "--listen", "127.0.0.1:0"]).env_clear();
    command.envs(world.environment()).envs(more.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command.spawn()?)
}

fn signal(host: &Child, signal: i32) {
    let pid = i32::try_from(host.id().expect("it runs")).expect("a process id");
    // SAFETY: kill(2) takes two numbers and touches no memory of ours.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// Where a host says that it listens.
async fn base_url(host: &mut Child) -> anyhow::Result<String> {
    let mut said = String::new();
    let stdout = host.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut said).await?;
    let said: serde_json::Value = serde_json::from_str(&said)?;
    Ok(said["base_url"].as_str().unwrap_or_default().to_owned())
}

/// Waits until a host has heard a signal, and listens no more: two that come before it looks are one.
async fn until_heard(base_url: &str) -> anyhow::Result<()> {
    let heard = async {
        while TcpStream::connect(base_url.trim_start_matches("http://")).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, heard).await.map_err(|_| anyhow::anyhow!("the signal was not heard"))
}

/// Waits until this counts something.
async fn until(world: &World, sql: &str) -> anyhow::Result<()> {
    let seen = async {
        while world.number(sql).await? == 0 {
            sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    timeout(SOON, seen).await.map_err(|_| anyhow::anyhow!("it never came: {sql}"))?
}

/// Whether so many conversions are completed.
fn completed(count: u32) -> String {
    format!(
        "select (count(*) = {count})::int::bigint from relay.offline_conversion_queue where status = 'COMPLETED'"
    )
}

const ALL_TASKS_RAN: &str = "select count(*) from (select) as one where not exists ( \
    select from relay.task_state where last_success_at is null)";

#[tokio::test]
async fn it_delivers_runs_every_task_once_and_ends_with_zero_at_sigterm() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "first", "ok", 3).await?;
    let (one, two) = (start(&world, &[])?, start(&world, &[])?);

    until(&world, &completed(3)).await?;
    until(&world, ALL_TASKS_RAN).await?;
    world.enqueue_many(site, "later", "ok", 3).await?;
    until(&world, &completed(6)).await?;
    for host in [&one, &two] {
        signal(host, libc::SIGTERM);
    }
    let ended = [one.wait_with_output().await?, two.wait_with_output().await?];

    for ended in &ended {
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{told}");
        let answer: serde_json::Value = serde_json::from_slice(&ended.stdout)?;
        assert!(answer["tasks"].as_array().is_some_and(|tasks| tasks.len() > 3), "{answer}");
    }
    let twice = "select count(*) from (select task_key, scheduled_time from relay.task_runs \
                 where status = 'DONE' and scheduled_time is not null group by 1, 2 having count(*) > 1) as twice";
    assert_eq!(world.number(twice).await?, 0, "two hosts share a schedule");
    assert_eq!(world.number("select count(*) from relay.task_lock where owner is not null").await?, 0);
    assert_eq!(world.number("select count(*) from relay.task_runs where ended_at is null").await?, 0);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn sigterm_in_the_middle_of_an_upload_sees_it_through_and_gives_the_rest_back() -> anyhow::Result<()> {
    let world = World::with(Duration::from_secs(8)).await?;
    let site = world.site(json!({ "transport": "data_manager" })).await?;
    // Cut in halves again and again, each answer slow: when the signal comes, parts are left that never started.
    world.enqueue_many(site, "bad", "http.400", 8).await?;
    world.enqueue_many(site, "slow", "slow.1500", 56).await?;
    let host = start(&world, &[])?;
    until(&world, "select count(*) from relay.provider_upload_attempts where closed_at is null").await?;

    signal(&host, libc::SIGTERM);
    let ended = timeout(SOON, host.wait_with_output()).await??;

    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(world.number("select count(*) from relay.inflight").await?, 0, "nothing waits for a lease");
    assert_eq!(
        world.number("select count(*) from relay.provider_upload_attempts where closed_at is null").await?,
        0
    );
    assert!(world.number("select count(*) from relay.ready").await? > 0, "what did not start goes on later");
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() -> anyhow::Result<()> {
    let world = World::with(Duration::from_secs(30)).await?;
    let site = world.site(json!({})).await?;
    world.enqueue_many(site, "slow", "slow.20000", 2).await?;
    let before = world.service_backends().await?;
    let mut host = start(&world, &[])?;
    let url = base_url(&mut host).await?;
    until(&world, "select count(*) from relay.provider_upload_attempts where closed_at is null").await?;

    signal(&host, libc::SIGTERM);
    until_heard(&url).await?;
    signal(&host, libc::SIGTERM);
    let ended = timeout(SOON, host.wait_with_output()).await??;

    // The first one alone ends it with zero, when the request has had its time.
    assert_eq!(ended.status.code(), Some(143));
    world.let_backends_end(&before).await?;
    // What it had in hand is known, and comes back by its lease.
    assert_eq!(world.number("select count(*) from relay.inflight").await?, 1);
    world.let_pass("20 minutes").await?;
    world.recover(json!({ "min_age_minutes": 0 })).await?;
    assert_eq!(world.run_worker().await?.processed, 2);
    world.assert_accounted_for().await
}

#[tokio::test]
async fn whichever_signal_comes_second_ends_it_at_once() -> anyhow::Result<()> {
    for (first, second, code) in [(libc::SIGTERM, libc::SIGINT, 130), (libc::SIGINT, libc::SIGTERM, 143)] {
        let world = World::with(Duration::from_secs(30)).await?;
        let site = world.site(json!({})).await?;
        world.enqueue_many(site, "slow", "slow.20000", 2).await?;
        let mut host = start(&world, &[])?;
        let url = base_url(&mut host).await?;
        until(&world, "select count(*) from relay.provider_upload_attempts where closed_at is null").await?;

        signal(&host, first);
        until_heard(&url).await?;
        signal(&host, second);
        let ended = timeout(SOON, host.wait_with_output()).await??;

        assert_eq!(ended.status.code(), Some(code));
    }
    Ok(())
}

#[tokio::test]
async fn a_host_without_a_database_says_so_and_fails() -> anyhow::Result<()> {
    let world = World::new().await?;

    let host = start(&world, &[("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none".to_owned())])?;
    let ended = timeout(SOON, host.wait_with_output()).await??;

    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stdout).contains("database"), "{ended:?}");
    Ok(())
}

/// Takes conversions in, whatever was cut meanwhile: behind a pooler its connections are this test's, too. What went in before its
/// answer was lost is known again.
async fn take_in(world: &World, site: SiteId, name: &str, count: usize) -> anyhow::Result<()> {
    let rows: Vec<_> = (0..count).map(|number| row(name, "ok", number)).collect();
    let mut cuts = 0;
    while let Err(error) = world.enqueue(site, &rows).await {
        cuts += 1;
        anyhow::ensure!(cuts < 10, "{error:#}");
    }
    Ok(())
}

#[tokio::test]
async fn connections_that_are_cut_again_and_again_stop_no_host() -> anyhow::Result<()> {
    let world = World::new().await?;
    let site = world.site(json!({})).await?;
    let now = world.number("select extract(epoch from clock_timestamp())::bigint + 1").await?;
    sleep(Duration::from_secs(1)).await;
    let host = start(&world, &[])?;
    until(&world, ALL_TASKS_RAN).await?;
    // The host's connections, and not those of this test.
    let cut = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() \
         and usename = 'relay_service' and backend_start >= to_timestamp({now})"
    );
    for round in 0..5 {
        take_in(&world, site, &format!("sale-{round}"), 20).await?;
        world.number(&cut).await?;
    }

    until(&world, &completed(100)).await?;
    signal(&host, libc::SIGTERM);
    let ended = host.wait_with_output().await?;

    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    world.assert_accounted_for().await
}

#[tokio::test]
async fn a_clock_that_is_ten_minutes_off_changes_nothing() -> anyhow::Result<()> {
    for seconds in [600, -600] {
        let world = World::new().await?;
        let site = world.site(json!({})).await?;
        world.enqueue_many(site, "good", "ok", 20).await?;
        world.enqueue_many(site, "again", "error.internalError.INTERNAL_ERROR*1", 3).await?;
        let host = start(&world, &skew(seconds)?)?;

        until(&world, &completed(20)).await?;
        until(&world, ALL_TASKS_RAN).await?;
        signal(&host, libc::SIGTERM);
        let ended = host.wait_with_output().await?;

        assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
        let near = "select count(*) from relay.ready where next_attempt_at between clock_timestamp() - interval '1 min' \
                    and clock_timestamp() + interval '1 min'";
        assert_eq!(world.number(near).await?, 3, "the database's clock says when to try again");
        let told = "select count(*) from relay.task_runs where abs(extract(epoch from clock_timestamp() - started_at)) > 300";
        assert_eq!(world.number(told).await?, 0);
        world.assert_accounted_for().await?;
    }
    Ok(())
}

/// What a host answers at this path: the status, and the document.
async fn ask(url: &str) -> anyhow::Result<(u16, serde_json::Value)> {
    let answer = shared::providers::http::build_client(SOON)?.get(url).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

#[tokio::test]
async fn it_says_that_it_is_up_at_once_and_ready_while_its_tasks_succeed() -> anyhow::Result<()> {
    let world = World::new().await?;
    let mut host = start(&world, &[])?;
    let url = base_url(&mut host).await?;

    let live = ask(&format!("{url}/health/live")).await?;
    // A look at the database that takes half a second has failed, and says nothing of the tasks.
    let has_looked = |told: &serde_json::Value| told["checks"]["database"] == "ok";
    let ready = ask_until(&format!("{url}/health/ready"), |_, told| has_looked(told)).await?;
    // The next time of most of them is far away: once they have run, and then not for long, they are late.
    until(&world, ALL_TASKS_RAN).await?;
    world.context.store.pause_task("recover", None, "one that is paused is not late").await?;
    world.let_pass("20 days").await?;
    let (_, late) =
        ask_until(&format!("{url}/health/ready"), |status, told| status == 503 && has_looked(told)).await?;
    signal(&host, libc::SIGTERM);
    let ended = host.wait().await?;

    assert_eq!(live, (200, json!({ "status": "ok" })));
    assert_eq!(
        (ready.0, &ready.1["status"], &ready.1["checks"]["workers"]),
        (200, &json!("ok"), &json!("ok"))
    );
    assert_eq!(
        (&late["status"], &late["checks"]["database"], &late["checks"]["workers"]),
        (&json!("fail"), &json!("ok"), &json!("fail"))
    );
    assert_eq!(ended.code(), Some(0));
    Ok(())
}

/// Asks until status and document are as they are waited for.
async fn ask_until(
    url: &str,
    wanted: impl Fn(u16, &serde_json::Value) -> bool,
) -> anyhow::Result<(u16, serde_json::Value)> {
    let asked = async {
        loop {
            let (status, document) = ask(url).await?;
            if wanted(status, &document) {
                return anyhow::Ok((status, document));
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(SOON, asked).await.map_err(|_| anyhow::anyhow!("{url} never answered as it should"))?
}
