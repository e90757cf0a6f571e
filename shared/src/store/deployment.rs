//! What this database is, and its upkeep.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::{Store, StoreError};

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The environment that the first migration stamped.
    pub environment: Option<String>,
    /// The newest numbered migration, by name.
    pub newest_migration: Option<String>,
    /// The oldest program version that it still serves.
    pub oldest_program: Option<String>,
}

/// How long ago a task last succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskQuiet {
    /// Which task.
    pub task_key: String,
    /// Since its last success, or since it was registered.
    pub quiet: Duration,
    /// Whether somebody stopped it.
    pub is_paused: bool,
}

fn deployment(row: &Row) -> Deployment {
    Deployment {
        environment: row.get("environment"),
        newest_migration: row.get("newest_migration"),
        oldest_program: row.get("oldest_program"),
    }
}

impl Store {
    /// Reads what this database is, and how long its tasks have been quiet: all that readiness is about, in one round trip.
    ///
    /// # Errors
    /// [`StoreError::WrongSchema`] where it was never migrated, or not so far.
    pub async fn read_readiness(&self) -> Result<(Deployment, Vec<TaskQuiet>), StoreError> {
        let row = self
            .query_one(
                "select environment, newest_migration, oldest_program, task_keys, quiet_seconds, paused \
                 from relay.read_readiness()",
                &[],
            )
            .await?;
        let keys: Vec<String> = row.get("task_keys");
        let quiet: Vec<f64> = row.get("quiet_seconds");
        let paused: Vec<bool> = row.get("paused");
        let tasks = keys.into_iter().zip(quiet).zip(paused).map(|((task_key, quiet), is_paused)| {
            let quiet = Duration::try_from_secs_f64(quiet).unwrap_or(Duration::MAX);
            TaskQuiet { task_key, quiet, is_paused }
        });
        Ok((deployment(&row), tasks.collect()))
    }

    /// Reads what this database is.
    ///
    /// # Errors
    /// [`StoreError::WrongSchema`] where it was never migrated.
    pub async fn describe_deployment(&self) -> Result<Deployment, StoreError> {
        let row = self
            .query_one(
                "select environment, newest_migration, oldest_program from relay.describe_deployment()",
                &[],
            )
            .await?;
        Ok(deployment(&row))
    }

    /// Sets how long circuits stay open, in seconds (1 to 86,400); a fifth of it comes on top at random.
    pub async fn put_circuit_setting(&self, open_seconds: i32) -> Result<(), StoreError> {
        self.query("select from relay.put_circuit_setting($1)", &[(&open_seconds, Type::INT4)]).await?;
        Ok(())
    }
}
