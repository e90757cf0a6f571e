//! Who may call over HTTP: whoever shows the cron secret, or the internal one. No other header opens anything.

use std::collections::HashMap;

use super::config::Config;
use crate::domain::Secret;

/// The secrets that open the doors; each may have a second valid value while it is being rotated.
pub struct Secrets {
    cron: Vec<Secret>,
    internal: Vec<Secret>,
}

/// Why a caller is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnedAway {
    /// There is no secret to compare with: a fault of ours, not of the caller.
    NotConfigured,
    /// The secret is missing or wrong.
    Unauthorized,
}

impl Secrets {
    /// `CRON_SECRET` and `INTERNAL_SECRET`, each with its `_PREVIOUS`.
    pub fn read(config: &Config) -> Self {
        Self { cron: config.secrets("CRON_SECRET"), internal: config.secrets("INTERNAL_SECRET") }
    }

    /// Whether a call with these headers (names in lower case) may come in.
    pub(super) fn check(&self, headers: &HashMap<String, String>) -> Result<(), TurnedAway> {
        let shown = |name: &str| headers.get(name).map(String::as_str);
        if shown("x-internal-secret").is_some_and(|candidate| any_matches(&self.internal, candidate)) {
            return Ok(());
        }
        if self.cron.is_empty() {
            return Err(TurnedAway::NotConfigured);
        }
        let bearer = shown("authorization").and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let candidates = [bearer, shown("x-cron-secret")];
        if candidates.into_iter().flatten().any(|candidate| any_matches(&self.cron, candidate)) {
            return Ok(());
        }
        Err(TurnedAway::Unauthorized)
    }
}

/// Compares with each value, and with all of them, so that the time tells nothing.
fn any_matches(secrets: &[Secret], candidate: &str) -> bool {
    secrets.iter().fold(false, |matched, secret| matched | secret.matches(candidate))
}
