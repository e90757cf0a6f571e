//! Connections: TLS wherever the server is not on this machine, plain text on loopback only.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Store, StoreError};
use crate::domain::Secret;

/// Waiting longer for a connection helps nobody: a run has a deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections of one process. A run needs one for each upload that settles while others claim; more would only
/// crowd the server.
const POOL_SIZE: usize = 8;

/// Where the database is.
pub struct DatabaseConfig {
    config: tokio_postgres::Config,
}

impl DatabaseConfig {
    /// Reads a URL (`postgresql://…`) or a list of keywords (`host=… user=…`). The message names what is wrong
    /// without repeating the text, which holds a password.
    pub fn parse(url: &Secret) -> Result<Self, String> {
        // Host names are always verified, so the two stronger modes of libpq are what `require` means here.
        let text = url.expose().replace("sslmode=verify-full", "sslmode=require");
        let text = text.replace("sslmode=verify-ca", "sslmode=require");
        let mut config: tokio_postgres::Config = text.parse().map_err(|_| {
            "must be a PostgreSQL URL, such as postgresql://user:password@host:5432/database".to_owned()
        })?;
        if config.get_hosts().is_empty() {
            return Err("must name a host, such as postgresql://user:password@host:5432/database".to_owned());
        }
        config.connect_timeout(CONNECT_TIMEOUT).application_name("conversion-relay");
        Ok(Self { config })
    }

    /// Whether every host is this machine: a socket, or a loopback address.
    fn is_local(&self) -> bool {
        self.config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => {
                name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            #[cfg(unix)]
            Host::Unix(_) => true,
        })
    }

    fn tls(&self) -> Result<MakeRustlsConnect, StoreError> {
        let config = ClientConfig::with_platform_verifier()
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        Ok(MakeRustlsConnect::new(config))
    }

    /// The configuration to connect with, and whether it takes TLS.
    fn secured(&self) -> (tokio_postgres::Config, bool) {
        let mut config = self.config.clone();
        let plain = self.is_local() && config.get_ssl_mode() != SslMode::Require;
        config.ssl_mode(if plain { SslMode::Disable } else { SslMode::Require });
        (config, !plain)
    }
}

/// One connection of its own, for the migration runner, which needs transactions.
///
/// # Errors
/// As [`Store::connect`].
pub async fn connect_once(database: &DatabaseConfig) -> Result<Client, StoreError> {
    let (config, tls) = database.secured();
    if tls {
        let (client, connection) = config.connect(database.tls()?).await?;
        tokio::spawn(connection);
        return Ok(client);
    }
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

impl Store {
    /// Makes the pool and opens its first connection, so that a database that is down is noticed here.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where there is no connection to be had.
    pub async fn connect(database: &DatabaseConfig) -> Result<Self, StoreError> {
        let (config, tls) = database.secured();
        // No session state is ever set, so a connection is as good as new when it comes back.
        let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = if tls {
            Manager::from_config(config, database.tls()?, manager_config)
        } else {
            Manager::from_config(config, NoTls, manager_config)
        };
        let pool = Pool::builder(manager)
            .max_size(POOL_SIZE)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        drop(pool.get().await?);
        Ok(Self { pool: Arc::new(pool), fence: None })
    }
}
