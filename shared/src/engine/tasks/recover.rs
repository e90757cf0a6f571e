//! Recovery: puts back what crashed runs left, and sends dead letters to work again on request.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::domain::{ConversionId, SiteId};
use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Running, Schedule, Scope,
};
use crate::engine::{Tally, Task, TaskKey, Trigger, Turns, Work, whole};
use crate::store::{Recovered, Redrive};

const DESCRIPTOR: Descriptor = Descriptor {
    key: TaskKey::new("recover"),
    turns: Turns::Exclusive(482_172),
    schedule: Schedule::Every(Duration::from_secs(30 * 60)),
    lease: Duration::from_secs(60),
    provider: None,
    scope: Scope::BySite,
};

const FIELDS: [&str; 5] = ["min_age_minutes", "site_id", "redrive", "scheduled_time", "lockId"];
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
    /// What set it off.
    pub trigger: Trigger,
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
        let trigger = Trigger::take(&mut fields)?;
        fields.finish(&FIELDS)?;
        Ok(Self {
            min_age_minutes: min_age_minutes.unwrap_or(DEFAULT_MIN_AGE_MINUTES),
            site,
            redrive,
            trigger,
        })
    }
}

fn parse_redrive(mut fields: Fields) -> Result<(Redrive, u32), BadRequest> {
    let conversions = match fields.take("conversion_ids") {
        None => None,
        Some(ids) => {
            let id = |id: &Value| id.as_number().and_then(whole);
            let ids = ids.as_array().and_then(|ids| ids.iter().map(id).collect::<Option<Vec<_>>>());
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

/// Recovery as the registry holds it.
pub fn task() -> Task {
    Task::new(DESCRIPTOR, Map::new(), |context, fields, bounds| {
        Box::pin(async move { run(context, &Request::parse(fields)?, bounds).await?.to_json() })
    })
}

/// Puts back what crashed runs left, until nothing is left or the deadline is near.
///
/// # Errors
/// The database's.
pub async fn run(context: &Context, request: &Request, bounds: Bounds) -> anyhow::Result<Reply<Answer>> {
    let narrowed = json!({
        "min_age_minutes": request.min_age_minutes, "site_id": request.site,
        "redrive": request.redrive.as_ref().map(digest),
    });
    let redrive = request.redrive.clone();
    let mut work = Recovering { request, redrive, sum: Recovered::default(), redriven: 0 };
    Ok(match engine::run(context, &DESCRIPTOR, request.trigger, &narrowed, bounds, &mut work).await? {
        Ran::Run(_) => Reply::Answer(work.answer()),
        Ran::Skipped(reason) => Reply::skipped(reason),
    })
}

/// Tells one redrive from another in few letters: it may name ten thousand conversions.
fn digest(redrive: &(Redrive, u32)) -> String {
    let digest = Sha256::digest(format!("{redrive:?}"));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

struct Recovering<'a> {
    request: &'a Request,
    /// What is left to redrive.
    redrive: Option<(Redrive, u32)>,
    sum: Recovered,
    redriven: u64,
}

impl Work for Recovering<'_> {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        let store = &running.context.store;
        let min_age = i32::try_from(self.request.min_age_minutes)?;
        loop {
            let part = store.recover_offline_conversions(min_age, self.request.site, CLAIMS_PER_CALL).await?;
            self.sum.claims += part.claims;
            self.sum.requeued += part.requeued;
            self.sum.exhausted += part.exhausted;
            self.sum.attempts_settled += part.attempts_settled;
            self.sum.leases_freed += part.leases_freed;
            if part.claims == 0 && part.attempts_settled == 0 || running.is_over() {
                break;
            }
        }
        // Once, also where what comes after it is tried again.
        if let Some((redrive, limit)) = self.redrive.take() {
            self.redriven = store.redrive_dead_letters(&redrive, i32::try_from(limit)?).await?;
        }
        store.close_lost_runs(LOST_RUN_HOURS, LOST_RUNS_PER_CALL).await?;
        Ok(())
    }

    fn tally(&self) -> Tally {
        let counters = json!({
            "claims": self.sum.claims, "requeued": self.sum.requeued, "exhausted": self.sum.exhausted,
            "attempts_settled": self.sum.attempts_settled, "leases_freed": self.sum.leases_freed,
            "redriven": self.redriven,
        });
        Tally { counters, ..Tally::default() }
    }
}

impl Recovering<'_> {
    fn answer(&self) -> Answer {
        Answer {
            ok: true,
            recovered: self.sum.requeued + self.sum.exhausted,
            requeued: self.sum.requeued,
            exhausted: self.sum.exhausted,
            attempts_settled: self.sum.attempts_settled,
            leases_freed: self.sum.leases_freed,
            redriven: self.redriven,
            min_age_minutes: self.request.min_age_minutes,
            errors: Vec::new(),
        }
    }
}

/// A run that has not ended after so long, and renews no lock, has no program any more: none may be longer than a day.
const LOST_RUN_HOURS: i32 = 25;

/// Runs that are closed so in one call: a crash loop of a night.
const LOST_RUNS_PER_CALL: i32 = 1_000;
