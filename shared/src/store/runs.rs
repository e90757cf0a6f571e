//! The history of runs: opened before work, closed once after it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::types::Type;

use super::tasks::Fence;
use super::{Store, StoreError, seconds};
use crate::domain::{ProviderKey, RunId};

/// A run that is about to begin.
#[derive(Debug, Clone)]
pub struct NewRun<'a> {
    /// Which task.
    pub task_key: &'a str,
    /// Which program runs it, and where.
    pub owner: &'a str,
    /// The provider whose pause stops it.
    pub provider: Option<ProviderKey>,
    /// The time of the schedule that asked; `None`: somebody did by hand.
    pub scheduled_time: Option<Timestamp>,
    /// What narrows it, as one JSON object.
    pub request: &'a Value,
    /// The lock of an exclusive task, and how long it is good for without being renewed.
    pub lock: Option<(i32, Duration)>,
}

/// What became of the wish to run.
#[derive(Debug)]
pub enum Begun {
    /// It runs.
    Go {
        /// Its id.
        run: RunId,
        /// Its lock, where it asked for one.
        fence: Option<Fence>,
        /// Where the task's last run left off.
        checkpoint: Option<Value>,
    },
    /// Another run has the lock.
    Locked,
    /// It is stopped, or its provider is.
    Paused,
    /// A run of the same scheduled time has succeeded.
    Done,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// It did its work, perhaps with partial failures.
    Done,
    /// It could not, and why in one code.
    Error(&'static str),
}

/// How a run ended, with all that it counted.
#[derive(Debug)]
pub struct RunEnd {
    /// How.
    pub status: RunStatus,
    /// Requests to providers.
    pub requests: u64,
    /// Answers that asked to wait.
    pub http_429: u64,
    /// Faults that it told of.
    pub errors: u64,
    /// Why it stopped, in one word or sentence.
    pub notes: String,
    /// Every counter, as one JSON object.
    pub counters: Value,
}

/// What became of a run's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It is written down.
    Written,
    /// The row was closed before: the run counted as lost.
    ClosedBefore,
    /// The lock was another's by then.
    LockLost,
}

impl Store {
    /// Opens the history row of one invocation of a task, and takes its lock.
    pub async fn begin_task_run(&self, new: &NewRun<'_>) -> Result<Begun, StoreError> {
        let (lock_id, lease) =
            new.lock.map_or((None, Duration::from_secs(1)), |(id, lease)| (Some(id), lease));
        let provider = new.provider.map(ProviderKey::as_str);
        let row = self
            .query_one(
                "select run_id, verdict, fence, checkpoint from relay.begin_task_run($1, $2, $3, $4, $5, $6, $7)",
                &[
                    (&new.task_key, Type::TEXT),
                    (&new.owner, Type::TEXT),
                    (&provider, Type::TEXT),
                    (&new.scheduled_time, Type::TIMESTAMPTZ),
                    (&new.request, Type::JSONB),
                    (&lock_id, Type::INT4),
                    (&seconds(lease), Type::INT4),
                ],
            )
            .await?;
        match row.get("verdict") {
            "GO" => {
                let token = row.get::<_, Option<i64>>("fence");
                let fence = lock_id.zip(token).map(|(lock_id, token)| Fence { lock_id, token });
                let run = RunId(row.get("run_id"));
                Ok(Begun::Go { run, fence, checkpoint: row.get("checkpoint") })
            }
            "LOCKED" => Ok(Begun::Locked),
            "PAUSED" => Ok(Begun::Paused),
            "DONE" => Ok(Begun::Done),
            _ => Err(StoreError::Unexpected("a verdict that no version of ours gives")),
        }
    }

    /// Closes it, once, writes its task's state and gives its lock back. It is called on the store without the fence:
    /// the function itself looks at the lock.
    pub async fn end_task_run(
        &self,
        run: RunId,
        fence: Option<Fence>,
        end: &RunEnd,
    ) -> Result<Ended, StoreError> {
        let (status, code) = match end.status {
            RunStatus::Done => ("DONE", None),
            RunStatus::Error(code) => ("ERROR", Some(code)),
        };
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let row = self
            .query_one(
                "select ended from relay.end_task_run($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) as ended",
                &[
                    (&run.0, Type::INT8),
                    (&status, Type::TEXT),
                    (&count(end.requests), Type::INT8),
                    (&count(end.http_429), Type::INT8),
                    (&count(end.errors), Type::INT8),
                    (&code, Type::TEXT),
                    (&end.notes, Type::TEXT),
                    (&end.counters, Type::JSONB),
                    (&fence.map(|fence| fence.lock_id), Type::INT4),
                    (&fence.map(|fence| fence.token), Type::INT8),
                ],
            )
            .await?;
        match row.get("ended") {
            "ENDED" => Ok(Ended::Written),
            "CLOSED" => Ok(Ended::ClosedBefore),
            "LOST" => Ok(Ended::LockLost),
            _ => Err(StoreError::Unexpected("an end that no version of ours gives")),
        }
    }

    /// Closes runs that began `age_hours` ago (1 to 720) and never ended, at most `limit` (1 to 10,000).
    pub async fn close_lost_runs(&self, age_hours: i32, limit: i32) -> Result<u64, StoreError> {
        let row = self
            .query_one(
                "select closed from relay.close_lost_runs($1, $2) as closed",
                &[(&age_hours, Type::INT4), (&limit, Type::INT4)],
            )
            .await?;
        Ok(u64::try_from(row.get::<_, i32>("closed")).unwrap_or(0))
    }
}
