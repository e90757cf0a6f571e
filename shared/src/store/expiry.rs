//! The end of a conversion's time.

use serde_json::Value;
use tokio_postgres::types::Type;

use super::{Store, StoreError, count};
use crate::domain::SiteId;

/// Which rows are walked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiryBand {
    /// Those that end within 48 hours, and what is parked or waits for its order.
    Near,
    /// All others, of which those that end within 48 hours are put first.
    Far,
}

/// What one step of the walk did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// Rows that were looked at.
    pub examined: u64,
    /// Conversions that ended.
    pub expired: u64,
    /// Conversions that were put first.
    pub hastened: u64,
    /// Where the next step goes on; `None` at the end of the walk.
    pub next_after: Option<Value>,
}

impl Store {
    /// Ends what is past its time, of one site or of all, over at most `limit` (1 to 1,000,000) rows of a band from `after`
    /// on.
    pub async fn expire_waiting_conversions(
        &self,
        site: Option<SiteId>,
        band: ExpiryBand,
        after: Option<&Value>,
        limit: i32,
    ) -> Result<Expired, StoreError> {
        let band: i16 = match band {
            ExpiryBand::Near => 0,
            ExpiryBand::Far => 1,
        };
        let row = self
            .query_one(
                "select examined, expired, hastened, next_after \
                 from relay.expire_waiting_conversions($1, $2, $3, $4)",
                &[
                    (&site.map(|site| site.0), Type::UUID),
                    (&band, Type::INT2),
                    (&after, Type::JSONB),
                    (&limit, Type::INT4),
                ],
            )
            .await?;
        Ok(Expired {
            examined: count(&row, "examined"),
            expired: count(&row, "expired"),
            hastened: count(&row, "hastened"),
            next_after: row.get("next_after"),
        })
    }

    /// A slice of the walk through all that waits, from where the last one stopped: at most `limit` (1 to 1,000,000) rows.
    pub async fn expire_conversions(&self, limit: i32) -> Result<Expired, StoreError> {
        let row = self
            .query_one(
                "select examined, expired, hastened from relay.expire_conversions($1)",
                &[(&limit, Type::INT4)],
            )
            .await?;
        Ok(Expired {
            examined: count(&row, "examined"),
            expired: count(&row, "expired"),
            hastened: count(&row, "hastened"),
            next_after: None,
        })
    }
}
