//! What this database is, and its upkeep.

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

impl Store {
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
        Ok(Deployment {
            environment: row.get("environment"),
            newest_migration: row.get("newest_migration"),
            oldest_program: row.get("oldest_program"),
        })
    }

    /// Sets how long circuits stay open, in seconds (1 to 86,400); a fifth of it comes on top at random.
    pub async fn put_circuit_setting(&self, open_seconds: i32) -> Result<(), StoreError> {
        self.query("select from relay.put_circuit_setting($1)", &[(&open_seconds, Type::INT4)]).await?;
        Ok(())
    }
}
