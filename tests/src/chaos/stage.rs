//! A durable server of its own, migrated, with groups that may send.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use relay_cli::postgres::{Durability, ThrowawayPostgres};
use shared::boot::migrate;
use shared::domain::{Secret, SiteId};
use shared::store::{DatabaseConfig, Store};
use tokio::time::sleep;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::database::{apply_mutation, connect};
use crate::world::config;

/// Groups, and the quota keys that they share.
const GROUPS: usize = 16;
const QUOTA_KEYS: usize = 4;

/// Per quota key: the slots of the dead are taken for a whole lease.
const SLOTS: i32 = 200;

/// The shortest time that a circuit may stay open.
const OPEN_SECONDS: i32 = 1;

/// A restart takes a second or two.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);

const DATABASE: &str = "chaos";

pub(super) struct Stage {
    pub(super) server: Mutex<ThrowawayPostgres>,
    pub(super) sites: Vec<SiteId>,
    admin_url: String,
    service_url: String,
}

impl Stage {
    pub(super) async fn set() -> anyhow::Result<Self> {
        // What was committed must survive the restart. Tables that live for a minute are vacuumed within it.
        // A checkpoint a minute bounds what the restart has to read again.
        let settings =
            [("autovacuum_naptime", "2s"), ("checkpoint_timeout", "60s"), ("shared_buffers", "256MB")];
        let server = ThrowawayPostgres::start(Durability::Durable, &settings)?;
        let (admin_url, service_url) = (server.url(DATABASE), server.url_as("relay_service", DATABASE));
        connect(&server.url("postgres")).await?.batch_execute("create database chaos").await?;
        migrate(&config([("DATABASE_URL", admin_url.clone()), ("APP_ENV", "development".to_owned())]))
            .await?;
        apply_mutation(&admin_url).await?;
        // Whoever has a lock may wait for a disk that others keep busy. That is no fault of the queue.
        let longer = "alter role relay_service set lock_timeout = '60s'";
        connect(&admin_url).await?.batch_execute(longer).await?;
        let sites: Vec<SiteId> = (0..GROUPS).map(|_| SiteId(Uuid::new_v4())).collect();
        let stage = Self { server: Mutex::new(server), sites, admin_url, service_url };
        stage.furnish().await?;
        Ok(stage)
    }

    async fn furnish(&self) -> anyhow::Result<()> {
        let sql = connect(&self.admin_url).await?;
        sql.execute(
            "insert into relay.vault_key (key_version, source, wrapped, created_at) values (1, 'local', '', now())",
            &[],
        )
        .await?;
        sql.execute("select relay.put_circuit_setting($1)", &[&OPEN_SECONDS]).await?;
        for (number, site) in self.sites.iter().enumerate() {
            let quota_key = format!("key-{}", number % QUOTA_KEYS);
            sql.execute(
                "insert into relay.quota (quota_key, slots) values ($1, $2) on conflict do nothing",
                &[&quota_key, &SLOTS],
            )
            .await?;
            sql.execute(
                "select from relay.put_provider_credentials($1, 'google_ads', 1, '', $2)",
                &[&site.0, &quota_key],
            )
            .await?;
        }
        Ok(())
    }

    /// The superuser's connection, also while the server is on its way back.
    pub(super) async fn admin(&self) -> anyhow::Result<Client> {
        let limit = Instant::now() + CONNECT_LIMIT;
        loop {
            match connect(&self.admin_url).await {
                Ok(client) => return Ok(client),
                Err(error) if Instant::now() > limit => return Err(error),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// The service's connections; they find back to the server by themselves.
    pub(super) async fn store(&self) -> anyhow::Result<Store> {
        let database = DatabaseConfig::parse(&Secret::new(self.service_url.clone()));
        let database = database.map_err(|error| anyhow::anyhow!(error)).context("read our own URL")?;
        let limit = Instant::now() + CONNECT_LIMIT;
        loop {
            match Store::connect(&database).await {
                Ok(store) => return Ok(store),
                Err(error) if Instant::now() > limit => return Err(error.into()),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Whether nothing waits and nothing is in flight.
    pub(super) async fn is_drained(&self) -> anyhow::Result<bool> {
        let sql = "select not exists (select from relay.ready) and not exists (select from relay.inflight)";
        Ok(self.admin().await?.query_one(sql, &[]).await?.get(0))
    }
}
