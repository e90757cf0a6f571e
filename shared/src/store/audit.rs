//! The proof of accounting.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::{Store, StoreError};
use crate::domain::ConversionId;

/// Something that the proof of accounting found wrong.
#[derive(Debug, Clone, Serialize)]
pub struct AuditFault {
    /// What is wrong.
    pub fault: String,
    /// With which conversion.
    pub conversion_id: ConversionId,
    /// The figures.
    pub detail: Option<String>,
}

/// Every conversion that was taken in, and where it is, at one moment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Accounts {
    /// Conversions that were taken in and that retention left.
    pub keys: i64,
    /// Those that wait for a claim.
    pub waiting: i64,
    /// Those in a claim.
    pub in_flight: i64,
    /// Those that are parked.
    pub held: i64,
    /// Those that a provider took which answers later, also after its answer.
    pub submitted: i64,
    /// Those that ended well.
    pub completed: i64,
    /// Those that ended badly.
    pub failed: i64,
    /// Faults, the listed ones included.
    pub faults_total: i64,
    /// The first of them.
    pub faults: Vec<AuditFault>,
}

impl Accounts {
    /// Whether the sums agree: each conversion is somewhere, and only once.
    pub fn balance(&self) -> bool {
        self.keys == self.waiting + self.in_flight + self.held + self.submitted + self.completed + self.failed
    }

    /// Adds those of other conversions; of the faults at most `listed` are kept.
    pub fn add(&mut self, other: Self, listed: usize) {
        self.keys += other.keys;
        self.waiting += other.waiting;
        self.in_flight += other.in_flight;
        self.held += other.held;
        self.submitted += other.submitted;
        self.completed += other.completed;
        self.failed += other.failed;
        self.faults_total += other.faults_total;
        self.faults.extend(other.faults);
        self.faults.truncate(listed);
    }
}

/// The proof of accounting of a part of the conversions.
#[derive(Debug, Clone)]
pub struct AuditSlice {
    /// The oldest conversion in it; the next slice ends before. `None`: nothing is left before it.
    pub reached: Option<ConversionId>,
    /// What has a smaller id was taken in before this moment, or never will be.
    pub settled_before: ConversionId,
    /// What was found.
    pub accounts: Accounts,
}

/// A part of what waits, or of the keys, each looked up.
#[derive(Debug, Clone)]
pub struct AuditedPart {
    /// How many.
    pub walked: u64,
    /// Where the next part begins; `None` at the end.
    pub next_after: Option<Value>,
    /// What was found: faults alone, and no sums.
    pub found: Accounts,
}

impl Store {
    /// The proof of accounting in one statement: the sums, and the first `limit` faults. Walks everything.
    pub async fn audit_accounts(&self, limit: i32) -> Result<Accounts, StoreError> {
        let row = self
            .query_one(
                "select keys, waiting, in_flight, held, submitted, completed, failed, faults_total, faults \
                 from relay.audit_accounts($1)",
                &[(&limit, Type::INT4)],
            )
            .await?;
        accounts(&row)
    }

    /// The proof of accounting of `conversions` of them: those with the newest ids before `before`, and not before `since`.
    pub async fn audit_slice(
        &self,
        before: Option<ConversionId>,
        since: Option<ConversionId>,
        conversions: i32,
        limit: i32,
    ) -> Result<AuditSlice, StoreError> {
        let (before, since) = (before.map(|id| id.0), since.map(|id| id.0));
        let row = self
            .query_one(
                "select reached, settled_before, keys, waiting, in_flight, held, submitted, completed, failed, \
                 faults_total, faults from relay.audit_slice($1, $2, $3, $4)",
                &[
                    (&before, Type::INT8),
                    (&since, Type::INT8),
                    (&conversions, Type::INT4),
                    (&limit, Type::INT4),
                ],
            )
            .await?;
        Ok(AuditSlice {
            reached: row.get::<_, Option<i64>>("reached").map(ConversionId),
            settled_before: ConversionId(row.get("settled_before")),
            accounts: accounts(&row)?,
        })
    }

    /// Looks up the histories of `rows` conversions that wait, from where the last part ended.
    pub async fn audit_ready(
        &self,
        after: Option<&Value>,
        rows: i32,
        limit: i32,
    ) -> Result<AuditedPart, StoreError> {
        let sql = "select walked, next_after, faults_total, faults from relay.audit_ready($1, $2, $3)";
        self.audit_part(sql, after, rows, limit).await
    }

    /// Looks up the conversions of `keys` keys, from where the last part ended.
    pub async fn audit_keys(
        &self,
        after: Option<&Value>,
        keys: i32,
        limit: i32,
    ) -> Result<AuditedPart, StoreError> {
        let sql = "select walked, next_after, faults_total, faults from relay.audit_keys($1, $2, $3)";
        self.audit_part(sql, after, keys, limit).await
    }

    async fn audit_part(
        &self,
        sql: &str,
        after: Option<&Value>,
        rows: i32,
        limit: i32,
    ) -> Result<AuditedPart, StoreError> {
        let row =
            self.query_one(sql, &[(&after, Type::JSONB), (&rows, Type::INT4), (&limit, Type::INT4)]).await?;
        Ok(AuditedPart {
            walked: u64::from(row.get::<_, i32>("walked").unsigned_abs()),
            next_after: row.get("next_after"),
            found: Accounts {
                faults_total: row.get("faults_total"),
                faults: faults(row.get("faults"))?,
                ..Accounts::default()
            },
        })
    }

    /// The faults alone, the first thousand of them.
    pub async fn audit_conversions(&self) -> Result<Vec<AuditFault>, StoreError> {
        let rows =
            self.query("select fault, conversion_id, detail from relay.audit_conversions()", &[]).await?;
        Ok(rows
            .iter()
            .map(|row| AuditFault {
                fault: row.get("fault"),
                conversion_id: ConversionId(row.get("conversion_id")),
                detail: row.get("detail"),
            })
            .collect())
    }
}

fn accounts(row: &Row) -> Result<Accounts, StoreError> {
    Ok(Accounts {
        keys: row.get("keys"),
        waiting: row.get("waiting"),
        in_flight: row.get("in_flight"),
        held: row.get("held"),
        submitted: row.get("submitted"),
        completed: row.get("completed"),
        failed: row.get("failed"),
        faults_total: row.get("faults_total"),
        faults: faults(row.get("faults"))?,
    })
}

fn faults(listed: Value) -> Result<Vec<AuditFault>, StoreError> {
    #[derive(Deserialize)]
    struct Listed {
        fault: String,
        conversion_id: i64,
        detail: Option<String>,
    }
    let listed: Vec<Listed> = serde_json::from_value(listed)
        .map_err(|_| StoreError::Unexpected("the faults of the audit have another form"))?;
    let fault = |listed: Listed| AuditFault {
        fault: listed.fault,
        conversion_id: ConversionId(listed.conversion_id),
        detail: listed.detail,
    };
    Ok(listed.into_iter().map(fault).collect())
}
