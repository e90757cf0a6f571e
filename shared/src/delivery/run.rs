//! The runner: claims, uploads, settles, until nothing is due or its time is up. Modes differ in data alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::access::Access;
use super::claimed::Part;
use super::limits::{
    self, CLAIM_ROWS_LIMIT, LIST_GROUPS_LIMIT, SETTLE_RESERVE, SHUTDOWN_GRACE, UPLOADS_IN_FLIGHT,
};
use super::report::{RunReport, Stopped};
use super::send::Upload;
use crate::domain::{ProviderKey, RunId, SiteId};
use crate::store::{Claim, ClaimRequest, Store};

/// Why a run was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Empties the queue of one provider.
    Worker,
    /// Takes a limited share.
    Cron,
}

impl Mode {
    /// The word in events and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Worker => "worker",
            Mode::Cron => "cron",
        }
    }
}

/// What a run does: which groups, how many rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPolicy {
    /// For the answer and the logs alone.
    pub mode: Mode,
    /// The providers that it visits, in turns.
    pub providers: Vec<ProviderKey>,
    /// One site only.
    pub site: Option<SiteId>,
    /// Most conversions of the whole run.
    pub limit: Option<usize>,
    /// Most conversions of one claim.
    pub batch: usize,
}

/// When a run has to be over, on the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    ends: Instant,
    total: Duration,
}

impl Deadline {
    /// `total` from now on.
    pub fn after(total: Duration) -> Self {
        Self { ends: Instant::now() + total, total }
    }

    /// What is left.
    pub fn remaining(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    /// Whether it is time to write down what was done.
    pub fn is_near(&self) -> bool {
        self.remaining() <= SETTLE_RESERVE
    }

    /// Whether a claim could still be finished: time to send, a third of the run at most, and to write it down.
    fn allows_a_claim(&self, http_timeout: Duration) -> bool {
        self.remaining() >= SETTLE_RESERVE + http_timeout.min(self.total / 3)
    }
}

/// One run.
pub struct Runner {
    pub(super) store: Store,
    pub(super) access: Arc<Access>,
    pub(super) http_timeout: Duration,
    pub(super) deadline: Deadline,
    shutdown: CancellationToken,
}

impl Runner {
    /// A run that must be over by `deadline`, and stops early where `shutdown` says so. `http_timeout` is that of the
    /// client which the adapters send with.
    pub fn new(
        store: Store,
        access: Arc<Access>,
        http_timeout: Duration,
        deadline: Deadline,
        shutdown: CancellationToken,
    ) -> Self {
        Self { store, access, http_timeout, deadline, shutdown }
    }

    /// Runs. What happened is added to the report, also where the run itself is stopped by an error.
    ///
    /// # Errors
    /// The database's, and a vault that does not open: then nothing was claimed.
    pub async fn run(
        self,
        run: RunId,
        policy: &RunPolicy,
        report: &mut RunReport,
    ) -> anyhow::Result<Stopped> {
        self.access.check_key().await.context("the newest data key does not open")?;
        let runner = Arc::new(self);
        let mut uploads = JoinSet::new();
        let mut whose = HashMap::new();
        let mut left = policy.limit.unwrap_or(usize::MAX);
        let stopped = loop {
            let stopped = runner.reason_to_stop(left);
            let mut claimed = 0;
            if stopped.is_none() && uploads.len() < UPLOADS_IN_FLIGHT {
                let claims = runner.claim(run, policy, left, UPLOADS_IN_FLIGHT - uploads.len(), report).await;
                // Uploads that are on their way are seen through, whatever befell the claim.
                let claims = match claims {
                    Ok(claims) => claims,
                    Err(error) => {
                        drain(&mut uploads, report).await;
                        runner.log(policy, report);
                        return Err(error);
                    }
                };
                for upload in claims {
                    claimed += upload.rows();
                    let group = upload.group;
                    whose.insert(uploads.spawn(upload.start(Arc::clone(&runner))).id(), group);
                }
                left = left.saturating_sub(claimed);
            }
            match (stopped, uploads.is_empty()) {
                (Some(stopped), true) => break stopped,
                (None, true) if claimed == 0 => break Stopped::Drained,
                _ => {
                    match uploads.join_next().await {
                        Some(Ok(done)) => report.add(done),
                        // A fault of ours that struck one group; its claim's lease ends by itself.
                        Some(Err(failure)) => {
                            error!(error = %failure, "an upload panicked");
                            if let Some((site, provider)) = whose.get(&failure.id()) {
                                report.error(
                                    *site,
                                    *provider,
                                    "an upload broke off: a fault of this program",
                                );
                            }
                        }
                        None => {}
                    }
                }
            }
        };
        runner.log(policy, report);
        runner.name_held_groups(policy, report).await?;
        Ok(stopped)
    }

    /// Whether a part that has not started yet should be given back: a request that is cut off is an answer lost.
    pub(super) fn must_stop(&self) -> bool {
        self.shutdown.is_cancelled() || !self.deadline.allows_a_claim(self.http_timeout)
    }

    /// Ends when what is in flight has had its time after a shutdown.
    pub(super) async fn out_of_grace(&self) {
        self.shutdown.cancelled().await;
        sleep(SHUTDOWN_GRACE).await;
    }

    pub(super) fn lease(&self) -> Duration {
        limits::lease(self.http_timeout)
    }

    fn reason_to_stop(&self, left: usize) -> Option<Stopped> {
        if self.shutdown.is_cancelled() {
            Some(Stopped::Shutdown)
        } else if left == 0 {
            Some(Stopped::Limit)
        } else if !self.deadline.allows_a_claim(self.http_timeout) {
            Some(Stopped::Deadline)
        } else {
            None
        }
    }

    /// Claims for the policy's providers in turns until one gives something, and reads the credentials along.
    async fn claim(
        &self,
        run: RunId,
        policy: &RunPolicy,
        left: usize,
        places: usize,
        report: &mut RunReport,
    ) -> anyhow::Result<Vec<Claimed>> {
        for provider in &policy.providers {
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
            return self.with_credentials(*provider, claims, report).await;
        }
        Ok(Vec::new())
    }

    async fn with_credentials(
        &self,
        provider: ProviderKey,
        claims: Vec<Claim>,
        report: &mut RunReport,
    ) -> anyhow::Result<Vec<Claimed>> {
        let groups: Vec<_> = claims.iter().map(|claim| claim.group).collect();
        let sealed =
            self.store.read_provider_credentials(&groups).await.context("could not read credentials")?;
        let mut sealed: HashMap<_, _> = sealed.into_iter().map(|sealed| (sealed.group, sealed)).collect();
        let mut claimed = Vec::with_capacity(claims.len());
        for claim in claims {
            let group = report.groups.entry((provider, claim.site)).or_default();
            group.claimed += claim.expired;
            group.counts.failed += claim.expired;
            let sealed = sealed.remove(&claim.group);
            let part = claim.token.map(|token| Part {
                token,
                group: claim.group,
                site: claim.site,
                provider,
                is_probe: claim.is_probe,
                failure_count: claim.failure_count,
                rows: claim.rows,
                depth: 0,
            });
            claimed.push(Claimed { group: (claim.site, provider), part, sealed, expired: claim.expired });
        }
        Ok(claimed)
    }

    /// Groups that wait for a mend are visited by no claim; the answer names them until somebody mends them.
    async fn name_held_groups(&self, policy: &RunPolicy, report: &mut RunReport) -> anyhow::Result<()> {
        for provider in &policy.providers {
            let most = small(limits::ERRORS_IN_ANSWER);
            let held = self
                .store
                .read_held_groups(*provider, policy.site, most)
                .await
                .context("could not read holds")?;
            for group in held {
                let told = format!("{}: its conversions are held until this is mended", group.code);
                report.held_group(group.site, *provider, told);
            }
        }
        Ok(())
    }

    fn log(&self, policy: &RunPolicy, report: &RunReport) {
        for ((provider, site), group) in &report.groups {
            let counts = group.counts;
            info!(
                site.id = %site, provider = %provider, mode = policy.mode.as_str(), claimed = group.claimed,
                success = counts.completed, failure = counts.failed, retry = counts.retry, held = counts.held,
                submitted = counts.submitted, released = counts.released, event = "group_complete",
                "offline_conversions: {} claimed of {site} for {provider}, {} delivered", group.claimed, counts.completed
            );
        }
    }
}

/// A claim with what opens its account.
struct Claimed {
    group: (SiteId, ProviderKey),
    part: Option<Part>,
    sealed: Option<crate::store::SealedCredentials>,
    expired: u64,
}

impl Claimed {
    /// Conversions that count against the run's limit.
    fn rows(&self) -> usize {
        self.part.as_ref().map_or(0, |part| part.rows.len())
            + usize::try_from(self.expired).unwrap_or(usize::MAX)
    }

    async fn start(self, runner: Arc<Runner>) -> RunReport {
        match self.part {
            Some(part) => Upload::run(runner, part, self.sealed).await,
            None => RunReport::default(),
        }
    }
}

async fn drain(uploads: &mut JoinSet<RunReport>, report: &mut RunReport) {
    while let Some(done) = uploads.join_next().await {
        if let Ok(done) = done {
            report.add(done);
        }
    }
}

fn small(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
