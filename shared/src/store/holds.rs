//! Holds: stops that wait for a mend.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::domain::{ProviderKey, SiteId};

/// A hold that stands, or several alike of single conversions of one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// Its number; the first of several.
    pub hold_id: i64,
    /// At which provider.
    pub provider_key: String,
    /// Whose; `None` where it stops several sites.
    pub site_id: Option<SiteId>,
    /// How much it covers: `row`, `conversion_action`, `site`, `client` or `provider`.
    pub scope: String,
    /// The conversion action, or what its sites share.
    pub scope_key: Option<String>,
    /// What has to be mended.
    pub code: String,
    /// Since when.
    pub opened_at: Timestamp,
    /// When it ends by itself; `None`: when it is mended.
    pub lifts_at: Option<Timestamp>,
    /// How many holds these are.
    pub holds: i64,
    /// Sites that it stops.
    pub sites: i64,
    /// Conversions that wait under it, counted to 10,001.
    pub conversions: i64,
}

/// What a release let go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Released {
    /// Holds that were lifted.
    pub holds: i32,
    /// Sites that were stopped by them.
    pub sites: i32,
    /// Conversions that were parked by them.
    pub conversions: i32,
    /// Whether that was all.
    pub is_done: bool,
}

/// Which holds an operator means: every part that is given has to fit.
#[derive(Debug, Clone, Default)]
pub struct HoldFilter {
    /// One hold.
    pub hold_id: Option<i64>,
    /// At one provider.
    pub provider: Option<ProviderKey>,
    /// Of one site.
    pub site: Option<SiteId>,
    /// For one reason.
    pub code: Option<String>,
}

impl Store {
    /// The holds that stand, the oldest first.
    pub async fn read_holds(
        &self,
        provider: Option<ProviderKey>,
        site: Option<SiteId>,
        limit: i32,
    ) -> Result<Vec<Hold>, StoreError> {
        let rows = self
            .query(
                "select hold_id, provider_key, site_id, scope, scope_key, code, opened_at, lifts_at, holds, sites, \
                 conversions from relay.read_holds($1, $2, $3)",
                &[
                    (&provider.map(ProviderKey::as_str), Type::TEXT),
                    (&site.map(|site| site.0), Type::UUID),
                    (&limit, Type::INT4),
                ],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| Hold {
                hold_id: row.get("hold_id"),
                provider_key: row.get("provider_key"),
                site_id: row.get::<_, Option<Uuid>>("site_id").map(SiteId),
                scope: row.get("scope"),
                scope_key: row.get("scope_key"),
                code: row.get("code"),
                opened_at: row.get("opened_at"),
                lifts_at: row.get("lifts_at"),
                holds: row.get("holds"),
                sites: row.get("sites"),
                conversions: row.get("conversions"),
            })
            .collect())
    }

    /// Lifts at most `limit` holds, and sends at most so many of what they parked to work again. Those that end by themselves
    /// stay.
    ///
    /// # Errors
    /// [`StoreError::BadArgument`] where neither a hold, a site nor a code narrows it.
    pub async fn release_some_holds(&self, filter: &HoldFilter, limit: i32) -> Result<Released, StoreError> {
        let row = self
            .query_one(
                "select holds, sites, conversions, is_done from relay.release_some_holds($1, $2, $3, $4, $5)",
                &[
                    (&filter.hold_id, Type::INT8),
                    (&filter.provider.map(ProviderKey::as_str), Type::TEXT),
                    (&filter.site.map(|site| site.0), Type::UUID),
                    (&filter.code, Type::TEXT),
                    (&limit, Type::INT4),
                ],
            )
            .await?;
        Ok(Released {
            holds: row.get("holds"),
            sites: row.get("sites"),
            conversions: row.get("conversions"),
            is_done: row.get("is_done"),
        })
    }
}
