//! Gauges: the figures that dashboards, alarms and the command line read.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::domain::SiteId;

/// The figures of all providers together, of one, or of one group, as of one moment. Times of the oldest are as they
/// were at that moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gauge {
    /// Which provider; `None`: all of them together.
    pub provider_key: Option<String>,
    /// Which group of it; `None`: the provider as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site_id: Option<SiteId>,
    /// When they were taken.
    pub taken_at: Timestamp,
    /// How long ago that is, by the database's clock.
    pub age_seconds: f64,
    /// Groups that they are of.
    pub groups: i32,
    /// Conversions that wait, in groups that are not held.
    pub backlog: i64,
    /// When the first of them was due, and for how long it has been.
    pub oldest_waiting_at: Option<Timestamp>,
    /// See `oldest_waiting_at`.
    pub oldest_waiting_seconds: Option<f64>,
    /// Conversions that expire within 48 hours, wherever they wait.
    pub at_risk: i64,
    /// Conversions that wait for a mend.
    pub held: i64,
    /// Conversions in claims.
    pub processing: i64,
    /// Conversions that a provider took and answers later.
    pub submitted: i64,
    /// When the first of their requests left, and how long ago that was.
    pub oldest_submitted_at: Option<Timestamp>,
    /// See `oldest_submitted_at`.
    pub oldest_submitted_seconds: Option<f64>,
    /// Conversions that were given up on and not redriven.
    pub dead_letters: i64,
    /// Groups that a hold stops.
    pub held_groups: i32,
    /// Groups whose circuit is not closed.
    pub open_circuits: i32,
    /// Groups in which nothing came for three times as long as is usual there.
    pub silent_groups: i32,
    /// Requests so far.
    pub attempts_total: i64,
    /// Conversions so far that were completed.
    pub completed_total: i64,
    /// Conversions so far that failed.
    pub failed_total: i64,
    /// Retries so far.
    pub retry_total: i64,
    /// As `completed_total`, of the last hour; `None` for a group.
    pub completed_last_hour: Option<i64>,
    /// As `failed_total`, of the last hour.
    pub failed_last_hour: Option<i64>,
    /// As `retry_total`, of the last hour.
    pub retry_last_hour: Option<i64>,
    /// Answers of the last hour that came after their claim was lost, as runs told of them when they ended.
    pub stale_outcomes_last_hour: Option<i64>,
    /// Since when the figures of the last hour count, which is later where the first figures were taken later.
    pub last_hour_from: Option<Timestamp>,
    /// The circuit of the group, or of the provider itself.
    pub circuit: Option<String>,
    /// When it is probed next.
    pub next_probe_at: Option<Timestamp>,
    /// Why the group is held, or `SITE_REMOVED`.
    pub hold_code: Option<String>,
    /// When anything was last settled.
    pub last_settled_at: Option<Timestamp>,
    /// When a conversion last came in, to the minute.
    pub last_arrival_at: Option<Timestamp>,
    /// The longest that the group usually is without one.
    pub usual_gap_seconds: Option<f64>,
    /// How well conversions were delivered, 0 to 100; `None` where too little is known.
    pub score: Option<Decimal>,
    /// Which of the figures are estimates, or a least where counting stopped: `backlog`, `at_risk`, `held`,
    /// `submitted`, `dead_letters`.
    pub approximate: Vec<String>,
}

impl Gauge {
    /// Whether a figure of this name is an estimate.
    pub fn is_approximate(&self, figure: &str) -> bool {
        self.approximate.iter().any(|name| name == figure)
    }
}

impl Gauge {
    /// Why the group is held, where that is anything to mend: a site that was removed is no longer held.
    pub fn hold(&self) -> Option<&str> {
        self.hold_code.as_deref().filter(|code| *code != REMOVED)
    }

    /// Whether its site was removed.
    pub fn is_removed(&self) -> bool {
        self.hold_code.as_deref() == Some(REMOVED)
    }
}

/// The hold of a site that was removed.
const REMOVED: &str = "SITE_REMOVED";

impl Store {
    /// Takes the figures anew, with those of the `groups` (0 to 10,000) worst groups of each provider; says how many
    /// rows they have.
    pub async fn take_gauges(&self, groups: i32) -> Result<i32, StoreError> {
        let row = self
            .query_one("select written from relay.take_gauges($1) as written", &[(&groups, Type::INT4)])
            .await?;
        Ok(row.get("written"))
    }

    /// The figures that were taken last: of all providers together, of each, then of at most so many groups of each, the
    /// worst first. Empty where none ever were.
    pub async fn read_gauges(&self, groups: i32) -> Result<Vec<Gauge>, StoreError> {
        let rows = self
            .query(
                "select provider_key, site_id, taken_at, age_seconds, groups, backlog, oldest_waiting_at, \
                 oldest_waiting_seconds, at_risk, held, processing, submitted, oldest_submitted_at, \
                 oldest_submitted_seconds, dead_letters, held_groups, open_circuits, silent_groups, attempts_total, \
                 completed_total, failed_total, retry_total, completed_last_hour, failed_last_hour, retry_last_hour, \
                 stale_outcomes_last_hour, last_hour_from, circuit, next_probe_at, hold_code, last_settled_at, \
                 last_arrival_at, usual_gap_seconds, score, approximate \
                 from relay.read_gauges($1)",
                &[(&groups, Type::INT4)],
            )
            .await?;
        Ok(rows.iter().map(gauge).collect())
    }
}

fn gauge(row: &Row) -> Gauge {
    Gauge {
        provider_key: Some(row.get::<_, String>("provider_key")).filter(|provider| provider != "*"),
        site_id: row.get::<_, Option<Uuid>>("site_id").map(SiteId),
        taken_at: row.get("taken_at"),
        age_seconds: row.get("age_seconds"),
        groups: row.get("groups"),
        backlog: row.get("backlog"),
        oldest_waiting_at: row.get("oldest_waiting_at"),
        oldest_waiting_seconds: row.get("oldest_waiting_seconds"),
        at_risk: row.get("at_risk"),
        held: row.get("held"),
        processing: row.get("processing"),
        submitted: row.get("submitted"),
        oldest_submitted_at: row.get("oldest_submitted_at"),
        oldest_submitted_seconds: row.get("oldest_submitted_seconds"),
        dead_letters: row.get("dead_letters"),
        held_groups: row.get("held_groups"),
        open_circuits: row.get("open_circuits"),
        silent_groups: row.get("silent_groups"),
        attempts_total: row.get("attempts_total"),
        completed_total: row.get("completed_total"),
        failed_total: row.get("failed_total"),
        retry_total: row.get("retry_total"),
        completed_last_hour: row.get("completed_last_hour"),
        failed_last_hour: row.get("failed_last_hour"),
        retry_last_hour: row.get("retry_last_hour"),
        stale_outcomes_last_hour: row.get("stale_outcomes_last_hour"),
        last_hour_from: row.get("last_hour_from"),
        circuit: row.get("circuit"),
        next_probe_at: row.get("next_probe_at"),
        hold_code: row.get("hold_code"),
        last_settled_at: row.get("last_settled_at"),
        last_arrival_at: row.get("last_arrival_at"),
        usual_gap_seconds: row.get("usual_gap_seconds"),
        score: row.get("score"),
        approximate: row.get("approximate"),
    }
}
