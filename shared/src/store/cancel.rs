//! What an operator ends by hand.

use serde::Serialize;
use tokio_postgres::types::Type;

use super::{Store, StoreError, count, total};
use crate::domain::{ConversionId, ProviderKey, SiteId};

/// What is to be cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancel {
    /// All that waits for a site.
    Site {
        /// Which one.
        site: SiteId,
        /// At one provider only.
        provider: Option<ProviderKey>,
    },
    /// These, at most 10,000.
    Conversions(Vec<ConversionId>),
}

/// What became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Cancelled {
    /// Conversions that ended as cancelled.
    pub cancelled: u64,
    /// Those of them that an earlier request may have delivered.
    pub in_doubt: u64,
    /// Not cancelled: on their way to the provider.
    pub in_flight: u64,
    /// Not cancelled: taken by a provider that answers later.
    pub submitted: u64,
    /// Not cancelled: at their end before. Counted where conversions are named.
    pub ended: u64,
    /// Unknown, or taken away by retention. Counted where conversions are named.
    pub unknown: u64,
    /// Nothing that is meant waits any more.
    pub finished: bool,
}

impl Store {
    /// Ends what waits, at most `limit` (1 to 100,000) of each place; call again until it is finished.
    pub async fn cancel_conversions(&self, cancel: &Cancel, limit: i32) -> Result<Cancelled, StoreError> {
        let (site, provider, ids) = match cancel {
            Cancel::Site { site, provider } => (Some(site.0), provider.map(ProviderKey::as_str), None),
            Cancel::Conversions(ids) => (None, None, Some(ids.iter().map(|id| id.0).collect::<Vec<_>>())),
        };
        let row = self
            .query_one(
                "select cancelled, in_doubt, in_flight, submitted, ended, unknown, finished \
                 from relay.cancel_conversions($1, $2, $3, $4)",
                &[
                    (&site, Type::UUID),
                    (&provider, Type::TEXT),
                    (&ids, Type::INT8_ARRAY),
                    (&limit, Type::INT4),
                ],
            )
            .await?;
        Ok(Cancelled {
            cancelled: count(&row, "cancelled"),
            in_doubt: count(&row, "in_doubt"),
            in_flight: total(&row, "in_flight"),
            submitted: total(&row, "submitted"),
            ended: total(&row, "ended"),
            unknown: total(&row, "unknown"),
            finished: row.get("finished"),
        })
    }
}
