//! Request budgets: what the sites of one quota key share.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::Type;

use super::{Store, StoreError};
use crate::domain::{ProviderKey, SiteId};

/// What the sites of one quota key share, and what of it is used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quota {
    /// The key.
    pub quota_key: String,
    /// Groups that share it.
    pub groups: i64,
    /// Uploads that may be in flight.
    pub slots: i32,
    /// And are.
    pub slots_in_use: i64,
    /// Requests in any 60 s; `None`: no limit of ours.
    pub per_minute: Option<i32>,
    /// Requests in any 24 h; `None`: no limit of ours.
    pub per_day: Option<i32>,
    /// When the next request may leave.
    pub next_at: Timestamp,
    /// The part of the burst that is used, 0 to 1.
    pub used: f64,
    /// A wait that the provider asked for.
    pub throttled_until: Option<Timestamp>,
}

impl Store {
    /// Sets what a quota key shares: `None` leaves it as it is, 0 requests takes the limit away. False where no site has
    /// this key.
    pub async fn put_quota(
        &self,
        quota_key: &str,
        slots: Option<i32>,
        per_minute: Option<i32>,
        per_day: Option<i32>,
    ) -> Result<bool, StoreError> {
        let row = self
            .query_one(
                "select known from relay.put_quota($1, $2, $3, $4) as known",
                &[
                    (&quota_key, Type::TEXT),
                    (&slots, Type::INT4),
                    (&per_minute, Type::INT4),
                    (&per_day, Type::INT4),
                ],
            )
            .await?;
        Ok(row.get("known"))
    }

    /// What each quota key shares, the most used first; at most `limit`.
    pub async fn read_quotas(&self, limit: i32) -> Result<Vec<Quota>, StoreError> {
        let rows = self
            .query(
                "select quota_key, groups, slots, slots_in_use, per_minute, per_day, next_at, used, throttled_until \
                 from relay.read_quotas($1)",
                &[(&limit, Type::INT4)],
            )
            .await?;
        let quota = |row: &tokio_postgres::Row| Quota {
            quota_key: row.get("quota_key"),
            groups: row.get("groups"),
            slots: row.get("slots"),
            slots_in_use: row.get("slots_in_use"),
            per_minute: row.get("per_minute"),
            per_day: row.get("per_day"),
            next_at: row.get("next_at"),
            used: row.get("used"),
            throttled_until: row.get("throttled_until"),
        };
        Ok(rows.iter().map(quota).collect())
    }

    /// How long until the budget of a group that stands in line has room again; `None` where none waits for one.
    pub async fn read_budget_wait(
        &self,
        provider: ProviderKey,
        site: Option<SiteId>,
    ) -> Result<Option<Duration>, StoreError> {
        let row = self
            .query_one(
                "select wait_ms from relay.read_budget_wait($1, $2) as wait_ms",
                &[(&provider.as_str(), Type::TEXT), (&site.map(|site| site.0), Type::UUID)],
            )
            .await?;
        let wait: Option<i64> = row.get("wait_ms");
        Ok(wait.map(|wait| Duration::from_millis(u64::try_from(wait).unwrap_or(0))))
    }
}
