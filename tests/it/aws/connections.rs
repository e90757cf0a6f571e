//! Connections: a server that restarts, is late or fails over, and a process that is frozen meanwhile, cost no run.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;
use std::time::Duration;

use relay_cli::postgres::{Durability, ThrowawayPostgres};
use serde_json::{Value, json};
use shared::boot::migrate;
use shared::domain::SiteId;
use tests::database::connect;
use tests::lambda::{Invocation, LambdaProcess};
use tests::skew::Skew;
use tests::world::{World, config, conversion};
use uuid::Uuid;

use super::replace;
use super::way::Way;
use crate::functions::migrate::Bucket;
use crate::functions::{answer, invoke, start};

pub(super) const DATABASE: &str = "relay_on_aws";

/// A server of one test, with a migrated database.
pub(super) struct Server {
    pub(super) postgres: ThrowawayPostgres,
}

impl Server {
    pub(super) async fn new() -> anyhow::Result<Self> {
        let server = Self::empty().await?;
        migrate(&config([("DATABASE_URL", server.url("postgres")), ("APP_ENV", "development".to_owned())]))
            .await?;
        Ok(server)
    }

    /// One whose database holds nothing yet.
    pub(super) async fn empty() -> anyhow::Result<Self> {
        let start = || ThrowawayPostgres::start_with_tcp(Durability::Durable, &[]);
        let server = Self { postgres: tokio::task::spawn_blocking(start).await?? };
        connect(&server.postgres.url("postgres"))
            .await?
            .batch_execute(&format!("create database {DATABASE}"))
            .await?;
        Ok(server)
    }

    /// One that lets nobody in over TCP without a password.
    pub(super) async fn with_passwords() -> anyhow::Result<Self> {
        let server = Self::new().await?;
        server.ask_for_passwords().await?;
        Ok(server)
    }

    pub(super) async fn ask_for_passwords(&self) -> anyhow::Result<()> {
        self.put_file("data/pg_hba.conf", "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")?;
        self.sql("select pg_reload_conf()").await
    }

    /// Its database over the socket.
    pub(super) fn url(&self, role: &str) -> String {
        self.postgres.url_as(role, DATABASE)
    }

    /// Its database over TCP, by this name of the host.
    pub(super) fn url_at(&self, host: &str) -> String {
        format!("postgresql://relay_service@{host}:{}/{DATABASE}", self.port())
    }

    /// The same for who owns all of it.
    fn url_as_master(&self) -> String {
        self.url_at("127.0.0.1").replace("relay_service@", "postgres@")
    }

    /// Its database over this way.
    pub(super) fn url_over(&self, way: &Way) -> String {
        self.url_at("127.0.0.1").replace(&self.port(), &way.port().to_string())
    }

    pub(super) fn port(&self) -> String {
        let url = self.postgres.url_tcp("x").unwrap_or_default();
        url.rsplit_once(':')
            .and_then(|(_, rest)| rest.split_once('/'))
            .map(|(port, _)| port.to_owned())
            .unwrap_or_default()
    }

    /// A secret as RDS writes it.
    pub(super) fn secret(&self, password: &str) -> String {
        json!({
            "engine": "postgres", "host": "127.0.0.1", "port": self.port().parse::<u16>().unwrap_or(0),
            "dbname": DATABASE, "username": "relay_service", "password": password,
        })
        .to_string()
    }

    pub(super) async fn sql(&self, sql: &str) -> anyhow::Result<()> {
        Ok(connect(&self.url("postgres")).await?.batch_execute(sql).await?)
    }

    pub(super) async fn number(&self, sql: &str) -> anyhow::Result<i64> {
        Ok(connect(&self.url("postgres")).await?.query_one(sql, &[]).await?.get(0))
    }

    /// Ends every connection of the programs, and waits until they are gone.
    pub(super) async fn cut_all(&self) -> anyhow::Result<()> {
        self.sql(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename = 'relay_service'",
        )
        .await
    }

    /// Lets transactions only read, as on a replica, or write again; connections that stand have heard of it by then.
    async fn only_read(&self, setting: &str) -> anyhow::Result<()> {
        let stands = connect(&self.url("postgres")).await?;
        self.sql(&format!("alter system set default_transaction_read_only = {setting}")).await?;
        self.sql("select pg_reload_conf()").await?;
        while stands.query_one("show default_transaction_read_only", &[]).await?.get::<_, &str>(0) != setting
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Puts a file into the server's folder that the server alone may read.
    pub(super) fn put_file(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let folder = self.postgres.socket_dir();
        let owner = fs::metadata(folder)?;
        let path = folder.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        chown(&path, Some(owner.uid()), Some(owner.gid()))?;
        Ok(path)
    }
}

fn worker() -> Value {
    json!({ "mode": "worker", "provider_key": "google_ads" })
}

const RUNS: &str = "select count(*) from relay.task_runs where status = 'DONE'";

/// Every function that works in the database, and an event that has it do so.
async fn start_all(
    settings: &[(&'static str, String)],
) -> anyhow::Result<Vec<(&'static str, Value, LambdaProcess)>> {
    let site = SiteId(Uuid::nil());
    let sale = conversion(site, &json!({ "click_ids": { "gclid": "a-click" } }));
    let all = [
        ("runner", worker()),
        ("confirm", json!({})),
        ("recover", json!({})),
        ("maintain", json!({ "tasks": ["expire"] })),
        ("ingest", json!({ "site_id": site.to_string(), "conversions": [sale] })),
    ];
    let mut started = Vec::new();
    for (name, event) in all {
        started.push((name, event, start(name, settings).await?));
    }
    Ok(started)
}

#[tokio::test]
async fn the_first_run_after_a_restart_of_the_server_succeeds() -> anyhow::Result<()> {
    let (world, mut server) = (World::new().await?, Server::new().await?);
    let settings = replace(world.environment(), &[("DATABASE_URL", &server.url_at("127.0.0.1"))]);
    let mut all = start_all(&settings).await?;
    for (_, event, process) in &mut all {
        answer(process, event.clone()).await?;
    }

    server.postgres.restart_immediately()?;
    for (_, event, process) in &mut all {
        answer(process, event.clone()).await?;
    }

    assert_eq!(server.number(RUNS).await?, 8, "the door runs no task");
    assert_eq!(server.number("select count(*) from relay.task_runs").await?, 8);
    Ok(())
}

#[tokio::test]
async fn the_first_run_after_a_thaw_succeeds_where_the_server_restarted_meanwhile() -> anyhow::Result<()> {
    let (world, mut server) = (World::new().await?, Server::new().await?);
    let settings = replace(world.environment(), &[("DATABASE_URL", &server.url_at("127.0.0.1"))]);
    let mut runner = start("runner", &settings).await?;
    answer(&mut runner, worker()).await?;
    let pid = i32::try_from(runner.pid().unwrap())?;

    // SAFETY: kill takes no memory of ours, and the process is a child of this one that was not waited for.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGSTOP) }, 0);
    server.postgres.restart_immediately()?;
    // SAFETY: as above.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGCONT) }, 0);
    answer(&mut runner, worker()).await?;

    assert_eq!(server.number(RUNS).await?, 2);
    Ok(())
}

#[tokio::test]
async fn the_first_run_over_connections_that_died_silently_succeeds() -> anyhow::Result<()> {
    let (world, server) = (World::new().await?, Server::new().await?);
    let way = Way::to(&server.port()).await?;
    let url = server.url_over(&way);
    let mut runner = start("runner", &replace(world.environment(), &[("DATABASE_URL", &url)])).await?;
    answer(&mut runner, worker()).await?;

    way.silence();
    // So long does a connection rest before it is looked at; the process's own clocks say so.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    answer(&mut runner, worker()).await?;

    assert_eq!(server.number(RUNS).await?, 2);
    assert_eq!(server.number("select count(*) from relay.task_runs").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_freeze_that_the_process_did_not_count_is_seen_by_the_walls_clock() -> anyhow::Result<()> {
    let (world, server) = (World::new().await?, Server::new().await?);
    let (way, skew) = (Way::to(&server.port()).await?, Skew::new()?);
    let url = server.url_over(&way);
    let mut settings = replace(world.environment(), &[("DATABASE_URL", &url)]);
    settings.extend(skew.environment()?);
    let mut runner = start("runner", &settings).await?;
    answer(&mut runner, worker()).await?;

    // At once: by its own clock the process has no reason to look at the connection first.
    way.silence();
    skew.set(10)?;
    answer(&mut runner, worker()).await?;

    assert_eq!(server.number(RUNS).await?, 2);
    assert_eq!(server.number("select count(*) from relay.task_runs").await?, 2);
    Ok(())
}

#[tokio::test]
async fn the_first_run_after_a_failover_succeeds_where_the_old_server_only_reads() -> anyhow::Result<()> {
    let (world, old, new) = (World::new().await?, Server::new().await?, Server::new().await?);
    let way = Way::to(&old.port()).await?;
    let url = old.url_over(&way);
    let settings = replace(world.environment(), &[("DATABASE_URL", &url)]);
    let mut runner = start("runner", &settings).await?;
    let mut recover = start("recover", &settings).await?;
    answer(&mut runner, worker()).await?;
    answer(&mut recover, json!({})).await?;

    // The connections stand, and who they lead to is a replica by now.
    old.only_read("on").await?;
    way.lead_to(&new.port())?;
    answer(&mut runner, worker()).await?;
    answer(&mut recover, json!({})).await?;

    assert_eq!((old.number(RUNS).await?, new.number(RUNS).await?), (2, 2));
    assert_eq!(new.number("select count(*) from relay.task_runs").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_run_in_the_middle_of_a_failover_fails_and_the_first_one_after_it_succeeds() -> anyhow::Result<()> {
    let (world, server) = (World::new().await?, Server::new().await?);
    let settings = replace(world.environment(), &[("DATABASE_URL", &server.url_at("127.0.0.1"))]);
    server.only_read("on").await?;
    let mut runner = start("runner", &settings).await?;

    let Invocation::Failed(error) = invoke(&mut runner, worker()).await? else { panic!("it wrote") };
    assert!(error.to_string().contains("the database cannot be reached: 25006"), "{error}");
    server.only_read("off").await?;
    answer(&mut runner, worker()).await?;

    assert_eq!(server.number("select count(*) from relay.task_runs").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_function_that_was_there_before_its_database_works_once_that_is_up() -> anyhow::Result<()> {
    let (world, server) = (World::new().await?, Server::new().await?);
    let way = Way::to(&server.port()).await?;
    let settings = replace(world.environment(), &[("DATABASE_URL", &server.url_over(&way))]);
    way.close_next(usize::MAX);
    let mut started = start_all(&settings).await?;

    for (name, event, process) in &mut started {
        let told = invoke(process, event.clone()).await?;
        let Invocation::Failed(error) = told else { panic!("{name}: {told:?}") };
        assert!(error.to_string().contains("the database cannot be reached"), "{name}: {error}");
    }
    way.close_next(0);

    for (name, event, process) in &mut started {
        let told = answer(process, event.clone()).await?;
        assert_eq!(told["ok"], json!(true), "{name}: {told}");
    }
    assert_eq!(server.number("select count(*) from relay.task_runs where status <> 'DONE'").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_migration_waits_for_a_database_that_is_late() -> anyhow::Result<()> {
    let server = Server::empty().await?;
    let way = Way::to(&server.port()).await?;
    let port = way.port().to_string();
    let url = server.url_as_master().replace(&server.port(), &port);
    let (s3, settings) = (Bucket::new().await?, [("DATABASE_URL", url), ("APP_ENV", "staging".to_owned())]);
    let mut process = start("migrate", &settings).await?;
    way.close_next(3);

    // A quarter of its time is how long it is patient.
    let told = process.invoke(s3.event("Create", json!({})), Duration::from_secs(120)).await?;

    assert!(matches!(told, Invocation::Answered(_)), "{told:?}");
    let answered = s3.answer()?;
    assert_eq!(answered["Status"], json!("SUCCESS"), "{answered}");
    Ok(())
}

#[tokio::test]
async fn a_migration_whose_login_is_refused_says_so_at_once() -> anyhow::Result<()> {
    let (server, s3) = (Server::empty().await?, Bucket::new().await?);
    server.sql("create role master login password 'right'").await?;
    server.ask_for_passwords().await?;
    let way = Way::to(&server.port()).await?;
    let url = server.url_over(&way).replace("relay_service@", "master:hunter2@");
    let settings = [("DATABASE_URL", url), ("APP_ENV", "staging".to_owned())];
    let mut process = start("migrate", &settings).await?;

    answer(&mut process, s3.event("Create", json!({}))).await?;

    let answered = s3.answer()?;
    let reason = answered["Reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("the database refused the login or its password: "), "{answered}");
    assert!(reason.contains("28P01") && !reason.contains("hunter2"), "{answered}");
    assert_eq!(way.said().len(), 1, "each further try is one more refused login");
    Ok(())
}
