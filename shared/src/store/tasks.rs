//! Tasks: their locks, their state, their pauses.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::types::Type;

use super::{Store, StoreError, seconds};
use crate::domain::ProviderKey;

/// Proof of a lock: another owner has another token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// Which lock.
    pub lock_id: i32,
    /// Grows with each owner.
    pub token: i64,
}

/// What a task is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskStanding {
    /// Which task.
    pub task_key: String,
    /// `IDLE` after a success, `RUNNING`, `PAUSED` where its last call was, `ERROR` after a failure.
    pub status: String,
    /// When it last began.
    pub last_run_at: Option<Timestamp>,
    /// When it last succeeded.
    pub last_success_at: Option<Timestamp>,
    /// When it last failed.
    pub last_error_at: Option<Timestamp>,
    /// Why it last failed.
    pub error_code: Option<String>,
    /// The same in words.
    pub error_message: Option<String>,
    /// Failures since its last success.
    pub consecutive_failures: i32,
    /// Seconds since its last success, or since it was registered.
    pub quiet_seconds: f64,
    /// Why it is stopped, where it is.
    pub paused_reason: Option<String>,
    /// Until when; `None`: until it is resumed.
    pub paused_until: Option<Timestamp>,
    /// Who runs it under its lock.
    pub locked_by: Option<String>,
    /// Until when, unless the lock is renewed.
    pub lease_until: Option<Timestamp>,
}

/// A task that somebody stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskPause {
    /// Which task.
    pub task_key: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub paused_at: Timestamp,
    /// Until when; `None`: until it is resumed.
    pub paused_until: Option<Timestamp>,
}

impl Store {
    /// Renews a lock; false where it has another owner by now.
    pub async fn refresh_task_lock(&self, fence: Fence, lease: Duration) -> Result<bool, StoreError> {
        let row = self
            .query_one(
                "select held from relay.refresh_task_lock($1, $2, $3) as held",
                &[(&fence.lock_id, Type::INT4), (&fence.token, Type::INT8), (&seconds(lease), Type::INT4)],
            )
            .await?;
        Ok(row.get("held"))
    }

    /// Takes a lock from its owner, who writes nothing more under it. False where nobody had it.
    pub async fn break_task_lock(&self, lock_id: i32) -> Result<bool, StoreError> {
        let row = self
            .query_one("select broken from relay.break_task_lock($1) as broken", &[(&lock_id, Type::INT4)])
            .await?;
        Ok(row.get("broken"))
    }

    /// Makes a row of state for each task that has none; says how many.
    pub async fn register_tasks(&self, task_keys: &[&str]) -> Result<i32, StoreError> {
        let row = self
            .query_one(
                "select registered from relay.register_tasks($1) as registered",
                &[(&task_keys, Type::TEXT_ARRAY)],
            )
            .await?;
        Ok(row.get("registered"))
    }

    /// Writes down where a long task goes on; `None`: at the beginning. False where the task is unknown.
    pub async fn save_task_checkpoint(
        &self,
        task_key: &str,
        checkpoint: Option<&Value>,
    ) -> Result<bool, StoreError> {
        let row = self
            .query_one(
                "select saved from relay.save_task_checkpoint($1, $2) as saved",
                &[(&task_key, Type::TEXT), (&checkpoint, Type::JSONB)],
            )
            .await?;
        Ok(row.get("saved"))
    }

    /// Each task that was ever registered.
    pub async fn read_task_standing(&self) -> Result<Vec<TaskStanding>, StoreError> {
        let rows = self
            .query(
                "select task_key, status, last_run_at, last_success_at, last_error_at, error_code, error_message, \
                 consecutive_failures, quiet_seconds, paused_reason, paused_until, locked_by, lease_until \
                 from relay.read_task_standing()",
                &[],
            )
            .await?;
        let standing = |row: &tokio_postgres::Row| TaskStanding {
            task_key: row.get("task_key"),
            status: row.get("status"),
            last_run_at: row.get("last_run_at"),
            last_success_at: row.get("last_success_at"),
            last_error_at: row.get("last_error_at"),
            error_code: row.get("error_code"),
            error_message: row.get("error_message"),
            consecutive_failures: row.get("consecutive_failures"),
            quiet_seconds: row.get("quiet_seconds"),
            paused_reason: row.get("paused_reason"),
            paused_until: row.get("paused_until"),
            locked_by: row.get("locked_by"),
            lease_until: row.get("lease_until"),
        };
        Ok(rows.iter().map(standing).collect())
    }

    /// Stops a task until a time or until resumed; a run that is going on is seen through.
    pub async fn pause_task(
        &self,
        task_key: &str,
        until: Option<Timestamp>,
        reason: &str,
    ) -> Result<(), StoreError> {
        self.query(
            "select from relay.pause_task($1, $2, $3)",
            &[(&task_key, Type::TEXT), (&until, Type::TIMESTAMPTZ), (&reason, Type::TEXT)],
        )
        .await?;
        Ok(())
    }

    /// Lets a task go on. False where it was not paused.
    pub async fn resume_task(&self, task_key: &str) -> Result<bool, StoreError> {
        let row = self
            .query_one("select resumed from relay.resume_task($1) as resumed", &[(&task_key, Type::TEXT)])
            .await?;
        Ok(row.get("resumed"))
    }

    /// Tasks that are stopped now.
    pub async fn read_task_pauses(&self) -> Result<Vec<TaskPause>, StoreError> {
        let rows = self
            .query("select task_key, reason, paused_at, paused_until from relay.read_task_pauses()", &[])
            .await?;
        let pause = |row: &tokio_postgres::Row| TaskPause {
            task_key: row.get("task_key"),
            reason: row.get("reason"),
            paused_at: row.get("paused_at"),
            paused_until: row.get("paused_until"),
        };
        Ok(rows.iter().map(pause).collect())
    }

    /// After a rate limit: pauses a provider until the first of its groups may go, where none may now. Says until when.
    pub async fn pause_limited_provider(
        &self,
        provider: ProviderKey,
    ) -> Result<Option<Timestamp>, StoreError> {
        let row = self
            .query_one(
                "select until from relay.pause_limited_provider($1) as until",
                &[(&provider.as_str(), Type::TEXT)],
            )
            .await?;
        Ok(row.get("until"))
    }
}
