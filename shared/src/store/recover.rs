//! What crashed runs left, and dead letters.

use tokio_postgres::types::Type;

use super::{Store, StoreError};
use crate::domain::{ConversionId, SiteId};

/// What one call put right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Lapsed claims that were taken back.
    pub claims: u64,
    /// Their conversions that go again.
    pub requeued: u64,
    /// Their conversions that were lost too often and ended.
    pub exhausted: u64,
    /// Ledger rows that were closed as ambiguous.
    pub attempts_settled: u64,
    /// Upload slots of the dead.
    pub leases_freed: u64,
}

/// Which dead letters go again; at least one of the three is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redrive {
    /// Of one site.
    pub site: Option<SiteId>,
    /// Of one code.
    pub code: Option<String>,
    /// These alone.
    pub conversions: Option<Vec<ConversionId>>,
}

impl Store {
    /// Takes back at most `claim_limit` (1 to 1,000) lapsed claims that are at least `min_age_minutes` old, closes the
    /// ledger rows that they left open, and frees the slots of the dead. Call again until `claims` is 0.
    pub async fn recover_offline_conversions(
        &self,
        min_age_minutes: i32,
        site: Option<SiteId>,
        claim_limit: i32,
    ) -> Result<Recovered, StoreError> {
        let row = self
            .query_one(
                "select claims, requeued, exhausted, attempts_settled, leases_freed \
                 from relay.recover_offline_conversions($1, $2, $3)",
                &[
                    (&min_age_minutes, Type::INT4),
                    (&site.map(|site| site.0), Type::UUID),
                    (&claim_limit, Type::INT4),
                ],
            )
            .await?;
        let count = |name: &str| u64::try_from(row.get::<_, i32>(name)).unwrap_or(0);
        Ok(Recovered {
            claims: count("claims"),
            requeued: count("requeued"),
            exhausted: count("exhausted"),
            attempts_settled: count("attempts_settled"),
            leases_freed: count("leases_freed"),
        })
    }

    /// Sends at most `limit` (1 to 10,000) dead letters to work again; says how many.
    pub async fn redrive_dead_letters(&self, redrive: &Redrive, limit: i32) -> Result<u64, StoreError> {
        let ids: Option<Vec<i64>> =
            redrive.conversions.as_ref().map(|ids| ids.iter().map(|id| id.0).collect());
        let row = self
            .query_one(
                "select redriven from relay.redrive_dead_letters($1, $2, $3, $4) as redriven",
                &[
                    (&redrive.site.map(|site| site.0), Type::UUID),
                    (&redrive.code, Type::TEXT),
                    (&ids, Type::INT8_ARRAY),
                    (&limit, Type::INT4),
                ],
            )
            .await?;
        Ok(u64::try_from(row.get::<_, i32>("redriven")).unwrap_or(0))
    }
}
