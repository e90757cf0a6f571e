//! A cycle: one pass over tasks, whatever becomes of each of them.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::sleep;
use tracing::info;

use super::task::{Bounds, Reply, Scope, SkipReason, Task};
use super::{BadRequest, Context};
use crate::domain::SiteId;

/// The longest pause between two tasks of a cycle, so that many programs with one schedule do not march in step.
const JITTER: Duration = Duration::from_millis(100);

/// Failures that a summary names; the rest is counted.
const WORST_MAX: usize = 20;

/// What a cycle is asked to do beside running its tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CycleRequest {
    /// One site only; the tasks must know sites.
    pub site: Option<SiteId>,
    /// The time of the schedule that asked.
    pub scheduled_time: Option<Timestamp>,
    /// Another lock than its own, for a single task.
    pub lock_id: Option<i32>,
}

/// What became of the tasks of a cycle.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Tasks that were asked for.
    pub total: u64,
    /// Those that ran to their end.
    pub success: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were locked, paused or done, or that the deadline came before.
    pub skipped: u64,
    /// Each of them, in the order of the registry.
    pub tasks: Vec<TaskEnd>,
    /// The failures, at most 20: those that have failed most often in a row first.
    pub worst: Vec<WorstFailure>,
    /// Tasks that are stopped at this moment.
    pub paused: Vec<String>,
}

/// What became of one task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskEnd {
    /// Which.
    pub task_key: String,
    /// What it answered; none where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// Why it did nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<SkipReason>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A task that failed, and for how long it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorstFailure {
    /// Which.
    pub task_key: String,
    /// Failures since its last success.
    pub consecutive_failures: i32,
    /// Why.
    pub error: String,
}

/// Runs these tasks one after the other. One that fails stops no other; what it wrote to the history says why.
///
/// # Errors
/// A [`BadRequest`] where a task does not take the request; the database's, where not even its state can be read: a
/// cycle never answers with zeros for want of a database.
pub async fn run_once(
    context: &Context,
    tasks: &[&Task],
    request: CycleRequest,
    bounds: &Bounds,
) -> anyhow::Result<Summary> {
    let says = says(tasks, request)?;
    // What cannot be read cannot be run: told here, before anything else is.
    context.store.read_task_standing().await?;
    let mut summary = Summary { total: tasks.len() as u64, ..Summary::default() };
    for (number, task) in tasks.iter().enumerate() {
        if number > 0 && !bounds.are_near() {
            sleep(JITTER.mul_f64(rand::random())).await;
        }
        let mut end = TaskEnd {
            task_key: task.descriptor.key.as_str().to_owned(),
            answer: None,
            skipped: None,
            error: None,
        };
        if bounds.are_near() {
            summary.skipped += 1;
            end.skipped = Some(SkipReason::Deadline);
        } else {
            match task.run(context, says.clone(), bounds.clone()).await {
                Ok(Reply::Answer(answer)) => {
                    summary.success += 1;
                    end.answer = Some(answer);
                }
                Ok(Reply::Skipped { reason, .. }) => {
                    summary.skipped += 1;
                    end.skipped = Some(reason);
                }
                Err(error) => {
                    summary.failed += 1;
                    end.error = Some(format!("{error:#}"));
                }
            }
        }
        summary.tasks.push(end);
    }
    tell_the_worst(context, &mut summary).await;
    info!(
        total = summary.total,
        success = summary.success,
        failed = summary.failed,
        skipped = summary.skipped,
        event = "cycle_complete",
        "cycle: {} of {} tasks ran",
        summary.success,
        summary.total
    );
    Ok(summary)
}

/// The fields that each task's call gets.
fn says(tasks: &[&Task], request: CycleRequest) -> Result<Map<String, Value>, BadRequest> {
    let mut says = Map::new();
    if let Some(site) = request.site {
        if let Some(task) = tasks.iter().find(|task| task.descriptor.scope == Scope::Whole) {
            return Err(BadRequest(format!(
                "site_id does not narrow {}: it knows no sites",
                task.descriptor.key
            )));
        }
        says.insert("site_id".to_owned(), Value::String(site.to_string()));
    }
    if let Some(time) = request.scheduled_time {
        says.insert("scheduled_time".to_owned(), Value::String(time.to_string()));
    }
    match (request.lock_id, tasks) {
        (None, _) => {}
        (Some(lock), [_]) => {
            says.insert("lockId".to_owned(), Value::from(lock));
        }
        (Some(_), _) => return Err(BadRequest("lockId is for one task: name it in tasks".to_owned())),
    }
    Ok(says)
}

/// Which failures have lasted longest, and what is stopped: as far as the database says.
async fn tell_the_worst(context: &Context, summary: &mut Summary) {
    let standing = context.store.read_task_standing().await.unwrap_or_default();
    let failures = |key: &str| {
        standing.iter().find(|task| task.task_key == key).map_or(0, |task| task.consecutive_failures)
    };
    let failed = summary.tasks.iter().filter_map(|task| Some((task, task.error.clone()?)));
    summary.worst = failed
        .map(|(task, error)| WorstFailure {
            task_key: task.task_key.clone(),
            consecutive_failures: failures(&task.task_key),
            error,
        })
        .collect();
    summary.worst.sort_by_key(|failure| std::cmp::Reverse(failure.consecutive_failures));
    summary.worst.truncate(WORST_MAX);
    summary.paused = standing
        .iter()
        .filter(|task| task.paused_reason.is_some())
        .map(|task| task.task_key.clone())
        .collect();
}
