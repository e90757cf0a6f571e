//! Recovery: puts back what crashed runs left, and sends dead letters to work again on request.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tracing::info;

use crate::delivery::Deadline;
use crate::domain::{ConversionId, SiteId};
use crate::engine::{BadRequest, Context, Fields};
use crate::store::{Recovered, Redrive, RunEnd, RunStatus};

const FIELDS: [&str; 4] = ["min_age_minutes", "site_id", "redrive", "scheduled_time"];
const REDRIVE_FIELDS: [&str; 4] = ["code", "site_id", "conversion_ids", "limit"];

/// Minutes that a lapsed claim must be old where the event says nothing.
pub const DEFAULT_MIN_AGE_MINUTES: u32 = 15;

/// The longest that may be asked for: a week.
const MAX_MIN_AGE_MINUTES: u32 = 7 * 24 * 60;

/// Claims that one call takes back: some 100,000 conversions in the worst case, one transaction.
const CLAIMS_PER_CALL: i32 = 50;

/// Dead letters that one event sends to work again at most, and where it names no number.
const REDRIVE_MAX: u32 = 10_000;

/// What recovery is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// How old a lapsed claim must be.
    pub min_age_minutes: u32,
    /// One site only.
    pub site: Option<SiteId>,
    /// Dead letters to send to work again, and how many at most.
    pub redrive: Option<(Redrive, u32)>,
    /// The time of the schedule that asked.
    pub scheduled_time: Option<Timestamp>,
}

impl Request {
    /// Reads `{"min_age_minutes":15,"site_id"?,"redrive"?:{"code"?,"site_id"?,"conversion_ids"?,"limit"?}}`.
    ///
    /// # Errors
    /// Names the field that is wrong and what would be right.
    pub fn parse(mut fields: Fields) -> Result<Self, BadRequest> {
        let min_age_minutes = fields.number("min_age_minutes", 0, MAX_MIN_AGE_MINUTES)?;
        let site = fields.parsed("site_id")?;
        let redrive = match fields.take("redrive") {
            None => None,
            Some(Value::Object(redrive)) => Some(parse_redrive(Fields::new(redrive))?),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                return Err(BadRequest(format!(
                    "redrive must be an object with {}",
                    REDRIVE_FIELDS.join(", ")
                )));
            }
        };
        let scheduled_time = fields.time("scheduled_time")?;
        fields.finish(&FIELDS)?;
        Ok(Self {
            min_age_minutes: min_age_minutes.unwrap_or(DEFAULT_MIN_AGE_MINUTES),
            site,
            redrive,
            scheduled_time,
        })
    }
}

fn parse_redrive(mut fields: Fields) -> Result<(Redrive, u32), BadRequest> {
    let conversions = match fields.take("conversion_ids") {
        None => None,
        Some(ids) => {
            let ids: Option<Vec<i64>> = serde_json::from_value(ids).ok();
            let wrong = || BadRequest("redrive.conversion_ids must be a list of conversion ids".to_owned());
            Some(ids.ok_or_else(wrong)?.into_iter().map(ConversionId).collect())
        }
    };
    let redrive = Redrive { site: fields.parsed("site_id")?, code: fields.text("code")?, conversions };
    let limit = fields.number("limit", 1, REDRIVE_MAX)?.unwrap_or(REDRIVE_MAX);
    fields.finish(&REDRIVE_FIELDS)?;
    if redrive == Redrive::default() {
        return Err(BadRequest("redrive must name a code, a site_id or conversion_ids".to_owned()));
    }
    Ok((redrive, limit))
}

/// What recovery put right.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// Always true: what cannot be done is an error.
    pub ok: bool,
    /// Conversions of lapsed claims: `requeued` and `exhausted` together.
    pub recovered: u64,
    /// Those that go again.
    pub requeued: u64,
    /// Those that were lost too often and ended.
    pub exhausted: u64,
    /// Ledger rows closed as ambiguous.
    pub attempts_settled: u64,
    /// Upload slots of the dead.
    pub leases_freed: u64,
    /// Dead letters that go again.
    pub redriven: u64,
    /// As it was asked for.
    pub min_age_minutes: u32,
    /// Faults; none so far that would not stop the whole.
    pub errors: Vec<String>,
}

/// Puts back what crashed runs left, until nothing is left or the deadline is near.
///
/// # Errors
/// The database's.
pub async fn run(context: &Context, request: &Request, deadline: Deadline) -> anyhow::Result<Answer> {
    let store = &context.store;
    let run = store.start_task_run("recover", request.scheduled_time).await?;
    let min_age = i32::try_from(request.min_age_minutes)?;
    let mut sum = Recovered::default();
    loop {
        let part = store.recover_offline_conversions(min_age, request.site, CLAIMS_PER_CALL).await?;
        sum.claims += part.claims;
        sum.requeued += part.requeued;
        sum.exhausted += part.exhausted;
        sum.attempts_settled += part.attempts_settled;
        sum.leases_freed += part.leases_freed;
        if part.claims == 0 && part.attempts_settled == 0 || deadline.is_near() {
            break;
        }
    }
    let redriven = match &request.redrive {
        Some((redrive, limit)) => store.redrive_dead_letters(redrive, i32::try_from(*limit)?).await?,
        None => 0,
    };
    let answer = Answer {
        ok: true,
        recovered: sum.requeued + sum.exhausted,
        requeued: sum.requeued,
        exhausted: sum.exhausted,
        attempts_settled: sum.attempts_settled,
        leases_freed: sum.leases_freed,
        redriven,
        min_age_minutes: request.min_age_minutes,
        errors: Vec::new(),
    };
    let counters = json!({
        "claims": sum.claims, "requeued": sum.requeued, "exhausted": sum.exhausted,
        "attempts_settled": sum.attempts_settled, "leases_freed": sum.leases_freed, "redriven": redriven,
    });
    let notes = String::new();
    let end = RunEnd { status: RunStatus::Done, requests: 0, http_429: 0, errors: 0, notes, counters };
    store.finish_task_run(run, &end).await?;
    info!(
        run.id = %run, requeued = sum.requeued, exhausted = sum.exhausted, attempts_settled = sum.attempts_settled,
        leases_freed = sum.leases_freed, redriven, event = "run_complete",
        "offline_conversions: recovery complete, {} put back", sum.requeued
    );
    Ok(answer)
}
