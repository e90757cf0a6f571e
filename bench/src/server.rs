//! The server under measurement: durable as in production, and what it costs from one moment to another.

use anyhow::Context as _;
use relay_cli::postgres::{Durability, ThrowawayPostgres};
use tokio_postgres::{Client, NoTls};

use crate::process;
use crate::worker::Worker;

/// As for the recorded figures of the peers: room for the whole queue in memory, and no checkpoint in the middle.
const SETTINGS: [(&str, &str); 6] = [
    ("shared_buffers", "2GB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "30min"),
    ("effective_cache_size", "8GB"),
    ("work_mem", "64MB"),
    ("maintenance_work_mem", "512MB"),
];

/// A PostgreSQL of our own.
pub(crate) struct Server {
    postgres: ThrowawayPostgres,
    admin: Client,
}

/// What some work cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) rows: f64,
    pub(crate) seconds: f64,
    pub(crate) postgres_cpu: f64,
    pub(crate) worker_cpu: f64,
    /// Of the loopback provider, where there is one.
    pub(crate) provider_cpu: f64,
    pub(crate) wal_bytes: f64,
    /// Of the worker.
    pub(crate) peak_mib: f64,
}

impl Cost {
    pub(crate) fn per_second(&self) -> f64 {
        self.rows / self.seconds
    }

    /// Rows per second of CPU that PostgreSQL and the worker burn together.
    pub(crate) fn per_core_second(&self) -> f64 {
        self.rows / (self.postgres_cpu + self.worker_cpu)
    }

    pub(crate) fn wal_per_row(&self) -> f64 {
        self.wal_bytes / self.rows
    }

    /// Of an amount: how much 100,000 rows take.
    pub(crate) fn per_100k(&self, amount: f64) -> f64 {
        amount / self.rows * 100_000.0
    }
}

impl Server {
    /// Starts it.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let postgres = ThrowawayPostgres::start_with_tcp(Durability::Durable, &SETTINGS)?;
        let admin = connect(&url(&postgres, "postgres", "postgres")?).await?;
        Ok(Self { postgres, admin })
    }

    /// Makes an empty database; one of the same name goes.
    pub(crate) async fn create_database(&self, name: &str) -> anyhow::Result<()> {
        self.drop_database(name).await?;
        self.admin.batch_execute(&format!("create database {name}")).await?;
        Ok(())
    }

    /// Drops a database, so that the next contestant has the memory to itself.
    pub(crate) async fn drop_database(&self, name: &str) -> anyhow::Result<()> {
        Ok(self.admin.batch_execute(&format!("drop database if exists {name} with (force)")).await?)
    }

    /// Writes out what earlier work left, so that it is not paid for by the next.
    pub(crate) async fn checkpoint(&self) -> anyhow::Result<()> {
        Ok(self.admin.batch_execute("checkpoint").await?)
    }

    /// A URL over TCP: everybody comes the same way.
    pub(crate) fn url(&self, role: &str, database: &str) -> anyhow::Result<String> {
        url(&self.postgres, role, database)
    }

    /// What the server says it is.
    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        Ok(self.admin.query_one("select current_setting('server_version')", &[]).await?.get(0))
    }

    /// Lets a worker work and takes down what it cost; `provider` is the one that it talks to.
    pub(crate) async fn measure(
        &self,
        worker: &mut Worker,
        provider: Option<&Worker>,
    ) -> anyhow::Result<Cost> {
        let before = self.reading(worker, provider).await?;
        let answer = worker.work().await?;
        let after = self.reading(worker, provider).await?;
        let number =
            |name: &str| answer[name].as_f64().with_context(|| format!("a worker did not say {name}"));
        Ok(Cost {
            rows: number("rows")?,
            seconds: number("seconds")?,
            postgres_cpu: after.postgres_cpu - before.postgres_cpu,
            worker_cpu: after.worker_cpu - before.worker_cpu,
            provider_cpu: after.provider_cpu - before.provider_cpu,
            wal_bytes: after.wal_bytes - before.wal_bytes,
            peak_mib: process::peak_mib(worker.pid)?,
        })
    }

    async fn reading(&self, worker: &Worker, provider: Option<&Worker>) -> anyhow::Result<Cost> {
        let wal = "select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8";
        Ok(Cost {
            postgres_cpu: process::cpu_seconds_with_children(self.postgres.postmaster_pid())?,
            worker_cpu: process::cpu_seconds(worker.pid)?,
            provider_cpu: provider.map_or(Ok(0.0), |provider| process::cpu_seconds(provider.pid))?,
            wal_bytes: self.admin.query_one(wal, &[]).await?.get(0),
            ..Cost::default()
        })
    }
}

fn url(postgres: &ThrowawayPostgres, role: &str, database: &str) -> anyhow::Result<String> {
    let url = postgres.url_tcp(database).context("the server was started with TCP")?;
    Ok(url.replacen("postgres@", &format!("{role}@"), 1))
}

/// Connects to any database.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("connect to the database")?;
    // How a connection ended is told to the client, whose next call fails.
    tokio::spawn(connection);
    Ok(client)
}
