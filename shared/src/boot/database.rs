//! Where the database is: a URL, or a secret as RDS writes it, which is asked anew where the server refuses its login.

use std::fs;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use postgres_protocol::password::scram_sha_256;
use serde::Deserialize;
use tracing::warn;

use super::aws::Aws;
use super::config::{Config, ConfigError};
use super::context::BootError;
use super::secrets::{KeptSecret, Values};
use crate::domain::Secret;
use crate::store::{DatabaseConfig, Login, Logins};

/// A login that is a moment old is as the server has it, unless it says otherwise: then the kept one is passed over.
const ANEW: std::time::Duration = std::time::Duration::ZERO;

const POSTGRES_PORT: u16 = 5432;

/// Finds out where the database is; asks Secrets Manager where it keeps the login.
///
/// # Errors
/// [`BootError::Config`] by the name of the setting; [`BootError::SecretAway`].
pub(super) async fn find_database(config: &Config, aws: &Arc<Aws>) -> Result<DatabaseConfig, BootError> {
    let database = match (config.get("DATABASE_URL"), config.get("DATABASE_SECRET_ID")) {
        (Some(_), Some(_)) => {
            return Err(
                wrong("DATABASE_SECRET_ID", "is set beside DATABASE_URL: set only one of them").into()
            );
        }
        (Some(url), None) => {
            DatabaseConfig::parse(&Secret::new(url)).map_err(|reason| wrong("DATABASE_URL", reason))?
        }
        (None, Some(id)) => {
            let secret = KeptSecret::new("DATABASE_SECRET_ID", id, Values::Current, Arc::clone(aws));
            let logins = DatabaseSecret { secret: Arc::new(secret), around: Around::read(config)? };
            let login = logins.read(&logins.secret.texts().await?)?;
            DatabaseConfig::of(&login).asking(Arc::new(logins))
        }
        (None, None) => {
            let reason = "is missing: a PostgreSQL URL, such as postgresql://user:password@host:5432/database, \
                or DATABASE_SECRET_ID in its place";
            return Err(wrong("DATABASE_URL", reason).into());
        }
    };
    let Some(path) = config.get("DATABASE_CA_FILE") else {
        return Ok(database);
    };
    let pem = fs::read(path)
        .map_err(|error| wrong("DATABASE_CA_FILE", format!("cannot be read: {}", error.kind())))?;
    Ok(database.trusting(&pem).map_err(|reason| wrong("DATABASE_CA_FILE", reason))?)
}

/// The login that programs use, as the migration makes it known to the database.
pub(super) struct ServiceLogin {
    /// Its name.
    pub(super) name: String,
    /// Its password.
    pub(super) password: Secret,
}

impl ServiceLogin {
    /// What shows that somebody knows its password, and does not tell it: PostgreSQL keeps the same. Another one each time.
    pub(super) fn verifier(&self) -> String {
        scram_sha_256(self.password.expose().as_bytes())
    }

    /// Whether it is the same login with the same password.
    pub(super) fn matches(&self, other: &Self) -> bool {
        self.name == other.name && self.password.matches(other.password.expose())
    }
}

/// The setting that names the secret of the service's login.
pub(super) const SERVICE_SECRET: &str = "DATABASE_SERVICE_SECRET_ID";

/// Reads the login that `DATABASE_SERVICE_SECRET_ID` names, as Secrets Manager has it now; nothing where it is not set.
///
/// # Errors
/// [`BootError::Config`] by the name of the setting; [`BootError::SecretAway`].
pub(super) async fn find_service_login(
    config: &Config,
    aws: &Arc<Aws>,
) -> Result<Option<ServiceLogin>, BootError> {
    #[derive(Deserialize)]
    struct Read {
        username: String,
        password: Secret,
    }
    let Some(id) = config.get(SERVICE_SECRET) else { return Ok(None) };
    let secret = Arc::new(KeptSecret::new(SERVICE_SECRET, id, Values::Current, Arc::clone(aws)));
    let texts = secret.texts().await?;
    // The parser's own message would quote the text.
    let read: Option<Read> = texts.first().and_then(|text| serde_json::from_str(text.expose()).ok());
    let Some(Read { username: name, password }) = read.filter(|read| !read.password.expose().is_empty())
    else {
        return Err(secret.wrong("names a secret that is not as RDS writes it: {\"username\",\"password\"}"));
    };
    if name.contains('\0') || password.expose().contains('\0') {
        return Err(secret.wrong("names a secret with the character NUL, which no login has"));
    }
    Ok(Some(ServiceLogin { name, password }))
}

fn wrong(setting: &'static str, reason: impl Into<String>) -> ConfigError {
    ConfigError { setting: setting.into(), reason: reason.into() }
}

/// Where the database is, beside a secret: one that RDS manages itself holds a user and a password alone. What is set here comes
/// before what the secret says: one that is attached to its server, to be rotated, names the server also where the way there leads
/// over a proxy.
struct Around {
    host: Option<String>,
    port: Option<u16>,
    database: Option<String>,
}

impl Around {
    fn read(config: &Config) -> Result<Self, ConfigError> {
        let port = config.get("DATABASE_PORT").map(|port| {
            let port = port.trim().parse().ok().filter(|port| *port > 0);
            port.ok_or_else(|| wrong("DATABASE_PORT", "must be a port, such as 5432"))
        });
        Ok(Self {
            host: config.get("DATABASE_HOST"),
            port: port.transpose()?,
            database: config.get("DATABASE_NAME"),
        })
    }
}

/// A database secret, in the form that RDS and its rotation write.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html>, read 2026-11-22.
#[derive(Deserialize)]
struct RdsSecret {
    engine: Option<String>,
    host: Option<String>,
    port: Option<Port>,
    dbname: Option<String>,
    username: String,
    password: String,
}

/// A number; some write it as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

struct DatabaseSecret {
    secret: Arc<KeptSecret>,
    around: Around,
}

impl DatabaseSecret {
    /// A login of the secret's values.
    fn read(&self, texts: &[Secret]) -> Result<Login, BootError> {
        let wrong = |reason: &str| self.secret.wrong(reason);
        // The parser's own message would quote the text.
        let read: Option<RdsSecret> = texts.first().and_then(|text| serde_json::from_str(text.expose()).ok());
        let secret = read.ok_or_else(|| {
            wrong("names a secret that is not as RDS writes it: {\"host\",\"port\",\"dbname\",\"username\",\"password\"}")
        })?;
        if secret.engine.as_deref().is_some_and(|engine| !engine.contains("postgres")) {
            return Err(wrong("names a secret of another engine than PostgreSQL"));
        }
        let port = match (self.around.port, secret.port) {
            (Some(port), _) => Some(port),
            (None, None) => None,
            (None, Some(Port::Number(port))) => Some(port),
            (None, Some(Port::Text(port))) => {
                Some(port.parse().map_err(|_| wrong("names a secret whose port is no port"))?)
            }
        };
        let host = self.around.host.clone().or(secret.host);
        let database = self.around.database.clone().or(secret.dbname);
        Ok(Login {
            host: host.ok_or_else(|| wrong("names a secret without host: set DATABASE_HOST beside it"))?,
            port: port.unwrap_or(POSTGRES_PORT),
            database: database
                .ok_or_else(|| wrong("names a secret without dbname: set DATABASE_NAME beside it"))?,
            user: secret.username,
            password: Secret::new(secret.password),
        })
    }
}

impl Logins for DatabaseSecret {
    fn ask(&self) -> Pin<Box<dyn Future<Output = Option<Login>> + Send + '_>> {
        Box::pin(async move {
            let read = self.secret.texts_younger_than(ANEW).await.and_then(|texts| self.read(&texts));
            read.map_err(|error| {
                let error = anyhow::Error::from(error);
                warn!(
                    setting = self.secret.setting(),
                    error = format!("{error:#}"),
                    "the database's login could not be read anew"
                );
            })
            .ok()
        })
    }
}
