//! Opens what tasks work with, in one order: configuration, connection, schema and environment, vault, platforms.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use super::aws::Aws;
use super::config::{AppEnv, Config, ConfigError, KeySetting, ProviderConfig};
use super::database::find_database;
use super::migrate::NEWEST_MIGRATION;
use super::telemetry::start_figures;
use crate::delivery::Access;
use crate::engine::{Context, Tasks};
use crate::providers::Registry;
use crate::providers::google_ads::{GoogleAds, GoogleConfig};
use crate::providers::http::{ClientError, build_client};
use crate::store::{Deployment, Store, StoreError};
use crate::vault::{DataKey, KeyContext, KeyFuture, KeySource, KmsKey, Vault, VaultError, WrappedKey};

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
    /// Secrets Manager gave no answer, and nothing that it gave before is left.
    #[error("Secrets Manager gave no answer for {setting}")]
    SecretAway {
        /// The setting that names the secret.
        setting: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Opens everything. Nothing is written.
///
/// # Errors
/// The first thing that is not as it must be, in the order of the set-up.
pub async fn open_context(config: &Config) -> Result<Context, BootError> {
    open_context_with(config, &Arc::default()).await
}

/// Everything, being opened.
pub(super) type Opening<'a> = Pin<Box<dyn Future<Output = Result<Context, BootError>> + Send + 'a>>;

/// The same over a way to AWS that others share.
pub(super) fn open_context_with<'a>(config: &'a Config, aws: &'a Arc<Aws>) -> Opening<'a> {
    Box::pin(open(config, aws))
}

async fn open(config: &Config, aws: &Arc<Aws>) -> Result<Context, BootError> {
    let providers = config.providers()?;
    let app_env = config.app_env();
    let setting = config.key_setting()?;
    install_tls();
    // What waits for others goes on while the platforms' client is made, which reads this machine's certificates.
    let opened = async {
        let store = Store::connect(&find_database(config, aws).await?).await?;
        check(&store.describe_deployment().await?, app_env)?;
        Ok::<_, BootError>(store)
    };
    let (store, source, registry) =
        tokio::join!(opened, key_source(setting, app_env, aws), async { registry(&providers) });
    let (store, (source, key_source), registry) = (store?, source?, registry?);
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

/// What guards data keys, and its name beside each of them. No host is asked.
async fn key_source(
    setting: KeySetting,
    app_env: AppEnv,
    aws: &Aws,
) -> Result<(Box<dyn KeySource>, &'static str), BootError> {
    Ok(match setting {
        KeySetting::Kms(key_id) => (Box::new(KmsKey::new(key_id, aws.config().await?.clone())), "kms"),
        KeySetting::Local(key) => (Box::new(key), "local"),
        KeySetting::Missing => (Box::new(NoKey(app_env)), "none"),
    })
}

/// Where no key is configured, credentials can be neither sealed nor opened; everything else works.
struct NoKey(AppEnv);

impl NoKey {
    fn refuse(&self, context: KeyContext<'_>) -> VaultError {
        let (setting, remedy) = match self.0 {
            AppEnv::Production => {
                ("KMS_KEY_ID (not set)", "set KMS_KEY_ID: the id, ARN or alias of a KMS key")
            }
            AppEnv::Staging | AppEnv::Development => (
                "VAULT_KEY (not set)",
                "set VAULT_KEY (32 bytes in base64) in staging and development, or KMS_KEY_ID",
            ),
        };
        VaultError::KeyRefused { setting, version: context.key_version, remedy }
    }
}

impl KeySource for NoKey {
    fn generate_data_key<'a>(&'a self, context: KeyContext<'a>) -> KeyFuture<'a, (DataKey, WrappedKey)> {
        Box::pin(async move { Err(self.refuse(context)) })
    }

    fn unwrap_data_key<'a>(&'a self, _: &'a WrappedKey, context: KeyContext<'a>) -> KeyFuture<'a, DataKey> {
        Box::pin(async move { Err(self.refuse(context)) })
    }
}
