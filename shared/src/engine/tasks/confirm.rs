//! Confirmation: reads the receipts of requests that are answered later, until `SUBMITTED` conversions are at their end.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::delivery::{Confirmed, Deadline, RunError, Runner};
use crate::domain::{ProviderKey, SiteId};
use crate::engine::{BadRequest, Context, Fields};
use crate::store::{ReceiptScope, RunEnd, RunStatus};

const FIELDS: [&str; 4] = ["provider_key", "site_id", "early_minutes", "scheduled_time"];

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
    /// The time of the schedule that asked.
    pub scheduled_time: Option<Timestamp>,
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
            scheduled_time: fields.time("scheduled_time")?,
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

/// Asks for every receipt that is due, until none is left or `deadline` or `shutdown` says stop.
///
/// # Errors
/// What stopped the run itself: the database, or a vault that does not open.
pub async fn run(
    context: &Context,
    request: &Request,
    deadline: Deadline,
    shutdown: CancellationToken,
) -> anyhow::Result<Answer> {
    let store = &context.store;
    let run = store.start_task_run("confirm", request.scheduled_time).await?;
    let access = Arc::clone(&context.access);
    let runner = Runner::new(store.clone(), access, context.http_timeout, deadline, shutdown);
    let providers = match request.provider {
        Some(provider) => vec![provider],
        None => context.registry.iter().map(|adapter| adapter.key()).collect(),
    };
    let scope = ReceiptScope { site: request.site, early_minutes: i32::try_from(request.early_minutes)? };
    match runner.confirm(run, &providers, scope).await {
        Ok(confirmed) => {
            let answer = answer(&confirmed);
            store.finish_task_run(run, &end(RunStatus::Done, &confirmed, &answer, String::new())).await?;
            info!(
                run.id = %run, receipts = answer.total, settled = answer.processed, success = answer.completed,
                failure = answer.failed, retry = answer.retry, held = answer.held, errors = answer.errors_total,
                event = "run_complete",
                "offline_conversions: {} receipts read, {} settled", answer.total, answer.processed
            );
            Ok(answer)
        }
        Err(failure) => {
            let nothing = Confirmed::default();
            let end = end(RunStatus::Error, &nothing, &answer(&nothing), format!("{failure:#}"));
            // The history is told where it can be; the failure itself goes to the caller.
            if let Err(unwritten) = store.finish_task_run(run, &end).await {
                error!(run.id = %run, error = format!("{unwritten:#}"), "the run's end could not be written down");
            }
            Err(failure)
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

fn end(status: RunStatus, confirmed: &Confirmed, answer: &Answer, notes: String) -> RunEnd {
    RunEnd {
        status,
        requests: confirmed.report.requests,
        http_429: confirmed.report.http_429,
        errors: confirmed.report.errors_total,
        notes,
        counters: json!({
            "receipts": answer.total, "settled": answer.processed, "completed": answer.completed,
            "failed": answer.failed, "retry": answer.retry, "held": answer.held,
            "stale": confirmed.report.stale,
        }),
    }
}
