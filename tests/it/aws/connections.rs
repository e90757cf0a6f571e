//! Connections: a server that restarts, and a process that is frozen meanwhile, cost no run.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use relay_cli::postgres::{Durability, ThrowawayPostgres};
use serde_json::{Value, json};
use shared::boot::migrate;
use tests::database::connect;
use tests::world::{World, config};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::replace;
use crate::functions::{answer, start};

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

/// A way to the server on which connections can go silent, as those of a frozen function do: nothing comes, and no end of them.
struct Way {
    port: u16,
    silenced: Arc<Notify>,
}

impl Way {
    async fn to(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let way = Self { port: listener.local_addr()?.port(), silenced: Arc::default() };
        let silenced = Arc::clone(&way.silenced);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let silenced = Arc::clone(&silenced);
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        () = silenced.notified() => std::future::pending().await,
                    }
                });
            }
        });
        Ok(way)
    }

    /// Silences the connections that stand; those that come are as before.
    fn silence(&self) {
        self.silenced.notify_waiters();
    }
}

fn worker() -> Value {
    json!({ "mode": "worker", "provider_key": "google_ads" })
}

const RUNS: &str = "select count(*) from relay.task_runs where status = 'DONE'";

#[tokio::test]
async fn the_first_run_after_a_restart_of_the_server_succeeds() -> anyhow::Result<()> {
    let (world, mut server) = (World::new().await?, Server::new().await?);
    let settings = replace(world.environment(), &[("DATABASE_URL", &server.url_at("127.0.0.1"))]);
    let mut runner = start("runner", &settings).await?;
    answer(&mut runner, worker()).await?;

    server.postgres.restart_immediately()?;
    answer(&mut runner, worker()).await?;

    assert_eq!(server.number(RUNS).await?, 2);
    assert_eq!(server.number("select count(*) from relay.task_runs").await?, 2);
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
    let way = Way::to(server.port().parse()?).await?;
    let url = server.url_at("127.0.0.1").replace(&server.port(), &way.port.to_string());
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
