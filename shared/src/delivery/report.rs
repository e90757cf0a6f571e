//! What a run did: counted per group, added up in the answer.

use std::collections::BTreeMap;

use serde::Serialize;

use super::limits::ERRORS_IN_ANSWER;
use crate::domain::{ErrorCode, ProviderKey, SiteId};
use crate::store::SettleCounts;

/// What a run did for one group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupReport {
    /// Conversions that came out of claims, those included that had expired.
    pub claimed: u64,
    /// What became of them.
    pub counts: SettleCounts,
}

/// Why a run stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// Nothing was left that could go now.
    Drained,
    /// Its limit was reached.
    Limit,
    /// Its time was up.
    Deadline,
    /// It was told to.
    Shutdown,
}

/// A fault of one group, without personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunError {
    /// Whose.
    pub site_id: SiteId,
    /// At which provider.
    pub provider_key: ProviderKey,
    /// What happened, as a code or a fragment of ours.
    pub error: String,
}

/// What a run did.
#[derive(Debug, Clone, Default)]
pub struct RunReport {
    /// Per group.
    pub groups: BTreeMap<(ProviderKey, SiteId), GroupReport>,
    /// Requests to providers.
    pub requests: u64,
    /// Answers that asked to wait.
    pub http_429: u64,
    /// Answers that came after their claim was lost.
    pub stale: u64,
    /// Codes whose meaning nobody has said, and how many answers carried each.
    pub unknown_codes: BTreeMap<(ProviderKey, ErrorCode), u64>,
    /// The first faults.
    pub errors: Vec<RunError>,
    /// All of them.
    pub errors_total: u64,
}

impl RunReport {
    /// Counts a fault; the answer keeps the first of each kind per group.
    pub fn error(&mut self, site_id: SiteId, provider_key: ProviderKey, error: impl Into<String>) {
        let error = RunError { site_id, provider_key, error: error.into() };
        self.errors_total += 1;
        if self.errors.len() < ERRORS_IN_ANSWER && !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// Names a group that is held, unless this run has told a fault of it already.
    pub fn held_group(&mut self, site_id: SiteId, provider_key: ProviderKey, told: String) {
        if !self.errors.iter().any(|error| (error.site_id, error.provider_key) == (site_id, provider_key)) {
            self.error(site_id, provider_key, told);
        }
    }

    /// Adds what another part of the run did.
    pub fn add(&mut self, other: RunReport) {
        for (group, report) in other.groups {
            let sum = self.groups.entry(group).or_default();
            sum.claimed += report.claimed;
            sum.counts = add(sum.counts, report.counts);
        }
        self.requests += other.requests;
        self.http_429 += other.http_429;
        self.stale += other.stale;
        for (code, times) in other.unknown_codes {
            *self.unknown_codes.entry(code).or_default() += times;
        }
        let kept = other.errors.len() as u64;
        for error in other.errors {
            self.error(error.site_id, error.provider_key, error.error);
        }
        self.errors_total += other.errors_total - kept;
    }

    /// Conversions by what became of them, over all groups.
    pub fn counts(&self) -> SettleCounts {
        self.groups.values().fold(SettleCounts::default(), |sum, group| add(sum, group.counts))
    }

    /// Conversions that were worked on: all but those given back unstarted.
    pub fn processed(&self) -> u64 {
        let counts = self.counts();
        counts.completed + counts.failed + counts.retry + counts.held + counts.submitted
    }
}

fn add(a: SettleCounts, b: SettleCounts) -> SettleCounts {
    SettleCounts {
        completed: a.completed + b.completed,
        failed: a.failed + b.failed,
        retry: a.retry + b.retry,
        held: a.held + b.held,
        submitted: a.submitted + b.submitted,
        released: a.released + b.released,
    }
}
