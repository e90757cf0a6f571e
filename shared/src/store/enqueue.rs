//! Conversions on their way in.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

use super::{Store, StoreError};
use crate::domain::{Conversion, ConversionId, Digest, OrderHash, ProviderKey, SiteId};

/// Most conversions of one call.
pub const CONVERSIONS_MAX: usize = 10_000;

/// A conversion ready to be kept.
#[derive(Debug)]
pub struct NewConversion {
    /// Whose it is.
    pub site: SiteId,
    /// Where it goes.
    pub provider: ProviderKey,
    /// What it says.
    pub conversion: Conversion,
    /// Of its content, to tell a repetition from a conflict.
    pub digest: Digest,
    /// Which order it writes: of these one is in flight at a time.
    pub order_hash: OrderHash,
    /// The first time it can go; now where there is none.
    pub due_at: Option<Timestamp>,
    /// The last.
    pub expires_at: Timestamp,
}

/// What became of one conversion at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EnqueueResult {
    /// Taken in.
    Queued,
    /// Taken in; its group waits for a mend.
    Held,
    /// Known with the same content: nothing changed.
    Duplicate,
    /// Known with other content: nothing changed.
    Conflict,
    /// Too old for the provider: not taken in.
    Expired,
    /// Taken in, and over at once: a newer value of its order was written.
    Superseded,
    /// Taken in, and over at once: its order was delivered under another id.
    OrderDelivered,
    /// Taken in, and a dead letter at once: what it adjusts was never delivered.
    OriginalFailed,
    /// Its site was off-boarded: not taken in.
    SiteRemoved,
}

/// The answer for one conversion.
#[derive(Debug, Clone, Copy)]
pub struct Enqueued {
    /// What became of it.
    pub result: EnqueueResult,
    /// Its id, or that of the one it meets.
    pub conversion_id: Option<ConversionId>,
}

impl Store {
    /// Takes conversions in, at most [`CONVERSIONS_MAX`] at once, in one transaction. One answer per conversion, in order.
    pub async fn take_in_offline_conversions(
        &self,
        new: &[NewConversion],
    ) -> Result<Vec<Enqueued>, StoreError> {
        let sites: Vec<Uuid> = new.iter().map(|row| row.site.0).collect();
        let providers: Vec<&str> = new.iter().map(|row| row.provider.as_str()).collect();
        let external_ids: Vec<&str> = new.iter().map(|row| row.conversion.external_id.as_str()).collect();
        let kinds: Vec<&str> = new.iter().map(|row| row.conversion.kind.as_str()).collect();
        let digests: Vec<&[u8]> = new.iter().map(|row| &row.digest.0[..]).collect();
        let due_at: Vec<Option<Timestamp>> = new.iter().map(|row| row.due_at).collect();
        let expires_at: Vec<Timestamp> = new.iter().map(|row| row.expires_at).collect();
        let payloads: Vec<Json<&Conversion>> = new.iter().map(|row| Json(&row.conversion)).collect();
        let order_hashes: Vec<Uuid> = new.iter().map(|row| row.order_hash.0).collect();
        let order_keys: Vec<Option<&str>> =
            new.iter().map(|row| row.conversion.order_id.as_deref()).collect();
        let rows = self
            .query(
                "select result, conversion_id \
                 from relay.take_in_offline_conversions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                &[
                    (&sites, Type::UUID_ARRAY),
                    (&providers, Type::TEXT_ARRAY),
                    (&external_ids, Type::TEXT_ARRAY),
                    (&kinds, Type::TEXT_ARRAY),
                    (&digests, Type::BYTEA_ARRAY),
                    (&due_at, Type::TIMESTAMPTZ_ARRAY),
                    (&expires_at, Type::TIMESTAMPTZ_ARRAY),
                    (&payloads, Type::JSONB_ARRAY),
                    (&order_hashes, Type::UUID_ARRAY),
                    (&order_keys, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        if rows.len() != new.len() {
            return Err(StoreError::Unexpected("not one answer per conversion"));
        }
        rows.iter()
            .map(|row| {
                let result = match row.get("result") {
                    "queued" => EnqueueResult::Queued,
                    "held" => EnqueueResult::Held,
                    "duplicate" => EnqueueResult::Duplicate,
                    "conflict" => EnqueueResult::Conflict,
                    "expired" => EnqueueResult::Expired,
                    "superseded" => EnqueueResult::Superseded,
                    "order_delivered" => EnqueueResult::OrderDelivered,
                    "original_failed" => EnqueueResult::OriginalFailed,
                    "site_removed" => EnqueueResult::SiteRemoved,
                    _ => return Err(StoreError::Unexpected("an unknown result of an enqueue")),
                };
                let conversion_id = row.get::<_, Option<i64>>("conversion_id").map(ConversionId);
                Ok(Enqueued { result, conversion_id })
            })
            .collect()
    }
}
