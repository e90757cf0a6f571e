//! What an operator asks.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::types::Type;

use super::{Store, StoreError};
use crate::domain::{ConversionId, ProviderKey, SiteId};

/// How one group stands. `waiting` and `at_risk` stop counting at 10,001.
#[derive(Debug, Serialize)]
pub struct GroupStanding {
    /// Whose.
    pub site_id: SiteId,
    /// At which provider.
    pub provider_key: String,
    /// Conversions that wait for a claim.
    pub waiting: i64,
    /// Of those, such as expire within 48 hours.
    pub at_risk: i64,
    /// Conversions that are parked.
    pub held: i64,
    /// Conversions in a claim.
    pub processing: i64,
    /// When the oldest that waits was due.
    pub oldest_due_at: Option<Timestamp>,
    /// State of the circuit.
    pub circuit: String,
    /// Requests in a row that failed as a whole.
    pub failure_count: i32,
    /// When an open circuit is probed.
    pub next_probe_at: Option<Timestamp>,
    /// Why the whole group is held.
    pub hold_code: Option<String>,
    /// Until when the provider asked to wait.
    pub throttled_until: Option<Timestamp>,
    /// Requests sent.
    pub attempts_total: i64,
    /// Conversions that ended well.
    pub completed_total: i64,
    /// Conversions that ended badly.
    pub failed_total: i64,
    /// Times that a conversion went again.
    pub retry_total: i64,
    /// Conversions taken by a provider that answers later.
    pub submitted_total: i64,
}

/// How many conversions had the same end, or wait for the same reason.
#[derive(Debug, Clone, Serialize)]
pub struct ConversionCount {
    /// At which provider.
    pub provider_key: String,
    /// Where they stand.
    pub status: String,
    /// What became of them last.
    pub outcome: Option<String>,
    /// And why.
    pub code: Option<String>,
    /// How many.
    pub conversions: i64,
}

/// A conversion that an id leads to.
#[derive(Debug, Clone, Serialize)]
pub struct FoundConversion {
    /// Which one.
    pub conversion_id: ConversionId,
    /// By what kind of id it was found.
    pub found_by: String,
    /// Its id in the advertiser's own system.
    pub external_id: String,
    /// Whose.
    pub site_id: SiteId,
    /// At which provider.
    pub provider_key: String,
    /// Where it stands.
    pub status: String,
}

/// The circuit of a whole provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderCircuit {
    /// Which provider.
    pub provider_key: String,
    /// `CLOSED`, `OPEN` or `HALF_OPEN`.
    pub state: String,
    /// When it is probed, or the probe that is out is given up on.
    pub next_probe_at: Option<Timestamp>,
    /// Probes in a row that failed.
    pub failure_count: i32,
    /// Since when it stands like this.
    pub changed_at: Option<Timestamp>,
}

/// Dead letters of one code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetters {
    /// At which provider.
    pub provider_key: String,
    /// Why.
    pub code: Option<String>,
    /// How they ended.
    pub outcome: String,
    /// How many.
    pub conversions: i64,
    /// The youngest of them.
    pub conversion_id: ConversionId,
    /// Whether all dead letters were walked; otherwise the counts are a part.
    #[serde(skip)]
    pub walked_all: bool,
}

/// A group that waits for a mend.
#[derive(Debug, Clone)]
pub struct HeldGroup {
    /// Whose.
    pub site: SiteId,
    /// Why.
    pub code: String,
}

impl Store {
    /// How each group stands, the worst first, at most `limit`.
    pub async fn read_groups(
        &self,
        site: Option<SiteId>,
        limit: i32,
    ) -> Result<Vec<GroupStanding>, StoreError> {
        let rows = self
            .query(
                "select site_id, provider_key, waiting, at_risk, held, processing, oldest_due_at, circuit, \
                 failure_count, next_probe_at, hold_code, throttled_until, attempts_total, completed_total, \
                 failed_total, retry_total, submitted_total from relay.read_groups($1, $2)",
                &[(&site.map(|site| site.0), Type::UUID), (&limit, Type::INT4)],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| GroupStanding {
                site_id: SiteId(row.get("site_id")),
                provider_key: row.get("provider_key"),
                waiting: row.get("waiting"),
                at_risk: row.get("at_risk"),
                held: row.get("held"),
                processing: row.get("processing"),
                oldest_due_at: row.get("oldest_due_at"),
                circuit: row.get("circuit"),
                failure_count: row.get("failure_count"),
                next_probe_at: row.get("next_probe_at"),
                hold_code: row.get("hold_code"),
                throttled_until: row.get("throttled_until"),
                attempts_total: row.get("attempts_total"),
                completed_total: row.get("completed_total"),
                failed_total: row.get("failed_total"),
                retry_total: row.get("retry_total"),
                submitted_total: row.get("submitted_total"),
            })
            .collect())
    }

    /// The circuit of each provider as a whole, those that are not closed first.
    pub async fn read_provider_circuits(&self) -> Result<Vec<ProviderCircuit>, StoreError> {
        let rows = self
            .query(
                "select provider_key, state, next_probe_at, failure_count, changed_at \
                 from relay.read_provider_circuits()",
                &[],
            )
            .await?;
        let circuit = |row: &tokio_postgres::Row| ProviderCircuit {
            provider_key: row.get("provider_key"),
            state: row.get("state"),
            next_probe_at: row.get("next_probe_at"),
            failure_count: row.get("failure_count"),
            changed_at: row.get("changed_at"),
        };
        Ok(rows.iter().map(circuit).collect())
    }

    /// Groups of a provider that are held while conversions wait in them, at most `limit`, the longest held first.
    pub async fn read_held_groups(
        &self,
        provider: ProviderKey,
        site: Option<SiteId>,
        limit: i32,
    ) -> Result<Vec<HeldGroup>, StoreError> {
        let rows = self
            .query(
                "select site_id, code from relay.read_held_groups($1, $2, $3)",
                &[
                    (&provider.as_str(), Type::TEXT),
                    (&site.map(|site| site.0), Type::UUID),
                    (&limit, Type::INT4),
                ],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| HeldGroup { site: SiteId(row.get("site_id")), code: row.get("code") })
            .collect())
    }

    /// Dead letters by provider and code, the most first; looks at `walk_limit` of them at most.
    pub async fn read_dead_letters(
        &self,
        provider: Option<ProviderKey>,
        site: Option<SiteId>,
        walk_limit: i32,
    ) -> Result<Vec<DeadLetters>, StoreError> {
        let provider = provider.map(|provider| provider.as_str());
        let rows = self
            .query(
                "select provider_key, code, outcome, conversions, conversion_id, walked_all \
                 from relay.read_dead_letters($1, $2, $3)",
                &[(&provider, Type::TEXT), (&site.map(|site| site.0), Type::UUID), (&walk_limit, Type::INT4)],
            )
            .await?;
        let letters = |row: &tokio_postgres::Row| DeadLetters {
            provider_key: row.get("provider_key"),
            code: row.get("code"),
            outcome: row.get("outcome"),
            conversions: row.get("conversions"),
            conversion_id: ConversionId(row.get("conversion_id")),
            walked_all: row.get("walked_all"),
        };
        Ok(rows.iter().map(letters).collect())
    }

    /// What became of all conversions, of one site or of all. Walks the whole queue.
    pub async fn count_conversions(&self, site: Option<SiteId>) -> Result<Vec<ConversionCount>, StoreError> {
        let rows = self
            .query(
                "select provider_key, status, outcome, code, conversions from relay.count_conversions($1)",
                &[(&site.map(|site| site.0), Type::UUID)],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| ConversionCount {
                provider_key: row.get("provider_key"),
                status: row.get("status"),
                outcome: row.get("outcome"),
                code: row.get("code"),
                conversions: row.get("conversions"),
            })
            .collect())
    }

    /// Conversions by whatever id a person holds, at most `limit`.
    pub async fn look_up_conversions(
        &self,
        id: &str,
        limit: i32,
    ) -> Result<Vec<FoundConversion>, StoreError> {
        let rows = self
            .query(
                "select conversion_id, found_by, external_id, site_id, provider_key, status \
                 from relay.look_up_conversions($1, $2)",
                &[(&id, Type::TEXT), (&limit, Type::INT4)],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| FoundConversion {
                conversion_id: ConversionId(row.get("conversion_id")),
                found_by: row.get("found_by"),
                external_id: row.get("external_id"),
                site_id: SiteId(row.get("site_id")),
                provider_key: row.get("provider_key"),
                status: row.get("status"),
            })
            .collect())
    }

    /// One conversion as a document: where it stands, what blocks it, and its timeline.
    pub async fn explain_conversion(&self, id: ConversionId) -> Result<Option<Value>, StoreError> {
        let rows = self
            .query(
                "select document from relay.explain_conversion($1) as document where document is not null",
                &[(&id.0, Type::INT8)],
            )
            .await?;
        Ok(rows.first().map(|row| row.get("document")))
    }
}
