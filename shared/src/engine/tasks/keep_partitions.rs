//! Keeping partitions: makes those of the weeks to come.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tracing::{error, info};

use crate::engine::{BadRequest, Context, Fields};
use crate::store::{RunEnd, RunStatus};

const FIELDS: [&str; 2] = ["weeks_ahead", "scheduled_time"];

/// Partitions are made this far ahead: two months in which nobody need notice that nobody makes them.
pub const DEFAULT_WEEKS_AHEAD: u32 = 8;

/// Two years: each week is three tables.
const MAX_WEEKS_AHEAD: u32 = 104;

/// With less than this someone has to look: every run makes more where it can.
const LEAST_WEEKS_AHEAD: i32 = 4;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// How far ahead.
    pub weeks_ahead: u32,
    /// The time of the schedule that asked.
    pub scheduled_time: Option<Timestamp>,
}

impl Request {
    /// Reads `{"weeks_ahead":8}`, which may be missing.
    ///
    /// # Errors
    /// Names the field that is wrong and what would be right.
    pub fn parse(mut fields: Fields) -> Result<Self, BadRequest> {
        let weeks = fields.number("weeks_ahead", 1, MAX_WEEKS_AHEAD)?;
        let scheduled_time = fields.time("scheduled_time")?;
        fields.finish(&FIELDS)?;
        Ok(Self { weeks_ahead: weeks.unwrap_or(DEFAULT_WEEKS_AHEAD), scheduled_time })
    }
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// False where too few weeks lie ahead.
    pub ok: bool,
    /// Weeks that were asked for, this one included.
    pub total: u64,
    /// Partitions that were made, three to a week.
    pub processed: u64,
    /// Weeks that are still missing: a lock was not to be had.
    pub skipped: u64,
    /// What someone has to look at.
    pub errors: Vec<String>,
    /// Weeks after this one that have their partitions now.
    pub weeks_ahead: i32,
}

/// Makes the partitions that are missing.
///
/// # Errors
/// The database's.
pub async fn run(context: &Context, request: &Request) -> anyhow::Result<Answer> {
    let store = &context.store;
    let run = store.start_task_run("keep-partitions", request.scheduled_time).await?;
    let wanted = i32::try_from(request.weeks_ahead)?;
    let made = store.keep_partitions(wanted).await?;
    let weeks_ahead = store.count_weeks_ahead().await?;
    let missing = u64::try_from(wanted - weeks_ahead).unwrap_or(0);
    let mut errors = Vec::new();
    if weeks_ahead < LEAST_WEEKS_AHEAD.min(wanted) {
        errors.push(format!("partitions are there for {weeks_ahead} weeks after this one, not for {wanted}"));
        error!(run.id = %run, weeks_ahead, "partitions are missing: something keeps their tables locked");
    }
    let answer = Answer {
        ok: errors.is_empty(),
        total: u64::from(request.weeks_ahead) + 1,
        processed: u64::try_from(made).unwrap_or(0),
        skipped: missing,
        errors,
        weeks_ahead,
    };
    let counters = json!({ "partitions": made, "weeks_ahead": weeks_ahead, "missing": missing });
    let faults = answer.errors.len() as u64;
    let notes = answer.errors.join("; ");
    let end = RunEnd { status: RunStatus::Done, requests: 0, http_429: 0, errors: faults, notes, counters };
    store.finish_task_run(run, &end).await?;
    info!(
        run.id = %run, partitions = made, weeks_ahead, event = "run_complete",
        "keep-partitions: made {made} partitions, {weeks_ahead} weeks lie ahead"
    );
    Ok(answer)
}
