//! Uploads: what the `runner` function and `relay run` do.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, json};

use crate::delivery::limits::{BATCH_SIZE_WORKER, DEFAULT_LIMIT_CRON, ERRORS_IN_ANSWER, MAX_LIMIT_CRON};
use crate::delivery::{Mode, RunError, RunPolicy, RunReport, Runner, Stopped};
use crate::domain::{ProviderKey, RunId, SiteId};
use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Running, Schedule, Scope,
};
use crate::engine::{Tally, Task, TaskKey, Trigger, Turns, Work};

/// How often uploads run at least: in cron mode. Worker mode runs ten times as often.
const SCHEDULE: Duration = Duration::from_secs(10 * 60);

const FIELDS: [&str; 6] = ["mode", "provider_key", "site_id", "limit", "scheduled_time", "lockId"];

/// What a run is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it may take.
    pub policy: RunPolicy,
    /// What set it off.
    pub trigger: Trigger,
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
        let trigger = Trigger::take(&mut fields)?;
        fields.finish(&FIELDS)?;
        Ok(Self { policy: mode.policy(provider, site, limit)?, trigger })
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

/// Uploads to a provider as the registry holds them: worker runs.
pub fn task(provider: ProviderKey) -> Task {
    let mut says = Map::new();
    says.insert("mode".to_owned(), json!("worker"));
    says.insert("provider_key".to_owned(), json!(provider));
    Task::new(descriptor(provider), says, |context, fields, bounds| {
        Box::pin(async move { run(context, &Request::parse(fields)?, bounds).await?.to_json() })
    })
}

fn descriptor(provider: ProviderKey) -> Descriptor {
    Descriptor {
        key: TaskKey::of_provider("upload", provider),
        turns: Turns::Concurrent,
        schedule: Schedule::Every(SCHEDULE),
        lease: Duration::from_secs(60),
        provider: Some(provider),
        scope: Scope::BySite,
    }
}

/// Runs uploads until nothing is due, the limit is reached, or the bounds say stop: a run for each provider, one after
/// the other, and another first each time. The answer is of all of them, and skipped where each was.
///
/// # Errors
/// What stopped a run itself: the database, or a vault that does not open. Never an answer of zeros.
pub async fn run(context: &Context, request: &Request, bounds: Bounds) -> anyhow::Result<Reply<Answer>> {
    let mut providers = request.policy.providers.clone();
    let count = providers.len().max(1);
    providers.rotate_left(rand::random_range(0..count));
    let mut whole: Option<Reply<Answer>> = None;
    let mut failure = None;
    for provider in providers {
        let done = whole.as_ref().map_or(0, |reply| match reply {
            Reply::Answer(answer) => usize::try_from(answer.processed).unwrap_or(usize::MAX),
            Reply::Skipped { .. } => 0,
        });
        let limit = request.policy.limit.map(|limit| limit.saturating_sub(done));
        let policy = RunPolicy { providers: vec![provider], limit, ..request.policy.clone() };
        match run_provider(context, &policy, provider, request.trigger, bounds.clone()).await {
            Ok(reply) => {
                whole = Some(match whole {
                    Some(sum) => add(sum, reply),
                    None => reply,
                });
            }
            Err(error) => failure = Some(error),
        }
    }
    match (failure, whole) {
        (Some(failure), _) => Err(failure),
        (None, Some(reply)) => Ok(reply),
        (None, None) => anyhow::bail!("no provider was asked for"),
    }
}

async fn run_provider(
    context: &Context,
    policy: &RunPolicy,
    provider: ProviderKey,
    trigger: Trigger,
    bounds: Bounds,
) -> anyhow::Result<Reply<Answer>> {
    let narrowed = json!({ "mode": policy.mode, "site_id": policy.site, "limit": policy.limit });
    let mut work = Uploading { policy, report: RunReport::default(), stopped: None };
    let task = descriptor(provider);
    Ok(match engine::run(context, &task, trigger, &narrowed, bounds, &mut work).await? {
        Ran::Run(run) => Reply::Answer(work.answer(run)),
        Ran::Skipped(reason) => Reply::skipped(reason),
    })
}

/// Two providers' runs as one.
fn add(sum: Reply<Answer>, more: Reply<Answer>) -> Reply<Answer> {
    match (sum, more) {
        (Reply::Answer(mut sum), Reply::Answer(more)) => {
            sum.processed += more.processed;
            sum.completed += more.completed;
            sum.failed += more.failed;
            sum.retry += more.retry;
            sum.held += more.held;
            sum.submitted += more.submitted;
            sum.released += more.released;
            sum.groups += more.groups;
            sum.errors.extend(more.errors);
            sum.errors.truncate(ERRORS_IN_ANSWER);
            sum.errors_total += more.errors_total;
            if sum.stopped == Stopped::Drained {
                sum.stopped = more.stopped;
            }
            Reply::Answer(sum)
        }
        (sum @ Reply::Answer(_), Reply::Skipped { .. }) => sum,
        (Reply::Skipped { .. }, more) => more,
    }
}

struct Uploading<'a> {
    policy: &'a RunPolicy,
    report: RunReport,
    stopped: Option<Stopped>,
}

impl Work for Uploading<'_> {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        let context = &running.context;
        let runner = Runner::new(
            context.store.clone(),
            Arc::clone(&context.access),
            context.http_timeout,
            running.deadline,
            running.shutdown.clone(),
        );
        // A second try takes what the first has left of the limit.
        let done = usize::try_from(self.report.processed()).unwrap_or(usize::MAX);
        let limit = self.policy.limit.map(|limit| limit.saturating_sub(done));
        let policy = RunPolicy { limit, ..self.policy.clone() };
        self.stopped = Some(runner.run(running.run, &policy, &mut self.report).await?);
        Ok(())
    }

    fn tally(&self) -> Tally {
        let (report, counts) = (&self.report, self.report.counts());
        Tally {
            requests: report.requests,
            http_429: report.http_429,
            // Its queue waits for the next run, which is a minute away.
            cut_short: false,
            errors: report.errors_total,
            notes: self.stopped.map_or_else(String::new, |stopped| format!("stopped: {}", word(stopped))),
            counters: json!({
                "processed": report.processed(), "completed": counts.completed, "failed": counts.failed,
                "retry": counts.retry, "held": counts.held, "submitted": counts.submitted,
                "released": counts.released, "groups": report.groups.len(), "stale": report.stale,
                "unknown_codes": report.unknown_codes.values().sum::<u64>(),
            }),
        }
    }
}

impl Uploading<'_> {
    fn answer(self, run_id: RunId) -> Answer {
        let (report, counts) = (&self.report, self.report.counts());
        Answer {
            ok: true,
            mode: self.policy.mode,
            run_id,
            processed: report.processed(),
            completed: counts.completed,
            failed: counts.failed,
            retry: counts.retry,
            held: counts.held,
            submitted: counts.submitted,
            released: counts.released,
            groups: report.groups.len(),
            errors_total: report.errors_total,
            stopped: self.stopped.unwrap_or(Stopped::Drained),
            errors: self.report.errors,
        }
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
