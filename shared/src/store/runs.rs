//! The history of runs.

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::types::Type;

use super::{Store, StoreError};
use crate::domain::RunId;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// It did its work, perhaps with partial failures.
    Done,
    /// It could not.
    Error,
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

impl Store {
    /// Opens the history row of one invocation of a task.
    pub async fn start_task_run(
        &self,
        task_key: &str,
        scheduled_time: Option<Timestamp>,
    ) -> Result<RunId, StoreError> {
        let row = self
            .query_one(
                "select run_id from relay.start_task_run($1, $2) as run_id",
                &[(&task_key, Type::TEXT), (&scheduled_time, Type::TIMESTAMPTZ)],
            )
            .await?;
        Ok(RunId(row.get("run_id")))
    }

    /// Closes it, once; false where it was closed before.
    pub async fn finish_task_run(&self, run: RunId, end: &RunEnd) -> Result<bool, StoreError> {
        let status = match end.status {
            RunStatus::Done => "DONE",
            RunStatus::Error => "ERROR",
        };
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let row = self
            .query_one(
                "select finished from relay.finish_task_run($1, $2, $3, $4, $5, $6, $7) as finished",
                &[
                    (&run.0, Type::INT8),
                    (&status, Type::TEXT),
                    (&count(end.requests), Type::INT8),
                    (&count(end.http_429), Type::INT8),
                    (&count(end.errors), Type::INT8),
                    (&end.notes, Type::TEXT),
                    (&end.counters, Type::JSONB),
                ],
            )
            .await?;
        Ok(row.get("finished"))
    }
}
