//! Uploads: what the `runner` function and `relay run` do.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::delivery::limits::{BATCH_SIZE_WORKER, DEFAULT_LIMIT_CRON, MAX_LIMIT_CRON};
use crate::delivery::{Deadline, Mode, RunError, RunPolicy, RunReport, Runner, Stopped};
use crate::domain::{ProviderKey, RunId, SiteId};
use crate::engine::{BadRequest, Context, Fields};
use crate::store::{RunEnd, RunStatus};

const FIELDS: [&str; 5] = ["mode", "provider_key", "site_id", "limit", "scheduled_time"];

/// What a run is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it may take.
    pub policy: RunPolicy,
    /// The time of the schedule that asked.
    pub scheduled_time: Option<Timestamp>,
}

impl Request {
    /// Reads `{"mode":"worker","provider_key",…}` or `{"mode":"cron","limit",…}`.
    ///
    /// # Errors
    /// Names the field that is wrong and what would be right.
    pub fn parse(mut fields: Fields) -> Result<Self, BadRequest> {
        let mode = match fields.text("mode")?.as_deref() {
            Some("worker") => Mode::Worker,
            Some("cron") => Mode::Cron,
            Some(_) => return Err(BadRequest("mode must be worker or cron".to_owned())),
            None => return Err(BadRequest("mode is missing: worker or cron".to_owned())),
        };
        let provider = fields.parsed::<ProviderKey>("provider_key")?;
        let site = fields.parsed::<SiteId>("site_id")?;
        let limit = fields.number("limit", 1, mode.limit_max())?;
        let scheduled_time = fields.time("scheduled_time")?;
        fields.finish(&FIELDS)?;
        Ok(Self { policy: mode.policy(provider, site, limit)?, scheduled_time })
    }

    /// The task's key: one history per provider where there is one.
    fn task_key(&self) -> String {
        match self.policy.providers.as_slice() {
            [provider] => format!("upload:{provider}"),
            _ => "upload".to_owned(),
        }
    }
}

impl Mode {
    fn limit_max(self) -> u32 {
        match self {
            Mode::Worker => u32::MAX,
            Mode::Cron => MAX_LIMIT_CRON,
        }
    }

    /// What differs between the modes, as data.
    fn policy(
        self,
        provider: Option<ProviderKey>,
        site: Option<SiteId>,
        limit: Option<u32>,
    ) -> Result<RunPolicy, BadRequest> {
        let (providers, limit, batch) = match (self, provider) {
            (Mode::Worker, None) => return Err(BadRequest("mode worker requires provider_key".to_owned())),
            (Mode::Worker, Some(provider)) => (vec![provider], limit, BATCH_SIZE_WORKER),
            (Mode::Cron, provider) => {
                let limit = limit.unwrap_or(DEFAULT_LIMIT_CRON);
                let providers = provider.map_or_else(|| ProviderKey::ALL.to_vec(), |provider| vec![provider]);
                (providers, Some(limit), limit as usize)
            }
        };
        Ok(RunPolicy { mode: self, providers, site, limit: limit.map(|limit| limit as usize), batch })
    }
}

/// What a run did. `processed = completed + failed + retry + held + submitted`; rows given back unstarted count in
/// `released` alone.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// True also where groups had faults: they are in `errors`.
    pub ok: bool,
    /// The mode asked for.
    pub mode: Mode,
    /// The run's id, as in the ledger and the logs.
    pub run_id: RunId,
    /// Conversions that were worked on.
    pub processed: u64,
    /// Ended well.
    pub completed: u64,
    /// Ended badly.
    pub failed: u64,
    /// Go again.
    pub retry: u64,
    /// Wait for a mend.
    pub held: u64,
    /// Taken by a provider that answers later.
    pub submitted: u64,
    /// Given back unstarted.
    pub released: u64,
    /// Groups that had conversions.
    pub groups: usize,
    /// The first faults, at most 20.
    pub errors: Vec<RunError>,
    /// All of them.
    pub errors_total: u64,
    /// Why the run stopped.
    pub stopped: Stopped,
}

/// Runs uploads until nothing is due, the limit is reached, or `deadline` or `shutdown` says stop.
///
/// # Errors
/// What stopped the run itself: the database, or a vault that does not open. Never an answer of zeros.
pub async fn run(
    context: &Context,
    request: &Request,
    deadline: Deadline,
    shutdown: CancellationToken,
) -> anyhow::Result<Answer> {
    let run = context.store.start_task_run(&request.task_key(), request.scheduled_time).await?;
    let runner = Runner::new(
        context.store.clone(),
        std::sync::Arc::clone(&context.access),
        context.http_timeout,
        deadline,
        shutdown,
    );
    let mut report = RunReport::default();
    match runner.run(run, &request.policy, &mut report).await {
        Ok(stopped) => {
            let answer = answer(request, run, &report, stopped);
            let end = end(RunStatus::Done, &report, &answer, format!("stopped: {}", word(stopped)));
            context.store.finish_task_run(run, &end).await?;
            log(&answer, &report);
            Ok(answer)
        }
        Err(failure) => {
            report.errors_total += 1;
            let notes = format!("{failure:#}");
            let answer = answer(request, run, &report, Stopped::Drained);
            let end = end(RunStatus::Error, &report, &answer, notes);
            // The history is told where it can be; the failure itself goes to the caller.
            if let Err(unwritten) = context.store.finish_task_run(run, &end).await {
                error!(run.id = %run, error = format!("{unwritten:#}"), "the run's end could not be written down");
            }
            Err(failure)
        }
    }
}

fn answer(request: &Request, run_id: RunId, report: &RunReport, stopped: Stopped) -> Answer {
    let counts = report.counts();
    Answer {
        ok: true,
        mode: request.policy.mode,
        run_id,
        processed: report.processed(),
        completed: counts.completed,
        failed: counts.failed,
        retry: counts.retry,
        held: counts.held,
        submitted: counts.submitted,
        released: counts.released,
        groups: report.groups.len(),
        errors: report.errors.clone(),
        errors_total: report.errors_total,
        stopped,
    }
}

fn end(status: RunStatus, report: &RunReport, answer: &Answer, notes: String) -> RunEnd {
    RunEnd {
        status,
        requests: report.requests,
        http_429: report.http_429,
        errors: report.errors_total,
        notes,
        counters: json!({
            "processed": answer.processed, "completed": answer.completed, "failed": answer.failed,
            "retry": answer.retry, "held": answer.held, "submitted": answer.submitted,
            "released": answer.released, "groups": answer.groups, "stale": report.stale,
            "unknown_codes": report.unknown_codes.values().sum::<u64>(),
        }),
    }
}

fn word(stopped: Stopped) -> &'static str {
    match stopped {
        Stopped::Drained => "drained",
        Stopped::Limit => "limit",
        Stopped::Deadline => "deadline",
        Stopped::Shutdown => "shutdown",
    }
}

fn log(answer: &Answer, report: &RunReport) {
    info!(
        run.id = %answer.run_id, mode = answer.mode.as_str(), processed = answer.processed,
        success = answer.completed, failure = answer.failed, retry = answer.retry, held = answer.held,
        submitted = answer.submitted, released = answer.released, groups = answer.groups,
        requests = report.requests, http_429 = report.http_429, stale = report.stale,
        errors = answer.errors_total, stopped = word(answer.stopped), event = "run_complete",
        "offline_conversions: run complete, {} processed", answer.processed
    );
}
