//! Who may call over HTTP: whoever shows the cron secret, or the internal one. No other header opens anything.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::error;

use super::aws::Aws;
use super::config::{Config, ConfigError};
use super::context::BootError;
use super::secrets::{KeptSecret, Values};
use crate::domain::Secret;

/// A secret that nobody knows is looked up again where it was read so long ago: a rotated one is good at once, and whoever
/// guesses costs one read in this time.
const SECOND_LOOK: Duration = Duration::from_secs(10);

/// The secrets that open the doors; each may have a second valid value while it is being rotated.
pub(super) struct Secrets {
    cron: Place,
    internal: Place,
}

/// Where a secret is.
enum Place {
    /// In the environment; none, where it is not set.
    Here(Vec<Secret>),
    /// In Secrets Manager.
    There(Arc<KeptSecret>),
    /// In both, and nobody knows which is meant.
    Both(ConfigError),
}

/// Why a caller is turned away.
#[derive(Debug)]
pub(super) enum TurnedAway {
    /// There is no secret to compare with: a fault of ours, not of the caller.
    NotConfigured,
    /// It is said where the secret is, and it is not to be had there.
    Misconfigured(ConfigError),
    /// The secret cannot be read at the moment.
    Away,
    /// The secret is missing or wrong.
    Unauthorized,
}

impl Place {
    fn read(config: &Config, (plain, id): (&'static str, &'static str), aws: &Arc<Aws>) -> Self {
        match (config.secrets(plain), config.get(id)) {
            (here, None) => Self::Here(here),
            (here, Some(secret)) if here.is_empty() => {
                Self::There(Arc::new(KeptSecret::new(id, secret, Values::AndPrevious, Arc::clone(aws))))
            }
            (_, Some(_)) => {
                let reason = format!("is set beside {plain}: set only one of them");
                Self::Both(ConfigError { setting: id.into(), reason })
            }
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Here(secrets) if secrets.is_empty())
    }

    /// Whether one of the candidates is a value of this secret.
    async fn matches(&self, candidates: &[&str]) -> Result<bool, TurnedAway> {
        let known = |secrets: &[Secret]| candidates.iter().any(|candidate| any_matches(secrets, candidate));
        if candidates.is_empty() {
            return Ok(false);
        }
        match self {
            Self::Here(secrets) => Ok(known(secrets)),
            Self::There(secret) => {
                if known(&secret.texts().await.map_err(turned_away)?) {
                    return Ok(true);
                }
                match secret.texts_younger_than(SECOND_LOOK).await {
                    Ok(secrets) => Ok(known(&secrets)),
                    // By what is known it is wrong.
                    Err(BootError::SecretAway { .. }) => Ok(false),
                    Err(error) => Err(turned_away(error)),
                }
            }
            Self::Both(error) => Err(TurnedAway::Misconfigured(error.clone())),
        }
    }
}

fn turned_away(failure: BootError) -> TurnedAway {
    if let BootError::Config(error) = failure {
        return TurnedAway::Misconfigured(error);
    }
    let failure = anyhow::Error::from(failure);
    error!(error = format!("{failure:#}"), "a secret cannot be read");
    TurnedAway::Away
}

impl Secrets {
    /// `CRON_SECRET` and `INTERNAL_SECRET`, each with its `_PREVIOUS`, or their `_ID` in Secrets Manager.
    pub(super) fn read(config: &Config, aws: &Arc<Aws>) -> Self {
        Self {
            cron: Place::read(config, ("CRON_SECRET", "CRON_SECRET_ID"), aws),
            internal: Place::read(config, ("INTERNAL_SECRET", "INTERNAL_SECRET_ID"), aws),
        }
    }

    /// Whether a call with these headers (names in lower case) may come in.
    pub(super) async fn check(&self, headers: &HashMap<String, String>) -> Result<(), TurnedAway> {
        let shown = |name: &str| headers.get(name).map(String::as_str);
        let internal: Vec<&str> = shown("x-internal-secret").into_iter().collect();
        if self.internal.matches(&internal).await? {
            return Ok(());
        }
        if self.cron.is_empty() {
            return Err(TurnedAway::NotConfigured);
        }
        let bearer = shown("authorization").and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let candidates: Vec<&str> = [bearer, shown("x-cron-secret")].into_iter().flatten().collect();
        if self.cron.matches(&candidates).await? { Ok(()) } else { Err(TurnedAway::Unauthorized) }
    }
}

/// Compares with each value, and with all of them, so that the time tells nothing.
fn any_matches(secrets: &[Secret], candidate: &str) -> bool {
    secrets.iter().fold(false, |matched, secret| matched | secret.matches(candidate))
}
