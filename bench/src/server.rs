//! The server under measurement: durable as in production, and what it costs from one moment to another.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

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

/// Counts statements, those inside functions too; it costs a little, so it is not there by default.
const COUNTING: [(&str, &str); 2] =
    [("shared_preload_libraries", "pg_stat_statements"), ("pg_stat_statements.track", "all")];

/// What is looked at besides the figures.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Looks {
    /// SQL that is applied to our database after the migrations, to measure a proposal.
    #[arg(long, global = true)]
    pub(crate) proposal: Option<PathBuf>,
    /// Shows the statements that took longest, those inside functions too (needs pg_stat_statements).
    #[arg(long, global = true)]
    pub(crate) statements: bool,
}

/// A PostgreSQL of our own.
pub(crate) struct Server {
    postgres: ThrowawayPostgres,
    admin: Client,
    looks: Looks,
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
    pub(crate) async fn start(looks: Looks) -> anyhow::Result<Self> {
        let counting: &[_] = if looks.statements { &COUNTING } else { &[] };
        let settings = [&SETTINGS, counting].concat();
        let postgres = ThrowawayPostgres::start_with_tcp(Durability::Durable, &settings)?;
        let admin = connect(&url(&postgres, "postgres", "postgres")?).await?;
        if looks.statements {
            admin.batch_execute("create extension pg_stat_statements").await?;
        }
        Ok(Self { postgres, admin, looks })
    }

    /// What was measured beyond the migrations.
    pub(crate) fn proposal(&self) -> Option<&Path> {
        self.looks.proposal.as_deref()
    }

    /// Puts the proposal in place, where there is one.
    pub(crate) async fn propose(&self, sql: &Client) -> anyhow::Result<()> {
        let Some(file) = &self.looks.proposal else { return Ok(()) };
        let proposal = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        sql.batch_execute(&format!("set role relay_owner; {proposal}; reset role"))
            .await
            .context("the proposal")
    }

    /// Shows what took longest since it was last shown.
    async fn show_statements(&self) -> anyhow::Result<()> {
        let statements = "select total_exec_time, calls, rows, wal_bytes::float8, \
             regexp_replace(left(query, 110), '\\s+', ' ', 'g') \
             from pg_stat_statements order by total_exec_time desc limit 25";
        for row in self.admin.query(statements, &[]).await? {
            let (milliseconds, calls, rows, wal): (f64, i64, i64, f64) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            let text: &str = row.get(4);
            writeln!(
                io::stderr(),
                "{milliseconds:>9.0} ms {calls:>7} calls {rows:>8} rows {wal:>11} B  {text}"
            )?;
        }
        Ok(())
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

    /// CPU seconds of all of its processes so far.
    pub(crate) fn postgres_cpu(&self) -> anyhow::Result<f64> {
        process::cpu_seconds_with_children(self.postgres.postmaster_pid())
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
        if self.looks.statements {
            self.admin.batch_execute("select pg_stat_statements_reset()").await?;
        }
        let before = self.reading(worker, provider).await?;
        let answer = worker.work().await?;
        let after = self.reading(worker, provider).await?;
        if self.looks.statements {
            self.show_statements().await?;
        }
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
