//! Connections: opened with the login as it is by now, and looked at before they are used where they have rested.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use deadpool_postgres::{
    ClientWrapper, Connect, Hook, HookError, Manager, ManagerConfig, Metrics, Pool, QueueMode,
    RecyclingMethod, Runtime,
};
use rustls::RootCertStore;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::{debug, warn};

use super::trust::{are_local, read_roots, trust};
use super::{Store, StoreError};
use crate::domain::Secret;

/// Waiting longer for a connection helps nobody: a run has a deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// With a login that had to be asked for anew in between.
const CREATE_TIMEOUT: Duration = Duration::from_secs(15);

/// Connections of one process. A run needs one for each upload that settles while others claim; more would only
/// crowd the server.
pub const POOL_SIZE: usize = 8;

/// A connection that was not used for so long is looked at first: a server that restarted or a function that was frozen
/// leaves connections that are dead without knowing it. Within a run none rests for so long.
const REST_MAX: Duration = Duration::from_secs(1);

/// What does not answer a look by then is dead.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Our two clocks drift apart by so much only where the process was frozen, or somebody set the host's clock.
const DRIFT_MAX: Duration = Duration::from_secs(1);

/// A server that is gone in the middle of a call is found out within half a minute.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(15), Duration::from_secs(5), 3);
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// A password changes at the server a moment before its new value is the current one: how often it is asked for, and the wait
/// between.
const ASKS: u32 = 3;
const ASK_WAIT: Duration = Duration::from_secs(1);

/// Where the database is.
#[derive(Clone)]
pub struct DatabaseConfig {
    config: tokio_postgres::Config,
    roots: Option<Arc<RootCertStore>>,
    logins: Option<Arc<dyn Logins>>,
}

/// A login and where it is good.
pub struct Login {
    /// A host name or address.
    pub host: String,
    /// 5432 as a rule.
    pub port: u16,
    /// The database.
    pub database: String,
    /// Who.
    pub user: String,
    /// And the word that shows it.
    pub password: Secret,
}

/// What is to be had of a login that the server refuses: it may have changed where it is kept.
pub trait Logins: Send + Sync {
    /// The login as it is kept now; nothing where nobody answered in time, or it cannot be read.
    fn ask(&self) -> Pin<Box<dyn Future<Output = Option<Login>> + Send + '_>>;
}

impl DatabaseConfig {
    /// Reads a URL (`postgresql://…`) or a list of keywords (`host=… user=…`). The message names what is wrong
    /// without repeating the text, which holds a password.
    pub fn parse(url: &Secret) -> Result<Self, String> {
        // Host names are always verified, so the two stronger modes of libpq are what `require` means here.
        let text = url.expose().replace("sslmode=verify-full", "sslmode=require");
        let text = text.replace("sslmode=verify-ca", "sslmode=require");
        let config: tokio_postgres::Config = text.parse().map_err(|_| {
            "must be a PostgreSQL URL, such as postgresql://user:password@host:5432/database".to_owned()
        })?;
        if config.get_hosts().is_empty() {
            return Err("must name a host, such as postgresql://user:password@host:5432/database".to_owned());
        }
        Ok(Self { config: finished(config), roots: None, logins: None })
    }

    /// With this login.
    pub fn of(login: &Login) -> Self {
        Self { config: login_config(login), roots: None, logins: None }
    }

    /// The same, with a login that is asked for anew where the server refuses it.
    #[must_use]
    pub fn asking(self, logins: Arc<dyn Logins>) -> Self {
        Self { logins: Some(logins), ..self }
    }

    /// The same database for another login, which is asked for nowhere.
    #[must_use]
    pub fn with_login(&self, user: &str, password: &Secret) -> Self {
        let mut config = self.config.clone();
        config.user(user).password(password.expose());
        Self { config, roots: self.roots.clone(), logins: None }
    }

    /// The same, trusting the certificates of this PEM file and no other.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn trusting(self, pem: &[u8]) -> Result<Self, String> {
        Ok(Self { roots: Some(read_roots(pem)?), ..self })
    }

    /// The configuration to connect with, and whether it takes TLS.
    fn secured(&self) -> (tokio_postgres::Config, bool) {
        let mut config = self.config.clone();
        let plain = are_local(config.get_hosts()) && config.get_ssl_mode() != SslMode::Require;
        config.ssl_mode(if plain { SslMode::Disable } else { SslMode::Require });
        (config, !plain)
    }
}

fn login_config(login: &Login) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host(&login.host).port(login.port).dbname(&login.database);
    config.user(&login.user).password(login.password.expose());
    finished(config)
}

fn finished(mut config: tokio_postgres::Config) -> tokio_postgres::Config {
    let (idle, interval, retries) = KEEPALIVE;
    config.connect_timeout(CONNECT_TIMEOUT).application_name("conversion-relay");
    config.keepalives_idle(idle).keepalives_interval(interval).keepalives_retries(retries);
    config.tcp_user_timeout(UNACKNOWLEDGED_MAX);
    config
}

/// Opens connections.
struct Entry {
    login: Mutex<Arc<tokio_postgres::Config>>,
    tls: Option<MakeRustlsConnect>,
    logins: Option<Arc<dyn Logins>>,
    asking: AsyncMutex<()>,
}

type Opened = (Client, JoinHandle<()>);

impl Entry {
    fn new(database: &DatabaseConfig) -> Result<Self, StoreError> {
        let (config, tls) = database.secured();
        let tls = match tls {
            true => {
                let trusted = trust(database.roots.as_ref(), config.get_hosts())?;
                Some(MakeRustlsConnect::new(trusted))
            }
            false => None,
        };
        let (login, asking) = (Mutex::new(Arc::new(config)), AsyncMutex::new(()));
        Ok(Self { login, tls, logins: database.logins.clone(), asking })
    }

    async fn open(&self) -> Result<Opened, tokio_postgres::Error> {
        let login = self.login();
        match self.open_with(&login).await {
            Err(refused) if is_refused_login(&refused) => match self.ask_anew(&login).await {
                Some(login) => self.open_with(&login).await,
                None => Err(refused),
            },
            opened => opened,
        }
    }

    async fn open_with(&self, login: &tokio_postgres::Config) -> Result<Opened, tokio_postgres::Error> {
        Ok(match &self.tls {
            Some(tls) => {
                let (client, connection) = login.connect(tls.clone()).await?;
                (client, tokio::spawn(see_through(connection)))
            }
            None => {
                let (client, connection) = login.connect(NoTls).await?;
                (client, tokio::spawn(see_through(connection)))
            }
        })
    }

    fn login(&self) -> Arc<tokio_postgres::Config> {
        Arc::clone(&self.login.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another login than the one that was refused; whoever comes meanwhile waits for the same one.
    async fn ask_anew(&self, refused: &Arc<tokio_postgres::Config>) -> Option<Arc<tokio_postgres::Config>> {
        let logins = self.logins.as_ref()?;
        let _asking = self.asking.lock().await;
        let known = self.login();
        if !Arc::ptr_eq(&known, refused) {
            return Some(known);
        }
        for ask in 0..ASKS {
            if ask > 0 {
                sleep(ASK_WAIT).await;
            }
            let mut new = login_config(&logins.ask().await?);
            new.ssl_mode(refused.get_ssl_mode());
            // TLS was set up for these hosts. One that moves is another database: a new process finds it.
            if new.get_hosts() == refused.get_hosts()
                && (new.get_user(), new.get_password()) != (refused.get_user(), refused.get_password())
            {
                warn!(event = "login_renewed", "the database refused its login, which has changed");
                let new = Arc::new(new);
                *self.login.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
                return Some(new);
            }
        }
        None
    }
}

/// How a connection ended is told to its client, whose next call fails.
async fn see_through(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(error) = connection.await {
        debug!(error = %error, "a connection to the database broke");
    }
}

fn is_refused_login(error: &tokio_postgres::Error) -> bool {
    let state = error.code();
    state == Some(&SqlState::INVALID_PASSWORD)
        || state == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

impl Connect for Entry {
    fn connect(
        &self,
        _: &tokio_postgres::Config,
    ) -> Pin<Box<dyn Future<Output = Result<Opened, tokio_postgres::Error>> + Send + '_>> {
        Box::pin(self.open())
    }
}

/// Notices that the process was frozen.
struct Rest(Mutex<Woken>);

struct Woken {
    seen: (Instant, SystemTime),
    woke: Option<Instant>,
}

impl Rest {
    fn new() -> Self {
        Self(Mutex::new(Woken { seen: (Instant::now(), SystemTime::now()), woke: None }))
    }

    /// Whether nobody can know that this connection still lives.
    fn is_over(&self, metrics: &Metrics) -> bool {
        let now = (Instant::now(), SystemTime::now());
        let mut woken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A frozen process can miss the time on one of its clocks.
        let elapsed = now.0.saturating_duration_since(woken.seen.0);
        let by_wall = now.1.duration_since(woken.seen.1);
        if by_wall.is_ok_and(|by_wall| by_wall > elapsed + DRIFT_MAX) {
            woken.woke = Some(now.0);
        }
        woken.seen = now;
        let used = metrics.recycled.unwrap_or(metrics.created);
        used.elapsed() >= REST_MAX || woken.woke.is_some_and(|woke| used < woke)
    }
}

/// One round trip without a statement, or an end of the connection.
async fn look(client: &ClientWrapper) -> Result<(), HookError> {
    match timeout(LOOK_TIMEOUT, client.check_connection()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(HookError::Backend(error)),
        Err(_) => Err(HookError::message("the connection is silent")),
    }
}

/// One connection of its own, for the migration runner, which needs transactions.
///
/// # Errors
/// As [`Store::connect`].
pub async fn connect_once(database: &DatabaseConfig) -> Result<Client, StoreError> {
    let (client, _) = Entry::new(database)?.open().await?;
    Ok(client)
}

impl Store {
    /// Makes the pool and opens its first connection, so that a database that is down is noticed here.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where there is no connection to be had.
    pub async fn connect(database: &DatabaseConfig) -> Result<Self, StoreError> {
        let entry = Entry::new(database)?;
        // No session state is ever set, so a connection is as good as new when it comes back.
        let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect((*entry.login()).clone(), entry, manager_config);
        let rest = Arc::new(Rest::new());
        let pool = Pool::builder(manager)
            .max_size(POOL_SIZE)
            // The one that was used last rests least.
            .queue_mode(QueueMode::Lifo)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CREATE_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .pre_recycle(Hook::async_fn(move |client, metrics| {
                let over = rest.is_over(metrics);
                Box::pin(async move { if over { look(client).await } else { Ok(()) } })
            }))
            .build()
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        drop(pool.get().await?);
        Ok(Self { pool: Arc::new(pool), fence: None })
    }
}
