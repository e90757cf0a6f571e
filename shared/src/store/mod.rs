//! The database: one method per SQL function, of the same name; one file per family. No other SQL anywhere.

mod audit;
mod cancel;
mod claim;
mod connect;
mod credentials;
mod deployment;
mod enqueue;
mod erasure;
mod error;
mod expiry;
mod gauges;
mod holds;
mod ingest;
mod keys;
mod partitions;
mod pause;
mod probe;
mod quota;
mod reading;
mod receipts;
mod recover;
mod runs;
mod scores;
mod settle;
mod site;
mod tasks;
mod taxonomy;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

pub use audit::{Accounts, AuditFault, AuditSlice, AuditedPart};
pub use cancel::{Cancel, Cancelled};
pub use claim::{Claim, ClaimRequest, ClaimedAccount, ClaimedRow, HeldAction, Opened};
pub use connect::{DatabaseConfig, Login, Logins, POOL_SIZE, connect_once};
pub use credentials::{AccountFacts, SealedCredentials, SealedToken, StoredKey};
pub use deployment::{Deployment, TaskQuiet};
pub use enqueue::{CONVERSIONS_MAX, EnqueueResult, Enqueued, NewConversion};
pub use erasure::{Erasure, ErasureStep};
pub use error::{Said, StoreError};
pub use expiry::{Expired, ExpiryBand};
pub use gauges::Gauge;
pub use holds::{Hold, HoldFilter, Released};
pub use ingest::{IngestKey, IngestSite, SealedIngestKey};
pub use keys::{OldSecret, Resealed, SecretKind, VaultStanding};
pub use partitions::{Leftovers, Pruned};
pub use pause::Pause;
pub use probe::{GroupToProbe, OpenHold, SiteStanding};
pub use quota::Quota;
pub use reading::{ConversionCount, DeadLetters, FoundConversion, GroupStanding, HeldGroup, ProviderCircuit};
pub use receipts::{DueReceipt, OpenedReceipt, Postponed, ReceiptRest, ReceiptScope};
pub use recover::{Recovered, Redrive};
pub use runs::{Begun, Ended, NewRun, RunEnd, RunStatus};
pub use scores::{Score, Scored, Tallied};
pub use settle::{AttemptEnd, CircuitChange, CircuitResult, SettleCounts, Settled, SettledRow, Settlement};
pub use settle::{SlotUse, Throttle, ThrottleScope};
pub use site::{Change, RemovedSite, SiteDefaults, StandingDefaults, Swept};
pub use tasks::{Fence, TaskPause, TaskStanding};
pub use taxonomy::{NewOverride, TaxonomyOverride, UnknownCode};

/// A pool of connections to one database.
#[derive(Clone)]
pub struct Store {
    pool: Arc<Pool>,
    fence: Option<Fence>,
}

/// A value and its type on the wire: statements are unnamed, so each call is one round trip and no pooler is pinned.
type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl Store {
    async fn query(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, StoreError> {
        let Some(fence) = &self.fence else {
            return self.ask(sql, parameters).await;
        };
        // A condition without a column is looked at once, before the function is called, and raises where the lock is gone.
        let (joint, next) = (if sql.contains(" where ") { "and" } else { "where" }, parameters.len() + 1);
        let fenced = format!("{sql} {joint} (select relay.hold_task_lock(${next}, ${}))", next + 1);
        let proof: [Parameter<'_>; 2] = [(&fence.lock_id, Type::INT4), (&fence.token, Type::INT8)];
        let parameters: Vec<Parameter<'_>> = parameters.iter().cloned().chain(proof).collect();
        self.ask(&fenced, &parameters).await
    }

    async fn ask(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, StoreError> {
        let client = self.pool.get().await?;
        match client.query_typed(sql, parameters).await {
            // A server that was the writer until a failover did nothing: whoever is it now has another connection.
            Err(error) if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => {
                drop(Object::take(client));
                self.pool.retain(|_, _| false);
                Ok(self.pool.get().await?.query_typed(sql, parameters).await?)
            }
            answered => Ok(answered?),
        }
    }

    /// The same database for the owner of a lock: every call proves the lock in its own transaction, still in one round
    /// trip, and writes nothing where the lock is gone ([`StoreError::LockLost`]).
    pub fn fenced(&self, fence: Fence) -> Self {
        Self { pool: Arc::clone(&self.pool), fence: Some(fence) }
    }

    async fn query_one(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Row, StoreError> {
        let rows = self.query(sql, parameters).await?;
        rows.into_iter().next().ok_or(StoreError::Unexpected("the function answered no row"))
    }
}

/// A count that the database answers as an integer.
fn count(row: &Row, name: &str) -> u64 {
    u64::try_from(row.get::<_, i32>(name)).unwrap_or(0)
}

/// A count that the database answers as a bigint.
fn total(row: &Row, name: &str) -> u64 {
    u64::try_from(row.get::<_, i64>(name)).unwrap_or(0)
}

/// Whole seconds for an `integer` argument, rounded up: a wait must not end early.
fn seconds(duration: Duration) -> i32 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(whole).unwrap_or(i32::MAX)
}
