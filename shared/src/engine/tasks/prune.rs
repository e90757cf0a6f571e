//! Pruning: takes away what is past its retention, a week at a time, and never what still lives.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, json};
use tokio::time::sleep;
use tracing::warn;

use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Retention, Running, Schedule, Scope,
};
use crate::engine::{Tally, Task, TaskKey, Trigger, Turns, Work};
use crate::store::Leftovers;

const DESCRIPTOR: Descriptor = Descriptor {
    key: TaskKey::new("prune"),
    turns: Turns::Exclusive(482_176),
    schedule: Schedule::Daily { hour: 2 },
    lease: Duration::from_secs(60),
    provider: None,
    scope: Scope::Whole,
};

const FIELDS: [&str; 4] = ["retention_days", "run_retention_days", "scheduled_time", "lockId"];

/// Rows that one call deletes: a few hundred milliseconds, in which whoever sends one of these keys again waits.
const ROWS_PER_CALL: i32 = 20_000;

/// How often a partition is tried that somebody uses, and the wait between: a minute in all. The next night is another
/// chance.
const BUSY_TRIES: u32 = 60;
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// What pruning is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Days that conversions, outcomes and the ledger are kept; none: as the settings say.
    pub retention_days: Option<u32>,
    /// Days that the history of runs is kept; none: as the settings say.
    pub run_retention_days: Option<u32>,
    /// What set it off.
    pub trigger: Trigger,
}

impl Request {
    /// Reads `{"retention_days":400,"run_retention_days":90}`; each may be missing.
    ///
    /// # Errors
    /// Names the field that is wrong and what would be right.
    pub fn parse(mut fields: Fields) -> Result<Self, BadRequest> {
        let (conversions, runs) = (Retention::CONVERSIONS, Retention::RUNS);
        let retention_days = fields.number("retention_days", *conversions.start(), *conversions.end())?;
        let run_retention_days = fields.number("run_retention_days", *runs.start(), *runs.end())?;
        let trigger = Trigger::take(&mut fields)?;
        fields.finish(&FIELDS)?;
        Ok(Self { retention_days, run_retention_days, trigger })
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
    /// What was deleted besides.
    pub leftovers: Leftovers,
    /// Days that conversions, outcomes and the ledger are kept.
    pub retention_days: u32,
    /// Days that the history of runs is kept.
    pub run_retention_days: u32,
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
    let settings = &context.settings.retention;
    let retention_days = settings.conversion_days_of(request.retention_days)?;
    let run_retention_days = request.run_retention_days.unwrap_or(settings.run_days);
    let narrowed = json!({
        "retention_days": request.retention_days, "run_retention_days": request.run_retention_days,
    });
    let mut work = Pruning {
        days: i32::try_from(retention_days)?,
        run_days: i32::try_from(run_retention_days)?,
        answer: Answer { retention_days, run_retention_days, ..Answer::default() },
    };
    Ok(match engine::run(context, &DESCRIPTOR, request.trigger, &narrowed, bounds, &mut work).await? {
        Ran::Run(_) => Reply::Answer(work.answer),
        Ran::Skipped(reason) => Reply::skipped(reason),
    })
}

struct Pruning {
    days: i32,
    run_days: i32,
    answer: Answer,
}

impl Work for Pruning {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        let store = &running.context.store;
        loop {
            let removed = store.prune_task_runs(self.run_days, ROWS_PER_CALL).await?;
            self.answer.runs += removed;
            if removed < u64::from(ROWS_PER_CALL.unsigned_abs()) || running.is_over() {
                break;
            }
        }
        self.answer.vault_keys += store.prune_vault_keys().await?;
        self.prune_history(running).await?;
        self.prune_leftovers(running).await?;
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
                "leftovers": answer.leftovers,
            }),
            cut_short: !answer.finished,
            ..Tally::default()
        }
    }
}

impl Pruning {
    async fn prune_history(&mut self, running: &Running) -> anyhow::Result<()> {
        let (store, answer) = (&running.context.store, &mut self.answer);
        let mut tries = 0;
        while !running.is_over() {
            let step = store.prune_history(self.days, ROWS_PER_CALL).await?;
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

    async fn prune_leftovers(&mut self, running: &Running) -> anyhow::Result<()> {
        let sum = &mut self.answer.leftovers;
        while !running.is_over() {
            let step = running.context.store.prune_leftovers(self.days, ROWS_PER_CALL).await?;
            sum.days += step.days;
            sum.tokens += step.tokens;
            sum.pauses += step.pauses;
            sum.erasures += step.erasures;
            sum.calls += step.calls;
            if step.finished {
                break;
            }
        }
        Ok(())
    }
}
