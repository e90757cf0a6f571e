//! What an operator says codes mean, and the codes that no table knows.

use std::str::FromStr;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::Type;

use super::{Store, StoreError};
use crate::domain::{Class, ErrorCode, HoldScope, ProviderKey};

/// What an operator says a provider's code means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaxonomyOverride {
    /// Whose code.
    pub provider_key: String,
    /// The whole code, as outcomes keep it.
    pub code: String,
    /// Its class.
    pub class: Class,
    /// Of CONFIG and DELAY: what waits.
    pub scope: Option<HoldScope>,
    /// How long.
    pub wait_seconds: Option<i32>,
    /// Attempts in all.
    pub max_attempts: Option<i16>,
    /// Whether nothing is left out of the conversion for it.
    pub whole: bool,
    /// Why the operator said so.
    pub reason: String,
    /// When.
    pub created_at: Timestamp,
}

/// A code that no table knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownCode {
    /// Whose code.
    pub provider_key: String,
    /// The whole code, as outcomes keep it.
    pub code: String,
    /// When it first came.
    pub first_seen_at: Timestamp,
    /// When it last came.
    pub last_seen_at: Timestamp,
    /// Answers that carried it.
    pub times: i64,
}

/// An override to be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOverride<'a> {
    /// Whose code.
    pub provider: ProviderKey,
    /// The whole code, as outcomes keep it.
    pub code: &'a str,
    /// Its class.
    pub class: Class,
    /// Of CONFIG and DELAY: what waits.
    pub scope: Option<HoldScope>,
    /// How long; the usual where absent.
    pub wait_seconds: Option<i32>,
    /// Attempts in all; the usual where absent.
    pub max_attempts: Option<i32>,
    /// Whether nothing is left out of the conversion for it.
    pub whole: bool,
    /// Why.
    pub reason: &'a str,
}

impl Store {
    /// Says what a code means, from the next run on.
    pub async fn put_taxonomy_meaning(&self, said: &NewOverride<'_>) -> Result<(), StoreError> {
        let scope = said.scope.map(HoldScope::as_str);
        self.query(
            "select from relay.put_taxonomy_meaning($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                (&said.provider.as_str(), Type::TEXT),
                (&said.code, Type::TEXT),
                (&said.class.as_str(), Type::TEXT),
                (&scope, Type::TEXT),
                (&said.wait_seconds, Type::INT4),
                (&said.max_attempts, Type::INT4),
                (&said.whole, Type::BOOL),
                (&said.reason, Type::TEXT),
            ],
        )
        .await?;
        Ok(())
    }

    /// Gives a code back to the adapter's own table. False where nothing was said of it.
    pub async fn delete_taxonomy_override(
        &self,
        provider: ProviderKey,
        code: &str,
    ) -> Result<bool, StoreError> {
        let row = self
            .query_one(
                "select deleted from relay.delete_taxonomy_override($1, $2) as deleted",
                &[(&provider.as_str(), Type::TEXT), (&code, Type::TEXT)],
            )
            .await?;
        Ok(row.get("deleted"))
    }

    /// What an operator says codes of these providers mean.
    pub async fn read_taxonomy_meanings(
        &self,
        providers: &[ProviderKey],
    ) -> Result<Vec<TaxonomyOverride>, StoreError> {
        let keys: Vec<&str> = providers.iter().map(|provider| provider.as_str()).collect();
        let rows = self
            .query(
                "select provider_key, code, class, scope, wait_seconds, max_attempts, whole, reason, created_at \
                 from relay.read_taxonomy_meanings($1)",
                &[(&keys, Type::TEXT_ARRAY)],
            )
            .await?;
        let said = |row: &tokio_postgres::Row| {
            Ok(TaxonomyOverride {
                provider_key: row.get("provider_key"),
                code: row.get("code"),
                class: word(row.get("class"))?,
                scope: row.get::<_, Option<&str>>("scope").map(word).transpose()?,
                wait_seconds: row.get("wait_seconds"),
                max_attempts: row.get("max_attempts"),
                whole: row.get("whole"),
                reason: row.get("reason"),
                created_at: row.get("created_at"),
            })
        };
        rows.iter().map(said).collect()
    }

    /// Keeps the codes of a run that no table knows, and in how many answers each came.
    pub async fn record_unknown_codes(
        &self,
        codes: &[(ProviderKey, ErrorCode, u64)],
    ) -> Result<(), StoreError> {
        let keys: Vec<&str> = codes.iter().map(|(provider, _, _)| provider.as_str()).collect();
        let names: Vec<&str> = codes.iter().map(|(_, code, _)| code.as_str()).collect();
        let times: Vec<i64> =
            codes.iter().map(|(_, _, times)| i64::try_from(*times).unwrap_or(i64::MAX)).collect();
        self.query(
            "select from relay.record_unknown_codes($1, $2, $3)",
            &[(&keys, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY), (&times, Type::INT8_ARRAY)],
        )
        .await?;
        Ok(())
    }

    /// Codes that no table knows, those seen last first, at most `limit`.
    pub async fn read_unknown_codes(&self, limit: i32) -> Result<Vec<UnknownCode>, StoreError> {
        let rows = self
            .query(
                "select provider_key, code, first_seen_at, last_seen_at, times from relay.read_unknown_codes($1)",
                &[(&limit, Type::INT4)],
            )
            .await?;
        let unknown = |row: &tokio_postgres::Row| UnknownCode {
            provider_key: row.get("provider_key"),
            code: row.get("code"),
            first_seen_at: row.get("first_seen_at"),
            last_seen_at: row.get("last_seen_at"),
            times: row.get("times"),
        };
        Ok(rows.iter().map(unknown).collect())
    }
}

/// A word that the table's own constraint has let in.
fn word<T: FromStr>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Unexpected("a class or scope that no version of ours has"))
}
