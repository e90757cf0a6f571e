//! The migration runner: two lanes, one transaction per numbered file, one for all functions that changed.
//!
//! Safe to run twice and by two at once: each transaction begins by taking the migration's lock.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};
use tracing::info;

use super::aws::Aws;
use super::config::{AppEnv, Config, ConfigError};
use super::context::{BootError, check_program, install_tls, registry};
use super::database::{SERVICE_SECRET, ServiceLogin, find_database, find_service_login};
use crate::engine::Tasks;
use crate::store::{DatabaseConfig, connect_once};

/// Every file of `migrations/`, by its path there, in order.
const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// What a schema must have for this program: the newest numbered file.
pub(super) const NEWEST_MIGRATION: &str = newest();

const fn newest() -> &'static str {
    let mut index = 0;
    let mut newest = "";
    while index < FILES.len() {
        let name = FILES[index].0.as_bytes();
        if name[0].is_ascii_digit() {
            newest = FILES[index].0;
        }
        index += 1;
    }
    newest
}

const GROUND: &str = "0000_ground.sql";
const SESSION: &str = "session.sql";
const OWNER: &str = "owner.sql";

/// How often a file is tried again when somebody else holds a lock that it needs, and the wait between.
const TRIES: u32 = 40;
const WAIT: Duration = Duration::from_millis(500);

/// How often a secret may change while its password is set.
const LOGIN_TRIES: u32 = 3;

/// Partitions are made this far ahead.
const WEEKS_AHEAD: i32 = 8;

/// What a migration did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Migrated {
    /// Always true: what cannot be done is an error.
    pub ok: bool,
    /// Numbered files that were applied.
    pub migrations: Vec<String>,
    /// Functions that were put in place.
    pub functions: usize,
    /// Partitions that were made.
    pub partitions: i32,
    /// The newest numbered file that is applied.
    pub schema: String,
    /// The login of the service, where a secret names one: the database knows it and its password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_login: Option<String>,
}

/// Brings the schema to this program's version. A newer schema that still serves this program stays as it is: after a
/// rollback the older functions must not come back over newer tables.
///
/// # Errors
/// An edited file, a database of another environment, a schema that this program is too old for, or what the database
/// says.
pub async fn migrate(config: &Config) -> anyhow::Result<Migrated> {
    install_tls();
    let aws = Arc::default();
    // A secret of the service that cannot be used is told before anything is done.
    let (database, service) = tokio::join!(find_database(config, &aws), find_service_login(config, &aws));
    let database = database?;
    service?;
    let mut client = connect_once(&database).await?;
    let mut done = Migrated { ok: true, schema: NEWEST_MIGRATION.to_owned(), ..Migrated::default() };

    let_it_settle(&mut client, |tx| Box::pin(async { Ok(tx.batch_execute(file(GROUND)).await?) }))
        .await
        .context(GROUND)?;
    let environment = config.app_env();
    let_it_settle(&mut client, |tx| Box::pin(stamp_environment(tx, environment))).await?;
    let applied = let_it_settle(&mut client, |tx| Box::pin(read_newest_migration(tx))).await?;
    if let Some(newer) = applied.filter(|applied| applied.as_str() > NEWEST_MIGRATION) {
        info!(migration = newer, "the schema is newer than this program and stays as it is");
        done.schema = newer;
    } else {
        apply(config, &mut client, &mut done).await?;
    }
    done.service_login = keep_service_login(config, &aws, &database, &mut client).await?;
    Ok(done)
}

/// Sees to it that the service can log in with what its secret says by now. A password that is good stays as it is: whoever copied
/// its verifier, as a pooler does, can go on with it.
async fn keep_service_login(
    config: &Config,
    aws: &Arc<Aws>,
    database: &DatabaseConfig,
    client: &mut Client,
) -> anyhow::Result<Option<String>> {
    for _ in 0..LOGIN_TRIES {
        let Some(login) = find_service_login(config, aws).await? else { return Ok(None) };
        put_service_login(database, client, &login).await.context("the service's login")?;
        // It may have been rotated meanwhile, and then what stands in the database is too old.
        let now = find_service_login(config, aws).await?;
        if now.is_none_or(|now| now.matches(&login)) {
            return Ok(Some(login.name));
        }
    }
    bail!(
        "the service's login: its secret changed {LOGIN_TRIES} times while its password was set: deploy again"
    )
}

async fn put_service_login(
    database: &DatabaseConfig,
    client: &mut Client,
    login: &ServiceLogin,
) -> anyhow::Result<()> {
    let name = &login.name;
    let_it_settle(client, |tx| Box::pin(set_service_login(tx, name.clone(), None))).await?;
    match connect_once(&database.with_login(name, &login.password)).await {
        Ok(_) => Ok(()),
        Err(refused) if refused.is_refused_login() => {
            let verifier = Some(login.verifier());
            let_it_settle(client, |tx| Box::pin(set_service_login(tx, name.clone(), verifier.clone()))).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Both lanes, and what the newest schema has to hold.
async fn apply(config: &Config, client: &mut Client, done: &mut Migrated) -> anyhow::Result<()> {
    for (name, sql) in numbered() {
        let applied = let_it_settle(client, |tx| Box::pin(apply_numbered(tx, name, sql))).await;
        if applied.with_context(|| name.to_owned())? {
            info!(migration = name, "applied {name}");
            done.migrations.push(name.to_owned());
        }
    }
    done.functions = let_it_settle(client, |tx| Box::pin(apply_functions(tx))).await.context("functions")?;
    done.partitions =
        let_it_settle(client, |tx| Box::pin(keep_partitions(tx))).await.context("partitions")?;
    let registry = registry(&config.providers()?)?;
    let tasks = Tasks::of(&registry);
    let keys: Vec<String> = tasks.scheduled().map(|task| task.descriptor.key.as_str().to_owned()).collect();
    let_it_settle(client, |tx| Box::pin(register_tasks(tx, keys.clone()))).await.context("tasks")
}

async fn stamp_environment(tx: &Transaction<'_>, environment: AppEnv) -> anyhow::Result<()> {
    tx.batch_execute(file(OWNER)).await?;
    let row = tx.query_one("select relay.stamp_environment($1)", &[&environment.as_str()]).await?;
    let stamped: &str = row.get(0);
    if stamped != environment.as_str() {
        let database = stamped.to_owned();
        return Err(BootError::Environment { program: environment, database }.into());
    }
    Ok(())
}

async fn keep_partitions(tx: &Transaction<'_>) -> anyhow::Result<i32> {
    tx.batch_execute(file(OWNER)).await?;
    Ok(tx.query_one("select relay.keep_partitions($1)", &[&WEEKS_AHEAD]).await?.get(0))
}

async fn register_tasks(tx: &Transaction<'_>, keys: Vec<String>) -> anyhow::Result<()> {
    tx.batch_execute(file(OWNER)).await?;
    tx.query_one("select relay.register_tasks($1)", &[&keys]).await?;
    Ok(())
}

/// As the login that migrates and not as `relay_owner`: only the one may make logins. Without a verifier the password stays.
async fn set_service_login(
    tx: &Transaction<'_>,
    name: String,
    verifier: Option<String>,
) -> anyhow::Result<()> {
    let row = tx.query_one("select relay.set_service_login($1, $2)", &[&name, &verifier]).await?;
    match row.get::<_, Option<String>>(0) {
        None => Ok(()),
        Some(refused) => {
            let reason = format!("names a secret whose username {refused}");
            Err(BootError::Config(ConfigError { setting: SERVICE_SECRET.into(), reason }).into())
        }
    }
}

/// The numbered lane, the ground excepted: it is laid every time.
fn numbered() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES
        .iter()
        .copied()
        .filter(|(name, _)| name.starts_with(|c: char| c.is_ascii_digit()) && *name != GROUND)
}

fn file(name: &str) -> &'static str {
    FILES.iter().find(|(file, _)| *file == name).map(|(_, sql)| *sql).expect("the file is in the repository")
}

/// The newest numbered file that was applied, where the schema serves this program.
async fn read_newest_migration(tx: &Transaction<'_>) -> anyhow::Result<Option<String>> {
    tx.batch_execute(file(OWNER)).await?;
    let row = tx.query_one("select name, oldest_program from relay.read_newest_migration()", &[]).await?;
    check_program(row.get("oldest_program"))?;
    Ok(row.get("name"))
}

/// What is done in one transaction. Boxed: a host with several threads has to see that it may move between them.
type Work<'t, T> = Pin<Box<dyn Future<Output = anyhow::Result<T>> + Send + 't>>;

/// One transaction under the migration's lock, tried again where a lock was not to be had.
async fn let_it_settle<T>(
    client: &mut Client,
    work: impl for<'t> Fn(&'t Transaction<'_>) -> Work<'t, T>,
) -> anyhow::Result<T> {
    let mut tries = 0;
    loop {
        let tx = client.transaction().await?;
        let result = match tx.batch_execute(file(SESSION)).await {
            Ok(()) => work(&tx).await,
            Err(error) => Err(error.into()),
        };
        let error = match result {
            Ok(value) => match tx.commit().await {
                Ok(()) => return Ok(value),
                Err(error) => error.into(),
            },
            Err(error) => {
                tx.rollback().await?;
                error
            }
        };
        tries += 1;
        if tries >= TRIES || !passes(&error) {
            return Err(error);
        }
        sleep(WAIT).await;
    }
}

/// Whether the same thing may work a moment later: a lock that somebody holds, or roles that another database's
/// migration is making at this moment.
fn passes(error: &anyhow::Error) -> bool {
    let state = error.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code);
    state.is_some_and(|state| {
        [&SqlState::LOCK_NOT_AVAILABLE, &SqlState::T_R_DEADLOCK_DETECTED, &SqlState::INTERNAL_ERROR]
            .contains(&state)
    })
}

async fn apply_numbered(tx: &Transaction<'_>, name: &str, sql: &str) -> anyhow::Result<bool> {
    tx.batch_execute(file(OWNER)).await?;
    let sha256 = sha256(sql);
    match tx.query_one("select relay.begin_migration($1, $2)", &[&name, &sha256]).await?.get(0) {
        "same" => return Ok(false),
        "new" => {}
        _ => bail!("was applied with other content: a numbered migration is never edited, add a new one"),
    }
    tx.batch_execute(sql).await?;
    let oldest = sql.lines().take(10).find_map(|line| line.strip_prefix("-- oldest program: "));
    tx.query_one("select relay.finish_migration($1, $2, $3)", &[&name, &sha256, &oldest]).await?;
    Ok(true)
}

async fn apply_functions(tx: &Transaction<'_>) -> anyhow::Result<usize> {
    tx.batch_execute(file(OWNER)).await?;
    let mut applied = 0;
    for (name, sql) in FILES.iter().filter(|(name, _)| name.starts_with("functions/")) {
        let sha256 = sha256(sql);
        let row = tx.query_one("select relay.begin_migration($1, $2)", &[name, &sha256]).await?;
        if row.get::<_, &str>(0) == "same" {
            continue;
        }
        tx.batch_execute(sql).await.with_context(|| (*name).to_owned())?;
        tx.query_one("select relay.finish_migration($1, $2, null)", &[name, &sha256]).await?;
        applied += 1;
    }
    Ok(applied)
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
