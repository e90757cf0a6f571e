//! Looks at a site's account without a conversion: opens its credentials, fetches a token, and asks the platform.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::sleep;

use super::access::{Access, AccessError};
use crate::domain::{ErrorCode, HoldScope, ProviderKey, SiteId};
use crate::providers::{AccountOptions, Check, Depth, QuotaScope};
use crate::store::{SealedCredentials, ThrottleScope};
use crate::vault::VaultError;

/// The longest wait of a look for the request budget that its account shares with uploads.
const BUDGET_WAIT: Duration = Duration::from_secs(10);

/// Whose account is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The site.
    pub site: SiteId,
    /// At which provider.
    pub provider: ProviderKey,
    /// What shares its request budget.
    pub quota_key: Option<&'a str>,
    /// The transport that it was switched to.
    pub transport: Option<&'a str>,
    /// What opens its account.
    pub sealed: &'a SealedCredentials,
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Examination {
    /// In the order in which they were looked at.
    pub checks: Vec<Check>,
    /// Requests that were booked for it.
    pub requests: u64,
    /// Answers that asked to wait.
    pub http_429: u64,
}

impl Access {
    /// Looks at an account, for one conversion action or its own. Tokens that were fetched before `since` are not believed.
    ///
    /// # Errors
    /// The database's and the vault's, but for credentials that do not open: that is a finding.
    pub async fn examine(
        &self,
        subject: &Subject<'_>,
        depth: Depth,
        action: Option<&str>,
        since: Instant,
    ) -> Result<Examination, AccessError> {
        let Subject { site, provider, sealed, transport, .. } = *subject;
        let options =
            AccountOptions { transport: transport.map(ToOwned::to_owned), ..AccountOptions::default() };
        let mut found = Examination::default();
        let account = match self.open_account(site, provider, sealed, &options).await {
            Ok(account) => account,
            Err(error) => {
                found.checks.push(of_closed_credentials(error)?);
                return Ok(found);
            }
        };
        found.checks.push(Check::passed("vault", "the credentials open and have every field"));
        let token = match self.fresh_token(provider, account.as_ref(), since).await {
            Ok(token) => token,
            Err(error) => {
                found.checks.push(Check::of_token_error(&error));
                return Ok(found);
            }
        };
        found.checks.push(Check::passed("token", "the token endpoint gave a token"));
        let requests = account.examine_requests(depth);
        let depth = if self.book(subject, requests).await? {
            found.requests = u64::from(requests);
            depth
        } else {
            let says = "the request budget of its quota key is used up: nothing was asked";
            found.checks.push(Check::unknown("budget", None, says));
            Depth::Cheap
        };
        found.checks.extend(account.examine(depth, &token, action, Timestamp::now()).await);
        // What was asked of a look is asked of whoever sends next.
        for (scope, wait) in found.checks.iter().filter_map(|check| check.throttled) {
            let scope = match scope {
                QuotaScope::Account => ThrottleScope::Group,
                QuotaScope::QuotaKey => ThrottleScope::QuotaKey,
            };
            self.store().throttle_probed_group(site, provider, scope, wait).await?;
            found.http_429 += 1;
        }
        Ok(found)
    }

    /// Books so many requests, and waits until they may leave; false where that would take too long.
    async fn book(&self, subject: &Subject<'_>, requests: u32) -> Result<bool, AccessError> {
        let Some(quota_key) = subject.quota_key.filter(|_| requests > 0) else {
            return Ok(true);
        };
        let booked = self.store().reserve_probe_requests(quota_key, requests, BUDGET_WAIT).await?;
        match booked {
            Some(wait) => sleep(wait).await,
            None => return Ok(false),
        }
        Ok(true)
    }
}

/// Credentials that somebody has to store again. A vault without its key is no fault of theirs.
fn of_closed_credentials(error: AccessError) -> Result<Check, AccessError> {
    let (code, says) = match error {
        AccessError::Credentials(_) => {
            ("CREDENTIALS_INVALID", "the credentials lack something that is needed now")
        }
        AccessError::Vault(VaultError::DoesNotOpen) => (
            "CREDENTIALS_DO_NOT_OPEN",
            "the credentials do not open: they were sealed for another site or key",
        ),
        error @ (AccessError::Vault(_) | AccessError::Store(_) | AccessError::UnknownProvider(_)) => {
            return Err(error);
        }
    };
    let mend = "store them again: relay credentials put";
    Ok(Check::failed("vault", ErrorCode::own(code), HoldScope::Site, says, mend))
}
