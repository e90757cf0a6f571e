//! Opens what tasks work with, in one order: configuration, connection, schema and environment, vault, platforms.

use std::sync::Arc;
use std::time::Instant;

use super::config::{AppEnv, Config, ConfigError, ProviderConfig};
use super::migrate::NEWEST_MIGRATION;
use super::telemetry::start_figures;
use crate::delivery::Access;
use crate::engine::{Context, Tasks};
use crate::providers::Registry;
use crate::providers::google_ads::{GoogleAds, GoogleConfig};
use crate::providers::http::{ClientError, build_client};
use crate::store::{Deployment, Store, StoreError};
use crate::vault::{KeyContext, KeyFuture, KeySource, LocalKey, Vault, VaultError, WrappedKey};

/// This program's version, as migrations name the oldest that they serve.
pub const PROGRAM_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why tasks cannot work at all.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A setting is missing or wrong.
    #[error("the configuration is not complete")]
    Config(#[from] ConfigError),
    /// The database does not answer, or not as ours.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The schema is older than this program.
    #[error("{0}")]
    Schema(String),
    /// The schema is newer than this program can serve.
    #[error("the schema serves programs from {oldest} on, this is {}: deploy a newer one", PROGRAM_VERSION)]
    Program {
        /// The oldest program that it serves.
        oldest: String,
    },
    /// The database belongs to another environment.
    #[error(
        "this program runs as {program} (APP_ENV), the database belongs to {database}: nothing was touched"
    )]
    Environment {
        /// What the program is.
        program: AppEnv,
        /// What the database says.
        database: String,
    },
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made")]
    Http(#[from] ClientError),
}

/// Opens everything. Nothing is written.
///
/// # Errors
/// The first thing that is not as it must be, in the order of the set-up.
pub async fn open_context(config: &Config) -> Result<Context, BootError> {
    let providers = config.providers()?;
    let database = config.database()?;
    let app_env = config.app_env();
    let (source, key_source) = key_source(config)?;
    install_tls();
    let store = Store::connect(&database).await?;
    check(&store.describe_deployment().await?, app_env)?;
    let registry = registry(&providers)?;
    let vault = Vault::new(source, app_env.as_str(), Instant::now);
    let access = Access::new(store.clone(), vault, registry.clone(), key_source);
    let settings = Arc::new(config.task_settings(&Tasks::of(&registry))?);
    Ok(Context {
        store,
        access: Arc::new(access),
        registry,
        http_timeout: providers.http_timeout,
        settings,
        figures: start_figures(config),
    })
}

/// The platforms of this program.
///
/// # Errors
/// [`BootError::Http`].
pub fn registry(config: &ProviderConfig) -> Result<Registry, BootError> {
    install_tls();
    let client = build_client(config.http_timeout)?;
    let google = GoogleConfig {
        ads_base_url: config.google_ads_base_url.clone(),
        ads_api_version: config.google_ads_api_version.clone(),
        data_manager_base_url: config.google_data_manager_base_url.clone(),
        oauth_token_url: config.google_oauth_token_url.clone(),
    };
    Ok(Registry::new(vec![Arc::new(GoogleAds::new(google, client))]))
}

/// One TLS stack for all; a second call finds it there.
pub(super) fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Whether this program and this database belong together.
pub(super) fn check(deployment: &Deployment, app_env: AppEnv) -> Result<(), BootError> {
    match deployment.environment.as_deref() {
        Some(environment) if environment == app_env.as_str() => {}
        Some(environment) => {
            return Err(BootError::Environment { program: app_env, database: environment.to_owned() });
        }
        None => {
            return Err(BootError::Schema(
                "the database has no environment stamp: run `relay migrate`".to_owned(),
            ));
        }
    }
    if deployment.newest_migration.as_deref() < Some(NEWEST_MIGRATION) {
        let has = deployment.newest_migration.as_deref().unwrap_or("none");
        let told =
            format!("the schema stands at {has}, this program needs {NEWEST_MIGRATION}: run `relay migrate`");
        return Err(BootError::Schema(told));
    }
    check_program(deployment.oldest_program.as_deref())
}

/// Whether the schema still serves this program.
pub(super) fn check_program(oldest: Option<&str>) -> Result<(), BootError> {
    match oldest {
        Some(oldest) if version(PROGRAM_VERSION) < version(oldest) => {
            Err(BootError::Program { oldest: oldest.to_owned() })
        }
        Some(_) | None => Ok(()),
    }
}

/// The numbers of a version, to be compared.
fn version(text: &str) -> Vec<u64> {
    text.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

pub(super) fn key_source(config: &Config) -> Result<(Box<dyn KeySource>, &'static str), ConfigError> {
    match config.vault_key()? {
        Some(key) => match LocalKey::new(&key) {
            Ok(key) => Ok((Box::new(key), "local")),
            Err(wrong) => Err(ConfigError { setting: "VAULT_KEY".into(), reason: wrong.to_string() }),
        },
        None => Ok((Box::new(NoKey), "none")),
    }
}

/// Where no key is configured, credentials can be neither sealed nor opened; everything else works.
struct NoKey;

impl NoKey {
    fn refuse(context: KeyContext<'_>) -> VaultError {
        VaultError::KeyRefused {
            setting: "VAULT_KEY (not set)",
            version: context.key_version,
            remedy: "set VAULT_KEY (32 bytes in base64) in staging and development; keys from KMS come with a later version",
        }
    }
}

impl KeySource for NoKey {
    fn generate_data_key<'a>(
        &'a self,
        context: KeyContext<'a>,
    ) -> KeyFuture<'a, (crate::vault::DataKey, WrappedKey)> {
        Box::pin(async move { Err(Self::refuse(context)) })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        _: &'a WrappedKey,
        context: KeyContext<'a>,
    ) -> KeyFuture<'a, crate::vault::DataKey> {
        Box::pin(async move { Err(Self::refuse(context)) })
    }
}
