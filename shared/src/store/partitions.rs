//! History by the week: partitions made ahead, and taken away when they are old.

use tokio_postgres::types::Type;

use super::{Store, StoreError};

/// What one step of pruning did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Keys of conversions that were deleted.
    pub keys: u64,
    /// Receipts that were deleted.
    pub receipts: u64,
    /// Lifted holds that were deleted.
    pub holds: u64,
    /// The partition that was dropped.
    pub dropped: Option<String>,
    /// Weeks that are old enough and stay, each with the reason; all of them where the answer is finished.
    pub skipped: Vec<String>,
    /// What somebody's lock kept from being done now.
    pub busy: Option<String>,
    /// Nothing is left to do.
    pub finished: bool,
}

impl Store {
    /// Makes the weekly partitions up to `weeks_ahead` (0 to 104) that are missing; says how many it made. Those whose
    /// lock was not to be had are left to another call.
    pub async fn keep_partitions(&self, weeks_ahead: i32) -> Result<i32, StoreError> {
        let row = self
            .query_one("select made from relay.keep_partitions($1) as made", &[(&weeks_ahead, Type::INT4)])
            .await?;
        Ok(row.get("made"))
    }

    /// For how many weeks after this one the partitions are there; -1 where not even this week's are.
    pub async fn count_weeks_ahead(&self) -> Result<i32, StoreError> {
        let row = self.query_one("select weeks from relay.count_weeks_ahead() as weeks", &[]).await?;
        Ok(row.get("weeks"))
    }

    /// One bounded step towards a history of `retention_days` (180 to 36,500), of `limit` rows (1 to 100,000) at most.
    /// Call again until it is finished; where it is busy, a moment later.
    pub async fn prune_history(&self, retention_days: i32, limit: i32) -> Result<Pruned, StoreError> {
        let row = self
            .query_one(
                "select keys, receipts, holds, dropped, skipped, busy, finished from relay.prune_history($1, $2)",
                &[(&retention_days, Type::INT4), (&limit, Type::INT4)],
            )
            .await?;
        let count = |name: &str| u64::try_from(row.get::<_, i32>(name)).unwrap_or(0);
        Ok(Pruned {
            keys: count("keys"),
            receipts: count("receipts"),
            holds: count("holds"),
            dropped: row.get("dropped"),
            skipped: row.get("skipped"),
            busy: row.get("busy"),
            finished: row.get("finished"),
        })
    }

    /// Deletes runs that began more than `retention_days` (30 to 36,500) ago, the oldest first, at most `limit` (1 to
    /// 100,000); says how many. Call again while it is as many.
    pub async fn prune_task_runs(&self, retention_days: i32, limit: i32) -> Result<u64, StoreError> {
        let row = self
            .query_one(
                "select runs from relay.prune_task_runs($1, $2) as runs",
                &[(&retention_days, Type::INT4), (&limit, Type::INT4)],
            )
            .await?;
        Ok(u64::try_from(row.get::<_, i32>("runs")).unwrap_or(0))
    }
}
