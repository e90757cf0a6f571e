//! Delivery scores: days that are counted once, and what they come to.

use rust_decimal::Decimal;
use serde::Serialize;
use tokio_postgres::types::Type;

use super::{Store, StoreError, count, total};
use crate::domain::{ProviderKey, SiteId};

/// A day of more outcomes is counted by the hour: some seconds of work at once.
const OUTCOMES: i32 = 1_000_000;

/// A day that was counted, or an hour of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tallied {
    /// Hours of the day that are still to be counted.
    pub hours_left: u64,
    /// Other days of the window that are.
    pub days_left: u64,
}

/// What scoring did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scored {
    /// Groups that were written.
    pub groups: u64,
    /// Those of them of which enough is known for a score.
    pub scored: u64,
}

/// How well a group was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Score {
    /// Whose.
    pub site_id: SiteId,
    /// Where.
    pub provider_key: String,
    /// 0 to 100: the share of delivered among delivered and failed; `None` where fewer than 20 ended one way or the other.
    pub score: Option<Decimal>,
    /// Conversions that were delivered.
    pub delivered: u64,
    /// Conversions that were rejected, expired, exhausted, or never confirmed.
    pub failed: u64,
    /// Conversions that ended in a way that speaks neither for nor against.
    pub neutral: u64,
    /// Requests to the provider.
    pub requests: u64,
    /// Those without an answer, or that failed as a whole.
    pub requests_failed: u64,
    /// Days that it speaks of.
    pub window_days: i32,
    /// The last of them, as `2026-11-21`.
    pub until_day: String,
}

impl Store {
    /// Counts the oldest day of the last `window_days` (1 to 3,650) that is over and was not counted, or an hour of a very full
    /// one; `None` where each is.
    pub async fn tally_hours(&self, window_days: i32) -> Result<Option<Tallied>, StoreError> {
        let rows = self
            .query(
                "select hours_left, days_left from relay.tally_hours($1, $2)",
                &[(&window_days, Type::INT4), (&OUTCOMES, Type::INT4)],
            )
            .await?;
        Ok(rows
            .first()
            .map(|row| Tallied { hours_left: count(row, "hours_left"), days_left: count(row, "days_left") }))
    }

    /// Writes the score of every group, or of one site's, from the days that were counted.
    pub async fn recompute_scores(
        &self,
        window_days: i32,
        site: Option<SiteId>,
    ) -> Result<Scored, StoreError> {
        let row = self
            .query_one(
                "select groups, scored from relay.recompute_scores($1, $2)",
                &[(&window_days, Type::INT4), (&site.map(|site| site.0), Type::UUID)],
            )
            .await?;
        Ok(Scored { groups: count(&row, "groups"), scored: count(&row, "scored") })
    }

    /// The scores, the worst first, at most `limit`.
    pub async fn read_scores(
        &self,
        provider: Option<ProviderKey>,
        site: Option<SiteId>,
        limit: i32,
    ) -> Result<Vec<Score>, StoreError> {
        let rows = self
            .query(
                "select site_id, provider_key, score, delivered, failed, neutral, requests, requests_failed, window_days, \
                 until_day::text from relay.read_scores($1, $2, $3)",
                &[
                    (&provider.map(ProviderKey::as_str), Type::TEXT),
                    (&site.map(|site| site.0), Type::UUID),
                    (&limit, Type::INT4),
                ],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| Score {
                site_id: SiteId(row.get("site_id")),
                provider_key: row.get("provider_key"),
                score: row.get("score"),
                delivered: total(row, "delivered"),
                failed: total(row, "failed"),
                neutral: total(row, "neutral"),
                requests: total(row, "requests"),
                requests_failed: total(row, "requests_failed"),
                window_days: row.get("window_days"),
                until_day: row.get("until_day"),
            })
            .collect())
    }
}
