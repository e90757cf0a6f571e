//! Confirmation: reads the receipts of requests that are answered later, until `SUBMITTED` conversions are at their end.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, json};

use crate::delivery::{Confirmed, RunError, Runner};
use crate::domain::{ProviderKey, SiteId};
use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Running, Schedule, Scope,
};
use crate::engine::{Tally, Task, TaskKey, Trigger, Turns, Work};
use crate::store::ReceiptScope;

const DESCRIPTOR: Descriptor = Descriptor {
    key: TaskKey::new("confirm"),
    turns: Turns::Exclusive(482_173),
    schedule: Schedule::Every(Duration::from_secs(30 * 60)),
    lease: Duration::from_secs(60),
    provider: None,
    scope: Scope::BySite,
};

const FIELDS: [&str; 5] = ["provider_key", "site_id", "early_minutes", "scheduled_time", "lockId"];

/// A day: by then a receipt is due anyway.
const MAX_EARLY_MINUTES: u32 = 24 * 60;

/// What confirmation is asked to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// One provider only.
    pub provider: Option<ProviderKey>,
    /// One site only.
    pub site: Option<SiteId>,
    /// Receipts, too, that are due within so long.
    pub early_minutes: u32,
    /// What set it off.
    pub trigger: Trigger,
}

impl Request {
    /// Reads `{"provider_key"?,"site_id"?,"early_minutes"?}`.
    ///
    /// # Errors
    /// Names the field that is wrong and what would be right.
    pub fn parse(mut fields: Fields) -> Result<Self, BadRequest> {
        let request = Self {
            provider: fields.parsed("provider_key")?,
            site: fields.parsed("site_id")?,
            early_minutes: fields.number("early_minutes", 0, MAX_EARLY_MINUTES)?.unwrap_or(0),
            trigger: Trigger::take(&mut fields)?,
        };
        fields.finish(&FIELDS)?;
        Ok(request)
    }
}

/// What confirmation found out.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// Always true: what cannot be done is an error.
    pub ok: bool,
    /// Receipts that were due.
    pub total: u64,
    /// Those that are settled now, whole or row by row.
    pub processed: u64,
    /// Those that are asked for again later.
    pub skipped: u64,
    /// Conversions that ended well by them.
    pub completed: u64,
    /// Conversions that ended badly.
    pub failed: u64,
    /// Conversions that go again, those included whose receipt does not say which of them it means.
    pub retry: u64,
    /// Conversions that wait for a mend.
    pub held: u64,
    /// The first faults, at most 20.
    pub errors: Vec<RunError>,
    /// All of them.
    pub errors_total: u64,
}

/// Confirmation as the registry holds it.
pub fn task() -> Task {
    Task::new(DESCRIPTOR, Map::new(), |context, fields, bounds| {
        Box::pin(async move { run(context, &Request::parse(fields)?, bounds).await?.to_json() })
    })
}

/// Asks for every receipt that is due, until none is left or the bounds say stop.
///
/// # Errors
/// What stopped the run itself: the database, or a vault that does not open.
pub async fn run(context: &Context, request: &Request, bounds: Bounds) -> anyhow::Result<Reply<Answer>> {
    let narrowed = json!({
        "provider_key": request.provider, "site_id": request.site, "early_minutes": request.early_minutes,
    });
    let mut work = Confirming { request, confirmed: Confirmed::default() };
    Ok(match engine::run(context, &DESCRIPTOR, request.trigger, &narrowed, bounds, &mut work).await? {
        Ran::Run(_) => Reply::Answer(answer(&work.confirmed)),
        Ran::Skipped(reason) => Reply::skipped(reason),
    })
}

struct Confirming<'a> {
    request: &'a Request,
    confirmed: Confirmed,
}

impl Work for Confirming<'_> {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        let context = &running.context;
        let runner = Runner::new(
            context.store.clone(),
            Arc::clone(&context.access),
            context.http_timeout,
            running.deadline,
            running.shutdown.clone(),
        );
        let providers = match self.request.provider {
            Some(provider) => vec![provider],
            None => context.registry.iter().map(|adapter| adapter.key()).collect(),
        };
        let early_minutes = i32::try_from(self.request.early_minutes)?;
        let scope = ReceiptScope { site: self.request.site, early_minutes };
        self.confirmed = runner.confirm(running.run, &providers, scope).await?;
        Ok(())
    }

    fn tally(&self) -> Tally {
        let (report, answer) = (&self.confirmed.report, answer(&self.confirmed));
        Tally {
            requests: report.requests,
            http_429: report.http_429,
            // What is due then is due for the next run, too.
            cut_short: false,
            errors: report.errors_total,
            notes: String::new(),
            counters: json!({
                "receipts": answer.total, "settled": answer.processed, "completed": answer.completed,
                "failed": answer.failed, "retry": answer.retry, "held": answer.held, "stale": report.stale,
                "unknown_codes": report.unknown_codes.values().sum::<u64>(),
            }),
        }
    }
}

fn answer(confirmed: &Confirmed) -> Answer {
    let counts = confirmed.report.counts();
    Answer {
        ok: true,
        total: confirmed.total,
        processed: confirmed.settled,
        skipped: confirmed.total.saturating_sub(confirmed.settled),
        completed: confirmed.delivered + counts.completed,
        failed: counts.failed,
        retry: counts.retry,
        held: counts.held,
        errors: confirmed.report.errors.clone(),
        errors_total: confirmed.report.errors_total,
    }
}
