//! What an operator does by hand and at once: ends what waits, takes a site off.

use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Bounds, Context};
use crate::domain::{ProviderKey, SiteId};
use crate::store::{Cancel, Cancelled, RemovedSite, SealedCredentials, Store};

/// Rows of each place that one call ends: some tenths of a second.
pub(super) const ROWS_PER_CALL: i32 = 10_000;

/// The wait for what a claim has just locked: it is in the claim's hands or free again within this.
const LOCKED_WAIT: Duration = Duration::from_millis(50);

/// How often in a row that is waited for.
const LOCKED_TRIES: u32 = 40;

/// Ends what waits, until nothing does or the deadline is near; `finished` says which. What is in flight or submitted is
/// counted as not cancelled.
///
/// # Errors
/// The database's; what was ended stays so.
pub async fn cancel(context: &Context, cancel: &Cancel, bounds: &Bounds) -> anyhow::Result<Cancelled> {
    let (mut cancelled, mut in_doubt, mut tries) = (0, 0, 0);
    loop {
        let step = context.store.cancel_conversions(cancel, ROWS_PER_CALL).await?;
        cancelled += step.cancelled;
        in_doubt += step.in_doubt;
        tries = if step.cancelled > 0 { 0 } else { tries + 1 };
        if step.finished || bounds.are_near() || tries >= LOCKED_TRIES {
            // What an earlier step cancelled is at its end by now, and is counted once.
            let ended = step.ended.saturating_sub(cancelled - step.cancelled);
            info!(cancelled, in_doubt, event = "cancelled", "an operator cancelled {cancelled} conversions");
            return Ok(Cancelled { cancelled, in_doubt, ended, ..step });
        }
        if step.cancelled == 0 {
            sleep(LOCKED_WAIT).await;
        }
    }
}

/// What off-boarding a site did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// What was taken away.
    #[serde(flatten)]
    pub site: RemovedSite,
    /// Shared access tokens that were forgotten.
    pub access_tokens: u64,
    /// Conversions that waited, and were cancelled.
    pub cancelled: u64,
    /// Those of them that an earlier request may have delivered.
    pub in_doubt: u64,
    /// Nothing waits any more; what comes back from a claim later is cancelled by the task `expire`.
    pub finished: bool,
}

/// Takes a site off: credentials, access tokens and the keys of its door go, nothing is taken in for it any more, and what
/// waits is cancelled. History stays until its retention. `None` where nobody knows the site.
///
/// # Errors
/// The database's; the same call can be made again.
pub async fn remove_site(
    context: &Context,
    site: SiteId,
    bounds: &Bounds,
) -> anyhow::Result<Option<Removed>> {
    let store = &context.store;
    // Read before they are gone; forgotten after, when no runner can fetch another.
    let sealed = read_credentials(store, site).await?;
    let Some(removed) = store.remove_site(site).await? else {
        return Ok(None);
    };
    let mut access_tokens = 0;
    for (provider, sealed) in &sealed {
        match context.access.forget_token(site, *provider, sealed).await {
            Ok(there_was) => access_tokens += u64::from(there_was),
            // Credentials that do not open had no token fetched with them lately; and one lives for an hour.
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                warn!(site.id = %site, provider = %provider, error, "an access token could not be forgotten; it expires within the hour");
            }
        }
    }
    let (mut cancelled, mut in_doubt, mut tries) = (0, 0, 0);
    let finished = loop {
        let step = store.sweep_removed_sites(Some(site), ROWS_PER_CALL).await?;
        cancelled += step.cancelled;
        in_doubt += step.in_doubt;
        tries = if step.cancelled > 0 { 0 } else { tries + 1 };
        if step.finished || bounds.are_near() || tries >= LOCKED_TRIES {
            break step.finished;
        }
        if step.cancelled == 0 {
            sleep(LOCKED_WAIT).await;
        }
    };
    info!(site.id = %site, cancelled, event = "site_removed", "a site was off-boarded");
    Ok(Some(Removed { site: removed, access_tokens, cancelled, in_doubt, finished }))
}

async fn read_credentials(
    store: &Store,
    site: SiteId,
) -> anyhow::Result<Vec<(ProviderKey, SealedCredentials)>> {
    let mut found = Vec::new();
    for standing in store.read_site_standing(site).await? {
        let provider = standing.provider_key.as_deref().and_then(|key| key.parse::<ProviderKey>().ok());
        let (Some(provider), Some(group)) = (provider, standing.group) else { continue };
        let sealed = store.read_provider_credentials(&[group]).await?;
        found.extend(sealed.into_iter().map(|sealed| (provider, sealed)));
    }
    Ok(found)
}
