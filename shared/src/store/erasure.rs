//! People who are erased: asked for, walked for in steps, told of without saying who.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::Type;

use super::{Store, StoreError, count, total};

/// One step of an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasureStep {
    /// Of which one.
    pub erasure_id: i64,
    /// Conversions that were looked at.
    pub walked: u64,
    /// Those that were erased.
    pub conversions: u64,
    /// The walk is at its end, and the request has forgotten whom it was for.
    pub finished: bool,
}

/// An erasure, and what it found in each table so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Erasure {
    /// Its number.
    pub erasure_id: i64,
    /// When it was asked for: what came in later is not concerned.
    pub requested_at: Timestamp,
    /// When it came to its end.
    pub finished_at: Option<Timestamp>,
    /// Conversions that were looked at.
    pub walked: u64,
    /// Conversions whose payload was blanked.
    pub conversions: u64,
    /// Keys whose digest was blanked; the keys stay.
    pub keys: u64,
    /// Conversions that ended where they waited to be sent.
    pub ready: u64,
    /// Those that ended where they were parked.
    pub held: u64,
    /// Those that ended where they waited for their order.
    pub blocked: u64,
    /// Those that were on their way: their outcome is recorded when it comes, and they are not sent again.
    pub in_flight: u64,
    /// Those that a provider has taken which answers later.
    pub submitted: u64,
}

impl Store {
    /// Asks for an erasure by what conversions keep of a person (`hashes`) and by the SHA-256 of click ids, in lower-case
    /// hexadecimal, 1 to 1,000 of both; answers its number.
    pub async fn request_erasure(
        &self,
        hashes: &[String],
        click_hashes: &[String],
    ) -> Result<i64, StoreError> {
        let row = self
            .query_one(
                "select erasure_id from relay.request_erasure($1, $2) as erasure_id",
                &[(&hashes, Type::TEXT_ARRAY), (&click_hashes, Type::TEXT_ARRAY)],
            )
            .await?;
        Ok(row.get("erasure_id"))
    }

    /// Takes a step of this erasure, or of the oldest that is not finished, over at most `limit` (1 to 100,000) conversions.
    /// `None`: nothing is asked for, or somebody else is at it.
    pub async fn erase_person(
        &self,
        erasure_id: Option<i64>,
        limit: i32,
    ) -> Result<Option<ErasureStep>, StoreError> {
        let rows = self
            .query(
                "select erasure_id, walked, conversions, finished from relay.erase_person($1, $2)",
                &[(&erasure_id, Type::INT8), (&limit, Type::INT4)],
            )
            .await?;
        Ok(rows.first().map(|row| ErasureStep {
            erasure_id: row.get("erasure_id"),
            walked: count(row, "walked"),
            conversions: count(row, "conversions"),
            finished: row.get("finished"),
        }))
    }

    /// This erasure, or the youngest `limit` of all.
    pub async fn read_erasures(
        &self,
        erasure_id: Option<i64>,
        limit: i32,
    ) -> Result<Vec<Erasure>, StoreError> {
        let rows = self
            .query(
                "select erasure_id, requested_at, finished_at, walked, conversions, keys, ready, held, blocked, in_flight, \
                 submitted from relay.read_erasures($1, $2)",
                &[(&erasure_id, Type::INT8), (&limit, Type::INT4)],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| Erasure {
                erasure_id: row.get("erasure_id"),
                requested_at: row.get("requested_at"),
                finished_at: row.get("finished_at"),
                walked: total(row, "walked"),
                conversions: total(row, "conversions"),
                keys: total(row, "keys"),
                ready: total(row, "ready"),
                held: total(row, "held"),
                blocked: total(row, "blocked"),
                in_flight: total(row, "in_flight"),
                submitted: total(row, "submitted"),
            })
            .collect())
    }
}
