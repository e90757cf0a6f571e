//! The configuration: from the environment, once, one struct per concern.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use base64::Engine as _;

use crate::domain::Secret;
use crate::engine::{LocksByCall, Retention, Settings, Stream, Tasks};
use crate::vault::LocalKey;

/// A setting that is missing or wrong: its name, and what would be right. Never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {reason}")]
pub struct ConfigError {
    /// The environment variable.
    pub setting: Cow<'static, str>,
    /// What would be right, as the rest of the sentence.
    pub reason: String,
}

impl ConfigError {
    fn new(setting: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self { setting: setting.into(), reason: reason.into() }
    }
}

/// Which environment this is. Whatever is not plainly another one is production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppEnv {
    /// Real money.
    Production,
    /// A rehearsal.
    Staging,
    /// A developer's machine.
    Development,
}

impl AppEnv {
    /// Missing or unknown means production: a typing error must not open doors.
    pub fn read(value: Option<&str>) -> Self {
        match value {
            Some("staging") => AppEnv::Staging,
            Some("development") => AppEnv::Development,
            _ => AppEnv::Production,
        }
    }

    /// The word in the environment and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            AppEnv::Production => "production",
            AppEnv::Staging => "staging",
            AppEnv::Development => "development",
        }
    }
}

impl fmt::Display for AppEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What guards data keys.
pub(super) enum KeySetting {
    /// A KMS key, by what `KMS_KEY_ID` says.
    Kms(String),
    /// `VAULT_KEY`.
    Local(LocalKey),
    /// Nothing.
    Missing,
}

/// How to reach the platforms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    /// `GOOGLE_ADS_BASE_URL`.
    pub google_ads_base_url: String,
    /// `GOOGLE_ADS_API_VERSION`.
    pub google_ads_api_version: String,
    /// `GOOGLE_DATA_MANAGER_BASE_URL`.
    pub google_data_manager_base_url: String,
    /// `GOOGLE_OAUTH_TOKEN_URL`.
    pub google_oauth_token_url: String,
    /// `PROVIDER_HTTP_TIMEOUT_MS`: one request, from connecting to the last byte.
    pub http_timeout: Duration,
}

/// Long enough for 2,000 rows at a slow platform. The lease of a claim is twice this and 15 s.
const DEFAULT_HTTP_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest that may be set: a claim's lease would be 4 minutes 15.
const MAX_HTTP_TIMEOUT_MS: u64 = 120_000;

/// All settings. Each concern is read when it is needed, so that a function needs only what it uses.
pub struct Config {
    read: Box<Read>,
}

/// A setting by its name.
type Read = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Config {
    /// The process's environment.
    pub fn from_env() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// Any other source of settings by name.
    pub fn new(read: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { read: Box::new(read) }
    }

    /// A setting; an empty one counts as missing.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.read)(name).filter(|value| !value.trim().is_empty())
    }

    /// `APP_ENV`.
    pub fn app_env(&self) -> AppEnv {
        AppEnv::read(self.get("APP_ENV").as_deref())
    }

    /// What guards data keys: `KMS_KEY_ID`, or `VAULT_KEY` where that is allowed.
    pub(super) fn key_setting(&self) -> Result<KeySetting, ConfigError> {
        let vault_key = self.vault_key()?;
        match (self.get("KMS_KEY_ID"), vault_key) {
            (Some(_), Some(_)) => {
                Err(ConfigError::new("KMS_KEY_ID", "is set beside VAULT_KEY: set only one of them"))
            }
            (Some(key_id), None) => Ok(KeySetting::Kms(key_id)),
            (None, Some(key)) => match LocalKey::new(&key) {
                Ok(key) => Ok(KeySetting::Local(key)),
                Err(wrong) => Err(ConfigError::new("VAULT_KEY", wrong.to_string())),
            },
            (None, None) => Ok(KeySetting::Missing),
        }
    }

    /// `VAULT_KEY`, where it is allowed.
    fn vault_key(&self) -> Result<Option<Secret>, ConfigError> {
        match (self.get("VAULT_KEY"), self.app_env()) {
            (Some(_), AppEnv::Production) => Err(ConfigError::new(
                "VAULT_KEY",
                "is never used in production: remove it there, or set APP_ENV to staging or development",
            )),
            (key, AppEnv::Production | AppEnv::Staging | AppEnv::Development) => Ok(key.map(Secret::new)),
        }
    }

    /// `NAME` and `NAME_PREVIOUS`, where they are set: two values are valid while a secret is being rotated.
    pub fn secrets(&self, name: &str) -> Vec<Secret> {
        [name.to_owned(), format!("{name}_PREVIOUS")]
            .iter()
            .filter_map(|name| self.get(name))
            .map(Secret::new)
            .collect()
    }

    /// How long things are kept, and over which time scores are computed: `CONVERSION_RETENTION_DAYS`,
    /// `RUN_RETENTION_DAYS`, `RECOMPUTE_SCORES_WINDOW_DAYS`.
    fn retention(&self) -> Result<Retention, ConfigError> {
        let usual = Retention::default();
        let retention = Retention {
            conversion_days: self.days(
                "CONVERSION_RETENTION_DAYS",
                Retention::CONVERSIONS,
                usual.conversion_days,
            )?,
            run_days: self.days("RUN_RETENTION_DAYS", Retention::RUNS, usual.run_days)?,
            score_window_days: self.days(
                "RECOMPUTE_SCORES_WINDOW_DAYS",
                Retention::SCORE_WINDOW,
                usual.score_window_days,
            )?,
        };
        if retention.conversion_days < retention.score_window_days {
            let reason =
                "must not be less than RECOMPUTE_SCORES_WINDOW_DAYS: scores are computed from so many days";
            return Err(ConfigError::new("CONVERSION_RETENTION_DAYS", reason));
        }
        Ok(retention)
    }

    fn days(
        &self,
        name: &'static str,
        bounds: RangeInclusive<u32>,
        default: u32,
    ) -> Result<u32, ConfigError> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        text.trim().parse().ok().filter(|days| bounds.contains(days)).ok_or_else(|| {
            let reason = format!("must be a number of days from {} to {}", bounds.start(), bounds.end());
            ConfigError::new(name, reason)
        })
    }

    /// What an operator set for tasks: `<TASK>_LOCK_ID` of the exclusive ones. A call may name a lock of its own
    /// outside production.
    pub fn task_settings(&self, tasks: &Tasks) -> Result<Settings, ConfigError> {
        let mut lock_ids = BTreeMap::new();
        for task in tasks.iter() {
            let setting = task.descriptor.key.lock_setting();
            let Some(text) = self.get(&setting) else { continue };
            let id = text.parse::<i32>().ok().filter(|id| *id > 0);
            let id = id.ok_or_else(|| ConfigError::new(setting, "must be a whole number above 0"))?;
            lock_ids.insert(task.descriptor.key.as_str().to_owned(), id);
        }
        let locks_by_call = match self.app_env() {
            AppEnv::Production => LocksByCall::Refused,
            AppEnv::Staging | AppEnv::Development => LocksByCall::Allowed,
        };
        Ok(Settings { owner: self.owner(), lock_ids, locks_by_call, retention: self.retention()? })
    }

    /// Where figures go, in CloudWatch's embedded metric format, and under which namespace: `METRICS_NAMESPACE`. On
    /// Lambda always, to standard output; elsewhere where it is set, to standard error.
    pub(super) fn figures(&self) -> Option<(String, Stream)> {
        let namespace = self.get("METRICS_NAMESPACE");
        match self.get("AWS_LAMBDA_FUNCTION_NAME") {
            Some(_) => Some((namespace.unwrap_or_else(|| "ConversionRelay".to_owned()), Stream::Stdout)),
            None => Some((namespace?, Stream::Stderr)),
        }
    }

    /// Which program this is: the function and its environment on Lambda, else the host and its process.
    fn owner(&self) -> String {
        let function = self.get("AWS_LAMBDA_FUNCTION_NAME");
        let stream = self.get("AWS_LAMBDA_LOG_STREAM_NAME");
        match (function, stream) {
            (Some(function), Some(stream)) => format!("{function} {stream}"),
            (Some(function), None) => function,
            (None, _) => {
                let host = self.get("HOSTNAME").unwrap_or_else(|| "relay".to_owned());
                format!("{host} {}", std::process::id())
            }
        }
    }

    /// How to reach the platforms, by default themselves.
    pub fn providers(&self) -> Result<ProviderConfig, ConfigError> {
        let http_timeout = match self.get("PROVIDER_HTTP_TIMEOUT_MS") {
            None => DEFAULT_HTTP_TIMEOUT,
            Some(text) => match text.parse::<u64>() {
                Ok(millis) if (100..=MAX_HTTP_TIMEOUT_MS).contains(&millis) => Duration::from_millis(millis),
                _ => {
                    let reason =
                        format!("must be a number of milliseconds from 100 to {MAX_HTTP_TIMEOUT_MS}");
                    return Err(ConfigError::new("PROVIDER_HTTP_TIMEOUT_MS", reason));
                }
            },
        };
        Ok(ProviderConfig {
            google_ads_base_url: self.url("GOOGLE_ADS_BASE_URL", "https://googleads.googleapis.com")?,
            google_ads_api_version: self.get("GOOGLE_ADS_API_VERSION").unwrap_or_else(|| "v26".to_owned()),
            google_data_manager_base_url: self
                .url("GOOGLE_DATA_MANAGER_BASE_URL", "https://datamanager.googleapis.com")?,
            google_oauth_token_url: self
                .url("GOOGLE_OAUTH_TOKEN_URL", "https://oauth2.googleapis.com/token")?,
            http_timeout,
        })
    }

    /// An address without its closing slash. Plain HTTP is for this machine, and for development: tokens go along.
    fn url(&self, name: &'static str, default: &str) -> Result<String, ConfigError> {
        let text = self.get(name).unwrap_or_else(|| default.to_owned());
        let url = reqwest::Url::parse(&text).map_err(|_| ConfigError::new(name, "must be a URL"))?;
        let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let plain = url.scheme() == "http" && (local || self.app_env() == AppEnv::Development);
        if url.scheme() != "https" && !plain {
            return Err(ConfigError::new(
                name,
                "must be an https URL; http only to this machine, or in development",
            ));
        }
        Ok(text.trim_end_matches('/').to_owned())
    }
}

/// A new local vault key in the form that `VAULT_KEY` takes: 32 random bytes in base64.
///
/// # Errors
/// The operating system's, where it gives no random bytes.
pub fn new_vault_key() -> Result<Secret, getrandom::Error> {
    let mut key = zeroize::Zeroizing::new([0u8; 32]);
    getrandom::fill(&mut key[..])?;
    Ok(Secret::new(base64::engine::general_purpose::STANDARD.encode(&key[..])))
}
