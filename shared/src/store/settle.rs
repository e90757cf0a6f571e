//! Settling: what became of a claim, told once.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::types::Type;

use super::{Store, StoreError, seconds};
use crate::domain::{AttemptId, ClaimToken, Class, ErrorCode, HoldScope, Omitted, Outcome};

/// What became of a whole claim.
#[derive(Debug)]
pub struct Settlement {
    /// The fence.
    pub token: ClaimToken,
    /// The request that decided; `None` where nothing was sent.
    pub attempt: Option<AttemptEnd>,
    /// One entry per conversion, in the claim's order.
    pub rows: Vec<SettledRow>,
    /// How the request ended for the circuit.
    pub circuit: CircuitResult,
    /// A hold of the whole group.
    pub group_hold: Option<(HoldScope, ErrorCode)>,
    /// The transport that the group takes from now on, where that is another.
    pub transport: Option<&'static str>,
    /// A wait that the provider asked for.
    pub throttle: Option<Throttle>,
    /// What happens to the upload slot.
    pub slot: SlotUse,
}

/// How one request ended.
#[derive(Debug, Clone)]
pub struct AttemptEnd {
    /// Which one.
    pub attempt: AttemptId,
    /// HTTP status, where one came.
    pub http_status: Option<u16>,
    /// The provider's id of the request.
    pub provider_request_id: Option<String>,
    /// The code that speaks for the request as a whole.
    pub error_code: Option<ErrorCode>,
    /// Its class.
    pub error_category: Option<Class>,
    /// From sending to the last byte of the answer.
    pub duration: Duration,
}

/// What became of one conversion.
#[derive(Debug, Clone)]
pub struct SettledRow {
    /// What.
    pub outcome: Outcome,
    /// Why: the class of the answer.
    pub class: Option<Class>,
    /// Why: the code.
    pub code: Option<ErrorCode>,
    /// How long it waits, where it goes back.
    pub wait: Duration,
    /// And until when at least.
    pub not_before: Option<Timestamp>,
    /// The hold that parks it, or puts it off: its scope and what it covers within the group.
    pub hold: Option<(HoldScope, String)>,
    /// What it goes on without, besides what it went without before.
    pub omitted: Omitted,
    /// The part that it goes on with.
    pub part: Option<i64>,
}

impl SettledRow {
    /// With this outcome, and nothing more to say.
    pub fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            class: None,
            code: None,
            wait: Duration::ZERO,
            not_before: None,
            hold: None,
            omitted: Omitted::NONE,
            part: None,
        }
    }
}

/// How a request ended for the circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitResult {
    /// A conversion was delivered.
    Success,
    /// None was, but the provider spoke.
    Answered,
    /// It failed as a whole, for the moment.
    Transient,
    /// It never reached the provider.
    None,
}

impl CircuitResult {
    fn as_str(self) -> &'static str {
        match self {
            CircuitResult::Success => "success",
            CircuitResult::Answered => "answered",
            CircuitResult::Transient => "transient",
            CircuitResult::None => "none",
        }
    }
}

/// A wait that the provider asked for.
#[derive(Debug, Clone, Copy)]
pub struct Throttle {
    /// Who waits.
    pub scope: ThrottleScope,
    /// How long.
    pub wait: Duration,
}

/// Who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottleScope {
    /// The group alone.
    Group,
    /// Every group of its quota key.
    QuotaKey,
}

/// What happens to the upload slot of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotUse {
    /// Another part of the claim goes on with it.
    Keep,
    /// It is free.
    Free,
}

/// What came of settling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It was taken down.
    Accepted {
        /// How the circuit changed.
        circuit: Option<CircuitChange>,
        /// Whether a hold was opened that was not there before.
        hold_opened: bool,
        /// Conversions by what became of them.
        counts: SettleCounts,
    },
    /// The claim was lost: nothing changed.
    Stale,
}

/// How a circuit changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitChange {
    /// It opened.
    Opened,
    /// It closed.
    Closed,
    /// The circuit of the whole provider opened.
    ProviderOpened,
    /// The circuit of the whole provider closed.
    ProviderClosed,
}

/// Conversions by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SettleCounts {
    /// Ended well.
    pub completed: u64,
    /// Ended badly.
    pub failed: u64,
    /// Go again.
    pub retry: u64,
    /// Wait for a mend.
    pub held: u64,
    /// Taken by a provider that answers later.
    pub submitted: u64,
    /// Given back unstarted.
    pub released: u64,
}

impl Store {
    /// Settles a whole claim in one transaction, or nothing of it where the claim was lost.
    pub async fn settle_claimed_conversions(&self, settlement: &Settlement) -> Result<Settled, StoreError> {
        let rows = &settlement.rows;
        let outcomes: Vec<&str> = rows.iter().map(|row| row.outcome.as_str()).collect();
        let classes: Vec<Option<&str>> = rows.iter().map(|row| row.class.map(Class::as_str)).collect();
        let codes: Vec<Option<&str>> =
            rows.iter().map(|row| row.code.as_ref().map(ErrorCode::as_str)).collect();
        let waits: Vec<i32> = rows.iter().map(|row| seconds(row.wait)).collect();
        let not_before: Vec<Option<Timestamp>> = rows.iter().map(|row| row.not_before).collect();
        let scopes: Vec<Option<&str>> =
            rows.iter().map(|row| row.hold.as_ref().map(|(scope, _)| scope.as_str())).collect();
        let keys: Vec<Option<&str>> =
            rows.iter().map(|row| row.hold.as_ref().map(|(_, key)| key.as_str())).collect();
        // Hardly ever anything: then it is not sent.
        let omits = rows.iter().any(|row| !row.omitted.is_none());
        let omitted: Option<Vec<i16>> = omits.then(|| rows.iter().map(|row| row.omitted.bits()).collect());
        let has_parts = rows.iter().any(|row| row.part.is_some());
        let parts: Option<Vec<Option<i64>>> = has_parts.then(|| rows.iter().map(|row| row.part).collect());
        let attempt = settlement.attempt.as_ref();
        let throttle = settlement.throttle;
        let row = self
            .query_one(
                "select accepted, circuit_change, hold_opened, completed, failed, retry, held, submitted, released \
                 from relay.settle_claimed_conversions($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
                 $15, $16, $17, $18, $19, $20, $21, $22, $23)",
                &[
                    (&settlement.token.0, Type::UUID),
                    (&attempt.map(|end| end.attempt.0), Type::INT8),
                    (&outcomes, Type::TEXT_ARRAY),
                    (&classes, Type::TEXT_ARRAY),
                    (&codes, Type::TEXT_ARRAY),
                    (&waits, Type::INT4_ARRAY),
                    (&not_before, Type::TIMESTAMPTZ_ARRAY),
                    (&scopes, Type::TEXT_ARRAY),
                    (&keys, Type::TEXT_ARRAY),
                    (&omitted, Type::INT2_ARRAY),
                    (&parts, Type::INT8_ARRAY),
                    (&settlement.circuit.as_str(), Type::TEXT),
                    (&settlement.group_hold.as_ref().map(|(scope, _)| scope.as_str()), Type::TEXT),
                    (&settlement.group_hold.as_ref().map(|(_, code)| code.as_str()), Type::TEXT),
                    (&settlement.transport, Type::TEXT),
                    (
                        &throttle.map(|throttle| match throttle.scope {
                            ThrottleScope::Group => "group",
                            ThrottleScope::QuotaKey => "quota_key",
                        }),
                        Type::TEXT,
                    ),
                    (&throttle.map(|throttle| seconds(throttle.wait)), Type::INT4),
                    (&attempt.and_then(|end| end.http_status).map(i32::from), Type::INT4),
                    (&attempt.and_then(|end| end.provider_request_id.as_deref()), Type::TEXT),
                    (&attempt.and_then(|end| end.error_code.as_ref()).map(ErrorCode::as_str), Type::TEXT),
                    (&attempt.and_then(|end| end.error_category).map(Class::as_str), Type::TEXT),
                    (&attempt.map(|end| milliseconds(end.duration)), Type::INT4),
                    (&(settlement.slot == SlotUse::Keep), Type::BOOL),
                ],
            )
            .await?;
        if !row.get::<_, bool>("accepted") {
            return Ok(Settled::Stale);
        }
        let count = |name: &str| u64::try_from(row.get::<_, i32>(name)).unwrap_or(0);
        Ok(Settled::Accepted {
            circuit: match row.get("circuit_change") {
                Some("opened") => Some(CircuitChange::Opened),
                Some("closed") => Some(CircuitChange::Closed),
                Some("provider_opened") => Some(CircuitChange::ProviderOpened),
                Some("provider_closed") => Some(CircuitChange::ProviderClosed),
                _ => None,
            },
            hold_opened: row.get("hold_opened"),
            counts: SettleCounts {
                completed: count("completed"),
                failed: count("failed"),
                retry: count("retry"),
                held: count("held"),
                submitted: count("submitted"),
                released: count("released"),
            },
        })
    }

    /// Closes the ledger row of a request that decided nothing; its claim goes on. False where it was closed before.
    pub async fn close_provider_upload_attempt(&self, end: &AttemptEnd) -> Result<bool, StoreError> {
        let row = self
            .query_one(
                "select closed from relay.close_provider_upload_attempt($1, $2, $3, $4, $5, $6) as closed",
                &[
                    (&end.attempt.0, Type::INT8),
                    (&end.http_status.map(i32::from), Type::INT4),
                    (&end.provider_request_id.as_deref(), Type::TEXT),
                    (&end.error_code.as_ref().map(ErrorCode::as_str), Type::TEXT),
                    (&end.error_category.map(Class::as_str), Type::TEXT),
                    (&milliseconds(end.duration), Type::INT4),
                ],
            )
            .await?;
        Ok(row.get("closed"))
    }
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
