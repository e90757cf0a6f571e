//! Whether this program is ready to work, found out in one round trip and kept for a second.
//!
//! It has a connection of its own, opened when it is first asked: it tells of a database that is gone, and so must work while it
//! is. Whoever hammers it waits for the one look that is under way.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use super::config::{AppEnv, Config};
use super::context::{check, install_tls, key_source};
use crate::store::{DatabaseConfig, Store, StoreError};

/// A check that is not done by then has failed.
const CHECK_TIME: Duration = Duration::from_millis(500);

/// A look goes on behind the answers that did not wait for it, so that a connection which takes longer than a check is there
/// for the next one; but not for ever.
const LOOK_TIME: Duration = Duration::from_secs(5);

/// What was found out is good for so long.
const KEPT: Duration = Duration::from_secs(1);

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Found {
    /// As it must be.
    Ok,
    /// It is not, or nobody knows.
    Fail,
}

/// Whether this program is ready, and what of it is not. It names no host, version or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Readiness {
    /// `ok` where every check is.
    pub(super) status: Found,
    checks: Checks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Checks {
    database: Found,
    schema: Found,
    config: Found,
    workers: Found,
}

/// The last look, and the next.
#[derive(Default)]
pub(super) struct Health {
    known: Mutex<Option<(Instant, Readiness)>>,
    looking: AsyncMutex<Looking>,
}

/// The connection is with the look that is under way, else here.
#[derive(Default)]
struct Looking {
    store: Option<Store>,
    under_way: Option<JoinHandle<Seen>>,
}

/// What a look at the database saw, and the connection where it is good for another.
struct Seen {
    database: Found,
    schema: Found,
    workers: Found,
    store: Option<Store>,
}

impl Found {
    fn when(good: bool) -> Self {
        if good { Self::Ok } else { Self::Fail }
    }
}

impl Seen {
    /// Nothing of it is known to be good.
    const NOTHING: Self =
        Self { database: Found::Fail, schema: Found::Fail, workers: Found::Fail, store: None };
}

impl Health {
    /// Looks, unless somebody did within the last second.
    pub(super) async fn look(&self, config: &Config) -> Readiness {
        if let Some(known) = self.known() {
            return known;
        }
        let mut looking = self.looking.lock().await;
        // Whoever was here before us may have found out.
        if let Some(known) = self.known() {
            return known;
        }
        let is_complete = config.providers().is_ok() && key_source(config).is_ok();
        let seen = match config.database() {
            Ok(database) => looking.wait(database, config.app_env()).await,
            Err(_) => None,
        };
        let complete = Found::when(is_complete && config.database().is_ok());
        let Seen { database, schema, workers, store } = seen.unwrap_or(Seen::NOTHING);
        looking.store = store;
        let checks = Checks { database, schema, config: complete, workers };
        let good = [database, schema, complete, workers].iter().all(|found| *found == Found::Ok);
        let readiness = Readiness { status: Found::when(good), checks };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), readiness));
        readiness
    }

    fn known(&self) -> Option<Readiness> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|(at, _)| at.elapsed() < KEPT).map(|(_, readiness)| readiness)
    }
}

impl Looking {
    /// What the look that is under way sees, or a new one; nothing where it takes longer than a check may.
    async fn wait(&mut self, database: DatabaseConfig, app_env: AppEnv) -> Option<Seen> {
        let store = self.store.take();
        let new = || tokio::spawn(look(database, app_env, store));
        let mut under_way = self.under_way.take().unwrap_or_else(new);
        match timeout(CHECK_TIME, &mut under_way).await {
            Ok(seen) => seen.ok(),
            Err(_) => {
                self.under_way = Some(under_way);
                None
            }
        }
    }
}

async fn look(database: DatabaseConfig, app_env: AppEnv, store: Option<Store>) -> Seen {
    let seen = async {
        let store = match store {
            Some(store) => store,
            None => {
                install_tls();
                Store::connect(&database).await?
            }
        };
        Ok::<_, StoreError>(see(store, app_env).await)
    };
    match timeout(LOOK_TIME, seen).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => {
            warn!(error = format!("{error:#}"), "the database is not ready");
            Seen::NOTHING
        }
        Err(_) => {
            warn!("the database is not ready: it does not answer");
            Seen::NOTHING
        }
    }
}

/// One round trip.
async fn see(store: Store, app_env: AppEnv) -> Seen {
    match store.describe_deployment().await {
        Ok(deployment) => {
            let schema = check(&deployment, app_env);
            if let Err(error) = &schema {
                warn!(error = error.to_string(), "the schema is not ready");
            }
            let schema = Found::when(schema.is_ok());
            Seen { database: Found::Ok, schema, workers: Found::Ok, store: Some(store) }
        }
        Err(error @ StoreError::Unavailable(_)) => {
            warn!(error = format!("{error:#}"), "the database is not ready");
            Seen::NOTHING
        }
        Err(error) => {
            warn!(error = format!("{error:#}"), "the schema is not ready");
            Seen { database: Found::Ok, store: Some(store), ..Seen::NOTHING }
        }
    }
}
