//! A fresh database for every test: one server per test process, each database a copy of a template.

use std::env;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, anyhow};
use relay_cli::postgres::{Durability, ThrowawayPooler, ThrowawayPostgres};
use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

/// The login of all programs.
pub const SERVICE: &str = "relay_service";

/// A copy takes some 30 ms; this is for one that hangs.
const STATEMENT_LIMIT: Duration = Duration::from_secs(60);

/// This process's server. It ends with the process, however that ends.
///
/// A server that does not start fails every test that asks for it, with the server's own words.
pub fn server() -> &'static ThrowawayPostgres {
    static SERVER: LazyLock<Result<ThrowawayPostgres, String>> = LazyLock::new(|| {
        ThrowawayPostgres::start(Durability::Fast, &[]).map_err(|error| format!("{error:#}"))
    });
    SERVER.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// `pgbouncer`: the service's login goes through a pooler, as it may in production. Not set: it does not.
pub const POOLER: &str = "RELAY_TEST_POOLER";

/// This process's pooler in front of its server, where the run asks for one. It ends with the process, too.
///
/// The superuser, the operator and migrations keep connections of their own: a migration needs one session throughout.
pub fn pooler() -> Option<&'static ThrowawayPooler> {
    static POOLERS: LazyLock<Result<Option<ThrowawayPooler>, String>> =
        LazyLock::new(|| match env::var(POOLER).unwrap_or_default().as_str() {
            "" => Ok(None),
            "pgbouncer" => {
                ThrowawayPooler::start(server(), &[SERVICE]).map(Some).map_err(|error| format!("{error:#}"))
            }
            other => Err(format!("{POOLER} must be pgbouncer or nothing, not {other}")),
        });
    POOLERS.as_ref().unwrap_or_else(|error| panic!("{error}")).as_ref()
}

/// Connects to any database of any server that this process can reach.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("connect to the database")?;
    // How a connection ended is told to the client, whose next call fails.
    tokio::spawn(connection);
    Ok(client)
}

/// Names a file with a faulty function.
pub const MUTATION: &str = "RELAY_TEST_MUTATION";

/// Puts the SQL of the file that [`MUTATION`] names into a migrated database; nothing where it names none.
/// That is how the command `mutations` breaks one function and looks whether a test notices.
pub async fn apply_mutation(url: &str) -> anyhow::Result<()> {
    let Some(path) = env::var_os(MUTATION) else { return Ok(()) };
    let sql = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    connect(url).await?.batch_execute(&sql).await.context("put the mutation in place")
}

/// A database that is filled once per test process and then only copied. Declared as a `static`.
#[derive(Debug)]
pub struct Template {
    name: &'static str,
    filled: OnceCell<Result<(), String>>,
}

impl Template {
    /// A template that nothing is in yet; its name is unique in the test process.
    pub const fn new(name: &'static str) -> Self {
        Self { name, filled: OnceCell::const_new() }
    }

    /// A new database that no other test has seen.
    ///
    /// The first caller's `fill` gets the URL of the empty template; a failure of it fails every caller alike.
    pub async fn fresh_database<F>(&self, fill: impl FnOnce(String) -> F) -> anyhow::Result<Database>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        static COPIES: AtomicU32 = AtomicU32::new(1);
        let filled =
            self.filled.get_or_init(|| async { self.fill(fill).await.map_err(|error| format!("{error:#}")) });
        filled.await.clone().map_err(|error| anyhow!(error)).context("fill the template database")?;
        let name = format!("{}_{}", self.name, COPIES.fetch_add(1, Ordering::Relaxed));
        order(format!(r#"create database "{name}" template "{}""#, self.name)).await?;
        Ok(Database { name })
    }

    async fn fill<F>(&self, fill: impl FnOnce(String) -> F) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let name = self.name;
        order(format!(r#"create database "{name}""#)).await?;
        fill(server().url(name)).await?;
        // Only a database without visitors can be copied. The filler's connections may outlive its return by a
        // moment; from here on nobody comes in, and whoever is left is shown out.
        order(format!(r#"alter database "{name}" allow_connections false"#)).await?;
        order(format!(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{name}'"
        ))
        .await
    }
}

/// One test's own database. Dropping it deletes it, best effort: the server's end takes the rest. A test whose database
/// has seen a deadlock fails.
#[derive(Debug)]
pub struct Database {
    name: String,
}

impl Database {
    /// Its name on the server, as the server's log has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL for the superuser.
    pub fn url(&self) -> String {
        server().url(&self.name)
    }

    /// Its URL for another role.
    pub fn url_as(&self, role: &str) -> String {
        server().url_as(role, &self.name)
    }

    /// Its URL for the programs' login: through the pooler, where the run asks for one.
    pub fn service_url(&self) -> String {
        pooler().map_or_else(|| self.url_as(SERVICE), |pooler| pooler.url_as(SERVICE, &self.name))
    }

    /// Connects as the superuser.
    pub async fn connect(&self) -> anyhow::Result<Client> {
        connect(&self.url()).await
    }

    /// Connects as another role.
    pub async fn connect_as(&self, role: &str) -> anyhow::Result<Client> {
        connect(&self.url_as(role)).await
    }

    /// The lines of the server's log that this database caused, such as its deadlocks.
    pub fn log(&self) -> anyhow::Result<Vec<String>> {
        let log = server().log().context("read the server's log")?;
        let mark = format!("@{} ", self.name);
        Ok(log.lines().filter(|line| line.contains(&mark)).map(String::from).collect())
    }

    /// What the server's log says of deadlocks in this database. No test has a right to one.
    pub fn deadlocks(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.log()?.into_iter().filter(|line| line.contains("deadlock detected")).collect())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Also where a retry hid it from the test.
        let deadlocks = self.deadlocks().unwrap_or_default();
        if !thread::panicking() {
            assert!(deadlocks.is_empty(), "{deadlocks:?}");
        }
        let (done, _) = oneshot::channel();
        let statement = format!(r#"drop database if exists "{}" with (force)"#, self.name);
        // Without a clerk there is no server left to tidy.
        clerk().send(Order { statement, done }).ok();
    }
}

/// One statement about whole databases, and where to say that it is done.
struct Order {
    statement: String,
    done: oneshot::Sender<Result<(), String>>,
}

/// Hands a statement to the clerk and waits for its end.
async fn order(statement: String) -> anyhow::Result<()> {
    let (done, answer) = oneshot::channel();
    let refused = || anyhow!("the clerk of the test databases is gone");
    clerk().send(Order { statement: statement.clone(), done }).map_err(|_| refused())?;
    let answer = timeout(STATEMENT_LIMIT, answer).await.with_context(|| format!("wait for `{statement}`"))?;
    answer
        .map_err(|_| refused())?
        .map_err(|error| anyhow!(error))
        .with_context(|| format!("run `{statement}`"))
}

/// A thread that makes and deletes databases one at a time, over one connection: each test has its own runtime,
/// and a connection dies with the runtime that it was opened on.
fn clerk() -> &'static UnboundedSender<Order> {
    static CLERK: LazyLock<UnboundedSender<Order>> = LazyLock::new(|| {
        let (sender, orders) = mpsc::unbounded_channel();
        let url = server().url("postgres");
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a process that can run tests can poll sockets");
        thread::spawn(move || runtime.block_on(keep_databases(url, orders)));
        sender
    });
    &CLERK
}

async fn keep_databases(url: String, mut orders: UnboundedReceiver<Order>) {
    let client = connect(&url).await.map_err(|error| format!("{error:#}"));
    while let Some(Order { statement, done }) = orders.recv().await {
        let answer = match &client {
            Ok(client) => {
                client.batch_execute(&statement).await.map_err(|error| format!("{:#}", anyhow!(error)))
            }
            Err(error) => Err(error.clone()),
        };
        // Whoever gave the order may have stopped waiting.
        done.send(answer).ok();
    }
}
