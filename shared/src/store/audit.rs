//! The proof of accounting.

use serde::{Deserialize, Serialize};
use serde_json::Value;
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
#[derive(Debug, Clone, Serialize)]
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
}

impl Store {
    /// The proof of accounting: the sums, and the first `limit` faults. Walks everything.
    pub async fn audit_accounts(&self, limit: i32) -> Result<Accounts, StoreError> {
        let row = self
            .query_one(
                "select keys, waiting, in_flight, held, submitted, completed, failed, faults_total, faults \
                 from relay.audit_accounts($1)",
                &[(&limit, Type::INT4)],
            )
            .await?;
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
