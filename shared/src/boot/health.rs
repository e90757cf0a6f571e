//! Whether this program is ready to work, found out in one round trip and kept for a second.
//!
//! It has a connection of its own, opened when it is first asked: it tells of a database that is gone, and so must work while it
//! is. Whoever hammers it waits for the one look that is under way.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

use super::config::{AppEnv, Config, ConfigError};
use super::context::{check, install_tls, key_source, registry};
use crate::engine::{Pulse, Tasks};
use crate::store::{DatabaseConfig, Store, StoreError, TaskQuiet};

/// A check that is not done by then has failed.
const CHECK_TIME: Duration = Duration::from_millis(500);

/// A look goes on behind the answers that did not wait for it, so that a connection which takes longer than a check is there
/// for the next one; but not for ever.
const LOOK_TIME: Duration = Duration::from_secs(5);

/// A task that has not succeeded within so many of its intervals is late.
const INTERVALS_MAX: u32 = 3;

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
    /// Of the loop that this process lives for, where it has one.
    pub(super) pulse: Option<Arc<Pulse>>,
}

/// What has to be there before anything can be looked at; each where it is as it must be.
struct Settings {
    database: Option<DatabaseConfig>,
    app_env: AppEnv,
    /// Every task that runs by itself, and how long it may be quiet.
    tasks: Option<Vec<(String, Duration)>>,
    /// What is not as it must be.
    wrong: Option<ConfigError>,
}

/// The connection is with the look that is under way, else here.
#[derive(Default)]
struct Looking {
    settings: Option<Arc<Settings>>,
    store: Option<Store>,
    under_way: Option<JoinHandle<Seen>>,
}

/// What a look at the database saw, why it is not good, and the connection where it is good for another.
struct Seen {
    database: Found,
    schema: Found,
    workers: Found,
    why: Vec<String>,
    store: Option<Store>,
}

impl Found {
    fn when(good: bool) -> Self {
        if good { Self::Ok } else { Self::Fail }
    }
}

impl Seen {
    /// Nothing of it is known to be good.
    fn nothing(why: impl Into<String>) -> Self {
        let why = vec![why.into()];
        Self { database: Found::Fail, schema: Found::Fail, workers: Found::Fail, why, store: None }
    }
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
        let settings = looking.settings(config);
        let Seen { database, schema, workers, mut why, store } = looking.wait(&settings).await;
        looking.store = store;
        let lives = self.pulse.as_ref().is_none_or(|pulse| pulse.lives());
        let workers = Found::when(lives && workers == Found::Ok);
        let config = Found::when(settings.wrong.is_none());
        let good = [database, schema, config, workers].iter().all(|found| *found == Found::Ok);
        let checks = Checks { database, schema, config, workers };
        let readiness = Readiness { status: Found::when(good), checks };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Told once, and not to everybody who asks.
        if known.is_none_or(|(_, known)| known != readiness) {
            why.extend(settings.wrong.as_ref().map(ToString::to_string));
            why.extend((!lives).then(|| "the loop of this process is dead".to_owned()));
            match readiness.status {
                Found::Ok => info!("ready"),
                Found::Fail => warn!(why = why.join("; "), "not ready"),
            }
        }
        *known = Some((Instant::now(), readiness));
        readiness
    }

    fn known(&self) -> Option<Readiness> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|(at, _)| at.elapsed() < KEPT).map(|(_, readiness)| readiness)
    }
}

impl Settings {
    fn read(config: &Config) -> Self {
        let (database, tasks, key) = (config.database(), scheduled(config), key_source(config).map(|_| ()));
        let (database, wrong) = split(database, None);
        let (tasks, wrong) = split(tasks, wrong);
        let (_, wrong) = split(key, wrong);
        Self { database, app_env: config.app_env(), tasks, wrong }
    }
}

/// What is there, and the first that is wrong.
fn split<T>(read: Result<T, ConfigError>, wrong: Option<ConfigError>) -> (Option<T>, Option<ConfigError>) {
    match read {
        Ok(value) => (Some(value), wrong),
        Err(error) => (None, wrong.or(Some(error))),
    }
}

fn scheduled(config: &Config) -> Result<Vec<(String, Duration)>, ConfigError> {
    let wrong = |_| ConfigError { setting: "TLS".into(), reason: "cannot be set up".to_owned() };
    let tasks = Tasks::of(&registry(&config.providers()?).map_err(wrong)?);
    config.task_settings(&tasks)?;
    let scheduled = tasks.scheduled().filter_map(|task| {
        let interval = task.descriptor.schedule.interval()?;
        Some((task.descriptor.key.as_str().to_owned(), interval * INTERVALS_MAX))
    });
    Ok(scheduled.collect())
}

impl Looking {
    /// Read once: a process's environment stays as it is.
    fn settings(&mut self, config: &Config) -> Arc<Settings> {
        Arc::clone(self.settings.get_or_insert_with(|| Arc::new(Settings::read(config))))
    }

    /// What the look that is under way sees, or a new one; nothing where it takes longer than a check may.
    async fn wait(&mut self, settings: &Arc<Settings>) -> Seen {
        let store = self.store.take();
        let new = || tokio::spawn(look(Arc::clone(settings), store));
        let mut under_way = self.under_way.take().unwrap_or_else(new);
        match timeout(CHECK_TIME, &mut under_way).await {
            Ok(seen) => seen.unwrap_or_else(|broken| Seen::nothing(broken.to_string())),
            Err(_) => {
                self.under_way = Some(under_way);
                Seen::nothing("the database does not answer in time")
            }
        }
    }
}

async fn look(settings: Arc<Settings>, store: Option<Store>) -> Seen {
    let seen = async {
        let store = match (store, &settings.database) {
            (Some(store), _) => store,
            (None, Some(database)) => {
                install_tls();
                Store::connect(database).await?
            }
            (None, None) => return Ok(Seen::nothing("nobody knows where the database is")),
        };
        Ok::<_, StoreError>(see(store, &settings).await)
    };
    match timeout(LOOK_TIME, seen).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => Seen::nothing(told(&error)),
        Err(_) => Seen::nothing("the database does not answer"),
    }
}

/// One round trip.
async fn see(store: Store, settings: &Settings) -> Seen {
    match store.read_readiness().await {
        Ok((deployment, standing)) => {
            let schema = check(&deployment, settings.app_env);
            let late = settings.tasks.as_ref().map(|tasks| late(tasks, &standing).collect::<Vec<_>>());
            let mut why: Vec<String> = schema.as_ref().err().map(ToString::to_string).into_iter().collect();
            if let Some(late) = late.as_ref().filter(|late| !late.is_empty()) {
                why.push(format!("late for {INTERVALS_MAX} of their intervals: {}", late.join(", ")));
            }
            Seen {
                database: Found::Ok,
                schema: Found::when(schema.is_ok()),
                workers: Found::when(late.is_some_and(|late| late.is_empty())),
                why,
                store: Some(store),
            }
        }
        Err(error @ StoreError::Unavailable(_)) => Seen::nothing(told(&error)),
        Err(error) => Seen { database: Found::Ok, store: Some(store), ..Seen::nothing(told(&error)) },
    }
}

/// An error and its causes on one line.
fn told(error: &StoreError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Tasks that nobody paused and that are quiet for too long, or were never registered.
fn late<'a>(tasks: &'a [(String, Duration)], standing: &[TaskQuiet]) -> impl Iterator<Item = &'a str> {
    let is_late = |key: &str, most: Duration| {
        let task = standing.iter().find(|task| task.task_key == key);
        task.is_none_or(|task| !task.is_paused && task.quiet > most)
    };
    tasks.iter().filter(move |(key, most)| is_late(key, *most)).map(|(key, _)| key.as_str())
}
