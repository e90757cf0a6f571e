//! Uploads in flight: what a run claims, starts, and waits for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;
use tracing::error;

use super::claimed::Part;
use super::limits::{
    CLAIM_AGAIN_AFTER, CLAIM_AGAIN_AT, CLAIM_ROWS_LIMIT, LIST_GROUPS_LIMIT, UPLOADS_IN_FLIGHT,
};
use super::report::RunReport;
use super::run::{RunPolicy, Runner};
use super::send::Upload;
use crate::domain::{ProviderKey, RunId, SiteId};
use crate::providers::trace::carry;
use crate::store::{Claim, ClaimRequest, ClaimedAccount};

/// The uploads of a run that are on their way.
#[derive(Default)]
pub(super) struct Flight {
    uploads: JoinSet<RunReport>,
    whose: HashMap<Id, (SiteId, ProviderKey)>,
}

impl Flight {
    /// How many more may start.
    pub(super) fn places(&self) -> usize {
        UPLOADS_IN_FLIGHT.saturating_sub(self.uploads.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.uploads.is_empty()
    }

    /// Starts what was claimed, and says how many conversions that is.
    pub(super) fn start(&mut self, runner: &Arc<Runner>, claims: Vec<Claimed>) -> usize {
        let mut rows = 0;
        for claim in claims {
            rows += claim.rows();
            let group = claim.group;
            let upload = carry(claim.start(Arc::clone(runner)));
            self.whose.insert(self.uploads.spawn(upload).id(), group);
        }
        rows
    }

    /// Waits for one to end, for so long at most, and a moment for others, so that the next claim is for several places.
    pub(super) async fn land(&mut self, report: &mut RunReport, patience: Option<Duration>) {
        match patience {
            Some(patience) if timeout(patience, self.land_one(report)).await.is_err() => return,
            Some(_) => {}
            None => self.land_one(report).await,
        }
        let gather = async {
            while self.uploads.len() > CLAIM_AGAIN_AT {
                self.land_one(report).await;
            }
        };
        timeout(CLAIM_AGAIN_AFTER, gather).await.ok();
    }

    /// Waits for all of them.
    pub(super) async fn land_all(&mut self, report: &mut RunReport) {
        while !self.uploads.is_empty() {
            self.land_one(report).await;
        }
    }

    async fn land_one(&mut self, report: &mut RunReport) {
        match self.uploads.join_next_with_id().await {
            Some(Ok((upload, done))) => {
                self.whose.remove(&upload);
                report.add(done);
            }
            Some(Err(failure)) => self.tell(&failure, report),
            None => {}
        }
    }

    /// A fault of ours that struck one group; its claim's lease ends by itself.
    fn tell(&mut self, failure: &JoinError, report: &mut RunReport) {
        error!(error = %failure, "an upload panicked");
        if let Some((site, provider)) = self.whose.remove(&failure.id()) {
            report.error(site, provider, "an upload broke off: a fault of this program");
        }
    }
}

impl Runner {
    /// Claims for the policy's providers in turns until one gives something, and reads the credentials along.
    pub(super) async fn claim(
        &self,
        run: RunId,
        policy: &RunPolicy,
        left: usize,
        places: usize,
        report: &mut RunReport,
    ) -> anyhow::Result<Vec<Claimed>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = policy.providers.len().max(1);
        for provider in policy.providers.iter().cycle().skip(turn % count).take(policy.providers.len()) {
            let batch =
                self.access.registry().get(*provider).map_or(0, |adapter| adapter.capabilities().max_batch);
            let batch = batch.min(policy.batch).min(left);
            if batch == 0 {
                continue;
            }
            let ask = ClaimRequest {
                run,
                provider: *provider,
                site: policy.site,
                groups: small(places.min(LIST_GROUPS_LIMIT)),
                rows: small(left.min(CLAIM_ROWS_LIMIT)),
                batch: small(batch),
                lease: self.lease(),
            };
            let claims =
                self.store.claim_offline_conversion_jobs_v2(&ask).await.context("could not claim")?;
            if claims.is_empty() {
                continue;
            }
            return self.with_accounts(*provider, claims, report).await;
        }
        Ok(Vec::new())
    }

    async fn with_accounts(
        &self,
        provider: ProviderKey,
        mut claims: Vec<Claim>,
        report: &mut RunReport,
    ) -> anyhow::Result<Vec<Claimed>> {
        let mut accounts =
            self.store.read_claimed_accounts(&mut claims).await.context("could not read credentials")?;
        let mut claimed = Vec::with_capacity(claims.len());
        for claim in claims {
            let group = report.groups.entry((provider, claim.site)).or_default();
            group.claimed += claim.expired;
            group.counts.failed += claim.expired;
            let account = claim.token.and_then(|token| accounts.remove(&token));
            let part = claim.token.map(|token| Part {
                token,
                group: claim.group,
                site: claim.site,
                provider,
                is_probe: claim.is_probe,
                failure_count: claim.failure_count,
                rows: claim.rows,
                held_actions: Arc::default(),
                depth: 0,
            });
            claimed.push(Claimed { group: (claim.site, provider), part, account, expired: claim.expired });
        }
        Ok(claimed)
    }
}

/// A batch with what opens its account.
pub(super) struct Claimed {
    pub(super) group: (SiteId, ProviderKey),
    part: Option<Part>,
    account: Option<ClaimedAccount>,
    expired: u64,
}

impl Claimed {
    /// Conversions that count against the run's limit.
    fn rows(&self) -> usize {
        self.part.as_ref().map_or(0, |part| part.rows.len())
            + usize::try_from(self.expired).unwrap_or(usize::MAX)
    }

    async fn start(self, runner: Arc<Runner>) -> RunReport {
        match (self.part, self.account) {
            (Some(part), Some(account)) => Upload::run(runner, part, account).await,
            // Somebody returned the claim already: its lease was too short for us.
            (Some(_), None) | (None, _) => RunReport::default(),
        }
    }
}

fn small(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
