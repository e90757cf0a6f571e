//! The end of the demo: what became of each conversion, what the platform itself counted, and whether it all adds up.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::domain::ConversionId;
use shared::providers::http::{build_client, exchange};
use shared::store::{ConversionCount, Store};

use super::sites::{Site, Transport};
use super::stage::Stage;

/// The stand-in is on this machine.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(10);

/// Conversions that are asked for their timeline until one tells the story of the killed runner.
const TIMELINES: usize = 50;

/// Conversions by where they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Ended well: delivered, duplicate, unmatched, superseded.
    pub completed: u64,
    /// Of these, delivered.
    pub delivered: u64,
    /// Taken by a platform that says later what became of them.
    pub submitted: u64,
    /// Ended badly.
    pub failed: u64,
    /// Wait, each with its reason.
    pub waiting: u64,
    /// In a claim.
    pub processing: u64,
}

impl Sums {
    pub(super) fn of(counts: &[ConversionCount]) -> Self {
        let mut sums = Self::default();
        for count in counts {
            let conversions = number(count);
            match count.status.as_str() {
                "COMPLETED" => sums.completed += conversions,
                "SUBMITTED" => sums.submitted += conversions,
                "FAILED" => sums.failed += conversions,
                "PROCESSING" => sums.processing += conversions,
                _ => sums.waiting += conversions,
            }
            if count.outcome.as_deref() == Some("delivered") {
                sums.delivered += conversions;
            }
        }
        sums
    }

    /// All of them.
    pub fn total(self) -> u64 {
        self.completed + self.submitted + self.failed + self.waiting + self.processing
    }
}

pub(super) fn number(count: &ConversionCount) -> u64 {
    u64::try_from(count.conversions).unwrap_or(0)
}

/// What the stand-in's own ledger says, independent of ours.
#[derive(Debug, Clone, Serialize)]
pub struct Witness {
    /// Requests that it had, those for tokens included.
    pub requests: u64,
    /// Conversions that arrived, each time that they did.
    pub received: u64,
    /// Conversions that it counted.
    pub counted: u64,
    /// Conversions that it counted more than once.
    pub counted_twice: u64,
    /// Corrections of conversions that it had counted, at the accounts whose transport has calls for them.
    pub adjusted: u64,
}

#[derive(Deserialize)]
struct Ledger {
    entries: Vec<Entry>,
    totals: LedgerTotals,
}

#[derive(Deserialize)]
struct Entry {
    account: String,
    counted: u64,
    adjustments: u64,
}

#[derive(Deserialize)]
struct LedgerTotals {
    requests: u64,
    conversions_received: u64,
}

/// Asks the stand-in over HTTP, as anybody can.
pub(super) async fn hear_the_witness(stage: &Stage) -> anyhow::Result<Witness> {
    let url = format!("{}/sandbox/ledger", stage.sandbox.base_url());
    let answer = exchange(build_client(LEDGER_TIMEOUT)?.get(url)).await;
    let answer = answer.map_err(|fault| anyhow::anyhow!("the stand-in's ledger: {}", fault.code()))?;
    ensure!(answer.status == 200, "the stand-in's ledger answered {}", answer.status);
    let ledger: Ledger = serde_json::from_slice(&answer.body).context("read the stand-in's ledger")?;
    // At the Data Manager API a repetition is a correction, too: only the other transport tells them apart.
    let by_call = |entry: &&Entry| {
        let site = Site::ALL.into_iter().find(|site| site.customer() == entry.account);
        site.and_then(Site::transport) == Some(Transport::AdsApi)
    };
    Ok(Witness {
        requests: ledger.totals.requests,
        received: ledger.totals.conversions_received,
        counted: ledger.entries.iter().map(|entry| entry.counted).sum(),
        counted_twice: ledger.entries.iter().filter(|entry| entry.counted > 1).count() as u64,
        adjusted: ledger.entries.iter().filter(by_call).map(|entry| entry.adjustments).sum(),
    })
}

/// The timeline of a conversion whose request was in flight when its runner was killed, and which was recognised as
/// delivered when it was sent again.
pub(super) async fn find_timeline(store: &Store, ids: &[ConversionId]) -> anyhow::Result<Option<Value>> {
    for id in ids.iter().take(TIMELINES) {
        let Some(document) = store.explain_conversion(*id).await? else { continue };
        let has = |event: &str| events(&document).any(|one| one["event"] == event);
        if has("LEASE_LOST") && has("DELIVERED") {
            return Ok(Some(document));
        }
    }
    Ok(None)
}

/// The entries of a timeline.
pub(super) fn events(document: &Value) -> impl Iterator<Item = &Value> {
    document["timeline"].as_array().into_iter().flatten()
}
