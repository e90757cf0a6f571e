//! History by the week: partitions made ahead, and taken away when they are old.

use serde::Serialize;
use tokio_postgres::types::Type;

use super::{Store, StoreError, count};

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

/// What was deleted besides history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Leftovers {
    /// Counts of one day and group, from which scores are made.
    pub days: u64,
    /// Access tokens that had expired.
    pub tokens: u64,
    /// Pauses that had ended.
    pub pauses: u64,
    /// Erasures that were finished.
    pub erasures: u64,
    /// Calls of orders that are gone.
    pub calls: u64,
    /// Nothing is left to do.
    #[serde(skip)]
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
        Ok(Pruned {
            keys: count(&row, "keys"),
            receipts: count(&row, "receipts"),
            holds: count(&row, "holds"),
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

    /// Deletes at most `limit` (1 to 100,000) of each kind of what is over besides history; what history tells, past
    /// `retention_days` (180 to 36,500). Call again until it is finished.
    pub async fn prune_leftovers(&self, retention_days: i32, limit: i32) -> Result<Leftovers, StoreError> {
        let row = self
            .query_one(
                "select days, tokens, pauses, erasures, calls, finished from relay.prune_leftovers($1, $2)",
                &[(&retention_days, Type::INT4), (&limit, Type::INT4)],
            )
            .await?;
        Ok(Leftovers {
            days: count(&row, "days"),
            tokens: count(&row, "tokens"),
            pauses: count(&row, "pauses"),
            erasures: count(&row, "erasures"),
            calls: count(&row, "calls"),
            finished: row.get("finished"),
        })
    }
}
