//! Pauses: what an operator stopped, and why.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::Type;

use super::{Store, StoreError};
use crate::domain::{ProviderKey, SiteId};

/// What an operator stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// At which provider.
    pub provider_key: String,
    /// One site; `None`: all of them.
    pub site_id: Option<SiteId>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub paused_at: Timestamp,
    /// Until when; `None`: until it is resumed.
    pub paused_until: Option<Timestamp>,
}

impl Store {
    /// Stops claims for a provider, or for one site at it, until a time or until resumed. False where the site has no
    /// group there.
    pub async fn pause_deliveries(
        &self,
        provider: ProviderKey,
        site: Option<SiteId>,
        until: Option<Timestamp>,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let row = self
            .query_one(
                "select known from relay.pause_deliveries($1, $2, $3, $4) as known",
                &[
                    (&provider.as_str(), Type::TEXT),
                    (&site.map(|site| site.0), Type::UUID),
                    (&until, Type::TIMESTAMPTZ),
                    (&reason, Type::TEXT),
                ],
            )
            .await?;
        Ok(row.get("known"))
    }

    /// Ends a pause; what waited goes on at once. False where nothing was paused.
    pub async fn resume_deliveries(
        &self,
        provider: ProviderKey,
        site: Option<SiteId>,
    ) -> Result<bool, StoreError> {
        let row = self
            .query_one(
                "select resumed from relay.resume_deliveries($1, $2) as resumed",
                &[(&provider.as_str(), Type::TEXT), (&site.map(|site| site.0), Type::UUID)],
            )
            .await?;
        Ok(row.get("resumed"))
    }

    /// What is paused now.
    pub async fn read_pauses(&self) -> Result<Vec<Pause>, StoreError> {
        let rows = self
            .query(
                "select provider_key, site_id, reason, paused_at, paused_until from relay.read_pauses()",
                &[],
            )
            .await?;
        let pause = |row: &tokio_postgres::Row| Pause {
            provider_key: row.get("provider_key"),
            site_id: row.get::<_, Option<uuid::Uuid>>("site_id").map(SiteId),
            reason: row.get("reason"),
            paused_at: row.get("paused_at"),
            paused_until: row.get("paused_until"),
        };
        Ok(rows.iter().map(pause).collect())
    }
}
