//! Expiry: ends what is past its time wherever it waits, puts first what comes near its end, and ends what came back for
//! sites that were removed.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::domain::SiteId;
use crate::engine::hands::ROWS_PER_CALL as SWEPT_PER_CALL;
use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Running, Schedule, Scope,
};
use crate::engine::{Tally, Task, TaskKey, Trigger, Turns, Work};
use crate::store::ExpiryBand;

const DESCRIPTOR: Descriptor = Descriptor {
    key: TaskKey::new("expire"),
    turns: Turns::Exclusive(482_174),
    schedule: Schedule::Every(Duration::from_secs(5 * 60)),
    lease: Duration::from_secs(60),
    provider: None,
    scope: Scope::BySite,
};

const FIELDS: [&str; 3] = ["site_id", "scheduled_time", "lockId"];

/// Rows that one call looks at: some tenths of a second.
const ROWS_PER_CALL: i32 = 50_000;

/// Rows of the walk through all that waits, in one run: 57 million come round in a day, and each need be met once in two
/// to be put first in time.
const ROWS_PER_SLICE: i32 = 200_000;

/// Calls that a sweep over removed sites makes in one run; what a claim has at this moment the next run finds.
const SWEEPS_MAX: u32 = 100;

/// What expiry is asked to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request {
    /// One site only, and all that waits for it.
    pub site: Option<SiteId>,
    /// What set it off.
    pub trigger: Trigger,
}

impl Request {
    /// Reads `{"site_id"?}`.
    ///
    /// # Errors
    /// Names the field that is wrong and what would be right.
    pub fn parse(mut fields: Fields) -> Result<Self, BadRequest> {
        let request = Self { site: fields.parsed("site_id")?, trigger: Trigger::take(&mut fields)? };
        fields.finish(&FIELDS)?;
        Ok(request)
    }
}

/// What expiry did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Answer {
    /// Always true: what cannot be done is an error.
    pub ok: bool,
    /// Rows that were looked at.
    pub total: u64,
    /// Conversions that ended: `expired` and `cancelled`.
    pub processed: u64,
    /// Always 0: nothing is passed over but what a claim has, which ends it itself.
    pub skipped: u64,
    /// Faults; none so far that would not stop the whole.
    pub errors: Vec<String>,
    /// Conversions whose time was over.
    pub expired: u64,
    /// Conversions that were put first, for they expire within 48 hours.
    pub hastened: u64,
    /// Conversions of sites that were removed.
    pub cancelled: u64,
    /// False where the deadline came first: the next run goes on from there.
    pub finished: bool,
}

/// Expiry as the registry holds it.
pub fn task() -> Task {
    Task::new(DESCRIPTOR, Map::new(), |context, fields, bounds| {
        Box::pin(async move { run(context, &Request::parse(fields)?, bounds).await?.to_json() })
    })
}

/// Ends what is past its time. All that is near its end is looked at in each run; the rest comes by in slices.
///
/// # Errors
/// The database's.
pub async fn run(context: &Context, request: &Request, bounds: Bounds) -> anyhow::Result<Reply<Answer>> {
    let narrowed = json!({ "site_id": request.site });
    let mut work = Expiring { site: request.site, answer: Answer::default() };
    Ok(match engine::run(context, &DESCRIPTOR, request.trigger, &narrowed, bounds, &mut work).await? {
        Ran::Run(_) => Reply::Answer(work.answer),
        Ran::Skipped(reason) => Reply::skipped(reason),
    })
}

struct Expiring {
    site: Option<SiteId>,
    answer: Answer,
}

impl Work for Expiring {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        self.sweep(running).await?;
        // A run that was cut short left its place behind; one site's has none to leave.
        let place = running.checkpoint.clone().filter(|_| self.site.is_none());
        let near = self.walk(running, ExpiryBand::Near, place).await?;
        self.answer.finished = match self.site {
            Some(_) => near && self.walk(running, ExpiryBand::Far, None).await?,
            None => {
                let slice = running.context.store.expire_conversions(ROWS_PER_SLICE).await?;
                self.count(slice.examined, slice.expired, slice.hastened);
                near
            }
        };
        self.answer.ok = true;
        Ok(())
    }

    fn tally(&self) -> Tally {
        let answer = &self.answer;
        let counters = json!({
            "examined": answer.total, "expired": answer.expired, "hastened": answer.hastened,
            "cancelled": answer.cancelled, "failed": answer.processed,
        });
        Tally { counters, ..Tally::default() }
    }
}

impl Expiring {
    async fn sweep(&mut self, running: &Running) -> anyhow::Result<()> {
        for _ in 0..SWEEPS_MAX {
            let swept = running.context.store.sweep_removed_sites(self.site, SWEPT_PER_CALL).await?;
            self.answer.cancelled += swept.cancelled;
            self.answer.processed += swept.cancelled;
            if swept.finished || swept.cancelled == 0 || running.is_over() {
                break;
            }
        }
        Ok(())
    }

    /// Walks through a band; whether it came to the end.
    async fn walk(
        &mut self,
        running: &Running,
        band: ExpiryBand,
        mut place: Option<Value>,
    ) -> anyhow::Result<bool> {
        let store = &running.context.store;
        loop {
            let step =
                store.expire_waiting_conversions(self.site, band, place.as_ref(), ROWS_PER_CALL).await?;
            self.count(step.examined, step.expired, step.hastened);
            place = step.next_after;
            let is_over = place.is_none() || running.is_over();
            if self.site.is_none() && (is_over && place.is_some() || running.checkpoint.is_some()) {
                running.save_checkpoint(place.as_ref()).await?;
            }
            if is_over {
                return Ok(place.is_none());
            }
        }
    }

    fn count(&mut self, examined: u64, expired: u64, hastened: u64) {
        self.answer.total += examined;
        self.answer.expired += expired;
        self.answer.processed += expired;
        self.answer.hastened += hastened;
    }
}
