//! The runner: claims, uploads, settles, until nothing is due or its time is up. Modes differ in data alone.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::access::Access;
use super::codes::Codes;
use super::flight::Flight;
use super::limits::{self, SETTLE_RESERVE, SHUTDOWN_GRACE};
use super::report::{RunReport, Stopped};
use crate::domain::{ProviderKey, RunId, SiteId};
use crate::store::Store;

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

    /// What is left before a claim could no longer be finished.
    fn spare(&self, http_timeout: Duration) -> Duration {
        self.remaining().saturating_sub(SETTLE_RESERVE + http_timeout.min(self.total / 3))
    }

    /// Whether a claim could still be finished: time to send, a third of the run at most, and to write it down.
    fn allows_a_claim(&self, http_timeout: Duration) -> bool {
        self.remaining() >= SETTLE_RESERVE + http_timeout.min(self.total / 3)
    }
}

/// How long a run has found nothing to claim.
#[derive(Debug, Default)]
struct Idle {
    since: Option<Instant>,
    looks: u32,
}

impl Idle {
    /// What the last claim gave.
    fn heed(&mut self, rows: usize) {
        *self = match rows {
            0 => Self { since: Some(self.since.unwrap_or_else(Instant::now)), looks: self.looks },
            _ => Self::default(),
        };
    }

    fn lasts(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// How long to wait for uploads before the next claim; `None`: until one ends. While places are left over, what
    /// comes in need not wait for the slowest.
    fn patience(&self, stopped: Option<Stopped>) -> Option<Duration> {
        self.since.filter(|_| stopped.is_none()).map(|_| limits::CLAIM_AGAIN_IDLE)
    }
}

/// One run.
pub struct Runner {
    pub(super) store: Store,
    pub(super) access: Arc<Access>,
    pub(super) http_timeout: Duration,
    pub(super) deadline: Deadline,
    pub(super) shutdown: CancellationToken,
    /// Whose turn it is among the policy's providers, so that none starves the others.
    pub(super) turn: AtomicUsize,
    /// What codes mean in this run, and those that nobody knows.
    pub(super) codes: Codes,
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
        Self {
            store,
            access,
            http_timeout,
            deadline,
            shutdown,
            turn: AtomicUsize::new(0),
            codes: Codes::default(),
        }
    }

    /// Runs. What happened is added to the report, also where the run itself is stopped by an error.
    ///
    /// # Errors
    /// The database's, and a vault that does not open: then nothing was claimed.
    pub async fn run(
        mut self,
        run: RunId,
        policy: &RunPolicy,
        report: &mut RunReport,
    ) -> anyhow::Result<Stopped> {
        let refused = self.access.check_keys(&policy.providers).await;
        // Its sites are held, and named at the end of the run; others may go by an older key.
        if let Some(refused) = refused.context("the newest data key does not open")? {
            error!(error = %refused, event = "key_refused", "uploads are held until their data key opens");
        }
        self.codes =
            Codes::read(&self.store, &policy.providers).await.context("could not read the taxonomy")?;
        let runner = Arc::new(self);
        let mut flight = Flight::default();
        let mut left = policy.limit.unwrap_or(usize::MAX);
        let mut idle = Idle::default();
        let stopped = loop {
            let stopped = runner.reason_to_stop(left);
            if stopped.is_none() && flight.places() > 0 {
                match runner.claim(run, policy, left, flight.places(), report).await {
                    Ok(claims) => {
                        let rows = flight.start(&runner, claims);
                        left = left.saturating_sub(rows);
                        idle.heed(rows);
                    }
                    // Uploads that are on their way are seen through, whatever befell the claim.
                    Err(error) => {
                        flight.land_all(report).await;
                        runner.log(policy, report);
                        runner.codes.record(&runner.store, report).await;
                        return Err(error);
                    }
                }
            }
            if !flight.is_empty() {
                flight.land(report, idle.patience(stopped)).await;
                continue;
            }
            match stopped {
                Some(stopped) => break stopped,
                None => match runner.look_again(policy, report, &mut idle).await {
                    Ok(true) => {}
                    Ok(false) => break Stopped::Drained,
                    Err(error) => {
                        runner.log(policy, report);
                        runner.codes.record(&runner.store, report).await;
                        return Err(error);
                    }
                },
            }
        };
        runner.log(policy, report);
        runner.codes.record(&runner.store, report).await;
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

    /// Waits until a booked request may leave; false where the run must stop first.
    pub(super) async fn wait_for_turn(&self, wait: Duration) -> bool {
        if wait.is_zero() {
            return true;
        }
        tokio::select! {
            () = sleep(wait) => !self.must_stop(),
            () = self.shutdown.cancelled() => false,
        }
    }

    /// How long a claimed batch may wait for its request budget.
    pub(super) fn budget_wait(&self) -> Duration {
        Duration::from_secs(limits::BUDGET_WAIT.min(self.deadline.spare(self.http_timeout)).as_secs())
    }

    /// Whether to claim again although nothing was found: somebody else may have held it for a moment, or its request
    /// budget has room again soon.
    async fn look_again(
        &self,
        policy: &RunPolicy,
        report: &RunReport,
        idle: &mut Idle,
    ) -> anyhow::Result<bool> {
        idle.looks += 1;
        if idle.looks == 1 && !report.groups.is_empty() {
            self.wait_for_turn(limits::LOOK_AGAIN_AFTER).await;
            return Ok(true);
        }
        let mut soonest = None;
        for provider in &policy.providers {
            let wait = self
                .store
                .read_budget_wait(*provider, policy.site)
                .await
                .context("could not read request budgets")?;
            soonest = soonest.into_iter().chain(wait).min();
        }
        match soonest {
            // Whether it must stop meanwhile is seen before the next claim. Where another has the slots, less and less often.
            Some(wait) if idle.lasts() + wait <= self.budget_wait() => {
                self.wait_for_turn(wait.max(limits::LOOK_AGAIN_AFTER * idle.looks.min(20))).await;
                Ok(true)
            }
            Some(_) | None => Ok(false),
        }
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

    /// Groups that wait for a mend are visited by no claim; the answer names them until somebody mends them.
    async fn name_held_groups(&self, policy: &RunPolicy, report: &mut RunReport) -> anyhow::Result<()> {
        for provider in &policy.providers {
            let most = i32::try_from(limits::ERRORS_IN_ANSWER).unwrap_or(i32::MAX);
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
