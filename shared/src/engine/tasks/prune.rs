//! Pruning: takes away what is past its retention, a week at a time, and never what still lives.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, json};
use tokio::time::sleep;
use tracing::warn;

use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Running, Schedule, Scope,
};
use crate::engine::{Tally, Task, TaskKey, Trigger, Turns, Work};

const DESCRIPTOR: Descriptor = Descriptor {
    key: TaskKey::new("prune"),
    turns: Turns::Exclusive(482_176),
    schedule: Schedule::Daily { hour: 2 },
    lease: Duration::from_secs(60),
    provider: None,
    scope: Scope::Whole,
};

const FIELDS: [&str; 4] = ["retention_days", "run_retention_days", "scheduled_time", "lockId"];

/// Days that conversions, outcomes and the ledger are kept where nobody says otherwise.
pub const DEFAULT_RETENTION_DAYS: u32 = 400;

/// The least that may be asked for: scores are computed from so many days of the ledger.
pub const MIN_RETENTION_DAYS: u32 = 180;

/// Days that the history of runs is kept, and the least that may be asked for.
const DEFAULT_RUN_RETENTION_DAYS: u32 = 90;
const MIN_RUN_RETENTION_DAYS: u32 = 30;

/// A century: longer is a slip of the keyboard.
const MAX_RETENTION_DAYS: u32 = 36_500;

/// Rows that one call deletes: a few hundred milliseconds, in which whoever sends one of these keys again waits.
const ROWS_PER_CALL: i32 = 20_000;

/// How often a partition is tried that somebody uses, and the wait between: a minute in all. The next night is another
/// chance.
const BUSY_TRIES: u32 = 60;
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// What pruning is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Days that conversions, outcomes and the ledger are kept.
    pub retention_days: u32,
    /// Days that the history of runs is kept.
    pub run_retention_days: u32,
    /// What set it off.
    pub trigger: Trigger,
}

impl Request {
    /// Reads `{"retention_days":400,"run_retention_days":90}`; each may be missing.
    ///
    /// # Errors
    /// Names the field that is wrong and what would be right.
    pub fn parse(mut fields: Fields) -> Result<Self, BadRequest> {
        let retention = fields.number("retention_days", MIN_RETENTION_DAYS, MAX_RETENTION_DAYS)?;
        let runs = fields.number("run_retention_days", MIN_RUN_RETENTION_DAYS, MAX_RETENTION_DAYS)?;
        let trigger = Trigger::take(&mut fields)?;
        fields.finish(&FIELDS)?;
        Ok(Self {
            retention_days: retention.unwrap_or(DEFAULT_RETENTION_DAYS),
            run_retention_days: runs.unwrap_or(DEFAULT_RUN_RETENTION_DAYS),
            trigger,
        })
    }
}

/// What pruning did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Answer {
    /// False where something was not to be had.
    pub ok: bool,
    /// Partitions that are past their retention: `processed`, `skipped`, and those of `errors`.
    pub total: u64,
    /// Partitions that were dropped.
    pub processed: u64,
    /// Weeks that something alive, or that was kept, still refers to.
    pub skipped: u64,
    /// What could not be done.
    pub errors: Vec<String>,
    /// Keys that were deleted.
    pub keys: u64,
    /// Receipts that were deleted.
    pub receipts: u64,
    /// Lifted holds that were deleted.
    pub holds: u64,
    /// Runs that were deleted.
    pub runs: u64,
    /// Data keys that were deleted: nothing was sealed with them any more.
    pub vault_keys: u64,
    /// The partitions that were dropped.
    pub dropped: Vec<String>,
    /// The weeks that were skipped, each with the reason.
    pub skipped_weeks: Vec<String>,
    /// False where the deadline came first, or a lock was not to be had: another call goes on from there.
    pub finished: bool,
}

/// Pruning as the registry holds it.
pub fn task() -> Task {
    Task::new(DESCRIPTOR, Map::new(), |context, fields, bounds| {
        Box::pin(async move { run(context, &Request::parse(fields)?, bounds).await?.to_json() })
    })
}

/// Prunes until nothing is left or the deadline is near.
///
/// # Errors
/// The database's.
pub async fn run(context: &Context, request: &Request, bounds: Bounds) -> anyhow::Result<Reply<Answer>> {
    let narrowed = json!({
        "retention_days": request.retention_days, "run_retention_days": request.run_retention_days,
    });
    let mut work = Pruning { request, answer: Answer::default() };
    Ok(match engine::run(context, &DESCRIPTOR, request.trigger, &narrowed, bounds, &mut work).await? {
        Ran::Run(_) => Reply::Answer(work.answer),
        Ran::Skipped(reason) => Reply::skipped(reason),
    })
}

struct Pruning<'a> {
    request: &'a Request,
    answer: Answer,
}

impl Work for Pruning<'_> {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        let store = &running.context.store;
        let run_days = i32::try_from(self.request.run_retention_days)?;
        loop {
            let removed = store.prune_task_runs(run_days, ROWS_PER_CALL).await?;
            self.answer.runs += removed;
            if removed < u64::from(ROWS_PER_CALL.unsigned_abs()) || running.is_over() {
                break;
            }
        }
        self.answer.vault_keys += store.prune_vault_keys().await?;
        self.prune_history(running).await?;
        let answer = &mut self.answer;
        answer.ok = answer.errors.is_empty();
        answer.skipped = answer.skipped_weeks.len() as u64;
        answer.processed = answer.dropped.len() as u64;
        answer.total = answer.processed + answer.skipped + answer.errors.len() as u64;
        for week in &answer.skipped_weeks {
            warn!("a week is past its retention and stays, {week}");
        }
        Ok(())
    }

    fn tally(&self) -> Tally {
        let answer = &self.answer;
        let notes = answer.errors.iter().chain(&answer.skipped_weeks).cloned().collect::<Vec<_>>();
        Tally {
            errors: answer.errors.len() as u64,
            notes: notes.join("; "),
            counters: json!({
                "total": answer.total, "processed": answer.processed, "skipped": answer.skipped, "keys": answer.keys,
                "receipts": answer.receipts, "holds": answer.holds, "runs": answer.runs, "vault_keys": answer.vault_keys,
            }),
            ..Tally::default()
        }
    }
}

impl Pruning<'_> {
    async fn prune_history(&mut self, running: &Running) -> anyhow::Result<()> {
        let (store, answer) = (&running.context.store, &mut self.answer);
        let days = i32::try_from(self.request.retention_days)?;
        let mut tries = 0;
        while !running.is_over() {
            let step = store.prune_history(days, ROWS_PER_CALL).await?;
            answer.keys += step.keys;
            answer.receipts += step.receipts;
            answer.holds += step.holds;
            answer.dropped.extend(step.dropped);
            if step.finished {
                answer.skipped_weeks = step.skipped;
                answer.finished = true;
                break;
            }
            let Some(busy) = step.busy else {
                tries = 0;
                continue;
            };
            tries += 1;
            if tries >= BUSY_TRIES {
                answer.errors.push(format!("{busy} is in use, the next call tries it again"));
                break;
            }
            sleep(BUSY_WAIT.min(running.deadline.remaining())).await;
        }
        Ok(())
    }
}
