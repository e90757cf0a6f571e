//! Pruning: takes away what is past its retention, a week at a time, and never what still lives.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::delivery::Deadline;
use crate::engine::{BadRequest, Context, Fields};
use crate::store::{RunEnd, RunStatus};

const FIELDS: [&str; 3] = ["retention_days", "run_retention_days", "scheduled_time"];

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
    /// The time of the schedule that asked.
    pub scheduled_time: Option<Timestamp>,
}

impl Request {
    /// Reads `{"retention_days":400,"run_retention_days":90}`; each may be missing.
    ///
    /// # Errors
    /// Names the field that is wrong and what would be right.
    pub fn parse(mut fields: Fields) -> Result<Self, BadRequest> {
        let retention = fields.number("retention_days", MIN_RETENTION_DAYS, MAX_RETENTION_DAYS)?;
        let runs = fields.number("run_retention_days", MIN_RUN_RETENTION_DAYS, MAX_RETENTION_DAYS)?;
        let scheduled_time = fields.time("scheduled_time")?;
        fields.finish(&FIELDS)?;
        Ok(Self {
            retention_days: retention.unwrap_or(DEFAULT_RETENTION_DAYS),
            run_retention_days: runs.unwrap_or(DEFAULT_RUN_RETENTION_DAYS),
            scheduled_time,
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
    /// The partitions that were dropped.
    pub dropped: Vec<String>,
    /// The weeks that were skipped, each with the reason.
    pub skipped_weeks: Vec<String>,
    /// False where the deadline came first, or a lock was not to be had: another call goes on from there.
    pub finished: bool,
}

/// Prunes until nothing is left or the deadline is near.
///
/// # Errors
/// The database's.
pub async fn run(context: &Context, request: &Request, deadline: Deadline) -> anyhow::Result<Answer> {
    let run = context.store.start_task_run("prune", request.scheduled_time).await?;
    let mut answer = Answer::default();
    let done = prune(context, request, deadline, &mut answer).await;
    answer.ok = done.is_ok() && answer.errors.is_empty();
    answer.skipped = answer.skipped_weeks.len() as u64;
    answer.processed = answer.dropped.len() as u64;
    answer.total = answer.processed + answer.skipped + answer.errors.len() as u64;
    let counters = json!({
        "total": answer.total, "processed": answer.processed, "skipped": answer.skipped, "keys": answer.keys,
        "receipts": answer.receipts, "holds": answer.holds, "runs": answer.runs,
    });
    let (status, faults) = match &done {
        Ok(()) => (RunStatus::Done, answer.errors.len() as u64),
        Err(_) => (RunStatus::Error, answer.errors.len() as u64 + 1),
    };
    let notes = answer.errors.iter().chain(&answer.skipped_weeks).cloned().collect::<Vec<_>>().join("; ");
    let end = RunEnd { status, requests: 0, http_429: 0, errors: faults, notes, counters };
    let closed = context.store.finish_task_run(run, &end).await;
    done?;
    closed?;
    for week in &answer.skipped_weeks {
        warn!(run.id = %run, "a week is past its retention and stays, {week}");
    }
    info!(
        run.id = %run, keys = answer.keys, partitions = answer.processed, skipped = answer.skipped,
        runs = answer.runs, event = "run_complete",
        "prune: dropped {} partitions and {} keys", answer.processed, answer.keys
    );
    Ok(answer)
}

async fn prune(
    context: &Context,
    request: &Request,
    deadline: Deadline,
    answer: &mut Answer,
) -> anyhow::Result<()> {
    let store = &context.store;
    loop {
        let removed =
            store.prune_task_runs(i32::try_from(request.run_retention_days)?, ROWS_PER_CALL).await?;
        answer.runs += removed;
        if removed < u64::from(ROWS_PER_CALL.unsigned_abs()) || deadline.is_near() {
            break;
        }
    }
    let days = i32::try_from(request.retention_days)?;
    let mut tries = 0;
    while !deadline.is_near() {
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
        sleep(BUSY_WAIT.min(deadline.remaining())).await;
    }
    Ok(())
}
