//! Keeping partitions: makes those of the weeks to come.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, json};
use tracing::error;

use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Running, Schedule, Scope,
};
use crate::engine::{Tally, Task, TaskKey, Trigger, Turns, Work};

const DESCRIPTOR: Descriptor = Descriptor {
    key: TaskKey::new("keep-partitions"),
    turns: Turns::Exclusive(482_177),
    schedule: Schedule::Daily { hour: 2 },
    lease: Duration::from_secs(60),
    provider: None,
    scope: Scope::Whole,
};

const FIELDS: [&str; 3] = ["weeks_ahead", "scheduled_time", "lockId"];

/// Partitions are made this far ahead: two months in which nobody need notice that nobody makes them.
pub const DEFAULT_WEEKS_AHEAD: u32 = 8;

/// Two years: each week is three tables.
const MAX_WEEKS_AHEAD: u32 = 104;

/// With less than this someone has to look: every run makes more where it can.
const LEAST_WEEKS_AHEAD: i32 = 4;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// How far ahead.
    pub weeks_ahead: u32,
    /// What set it off.
    pub trigger: Trigger,
}

impl Request {
    /// Reads `{"weeks_ahead":8}`, which may be missing.
    ///
    /// # Errors
    /// Names the field that is wrong and what would be right.
    pub fn parse(mut fields: Fields) -> Result<Self, BadRequest> {
        let weeks = fields.number("weeks_ahead", 1, MAX_WEEKS_AHEAD)?;
        let trigger = Trigger::take(&mut fields)?;
        fields.finish(&FIELDS)?;
        Ok(Self { weeks_ahead: weeks.unwrap_or(DEFAULT_WEEKS_AHEAD), trigger })
    }
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// False where too few weeks lie ahead.
    pub ok: bool,
    /// Weeks that were asked for, this one included.
    pub total: u64,
    /// Partitions that were made, three to a week.
    pub processed: u64,
    /// Weeks that are still missing: a lock was not to be had.
    pub skipped: u64,
    /// What someone has to look at.
    pub errors: Vec<String>,
    /// Weeks after this one that have their partitions now.
    pub weeks_ahead: i32,
}

/// Keeping partitions as the registry holds it.
pub fn task() -> Task {
    Task::new(DESCRIPTOR, Map::new(), |context, fields, bounds| {
        Box::pin(async move { run(context, &Request::parse(fields)?, bounds).await?.to_json() })
    })
}

/// Makes the partitions that are missing.
///
/// # Errors
/// The database's.
pub async fn run(context: &Context, request: &Request, bounds: Bounds) -> anyhow::Result<Reply<Answer>> {
    let narrowed = json!({ "weeks_ahead": request.weeks_ahead });
    let mut work = Keeping { weeks: i32::try_from(request.weeks_ahead)?, made: 0, ahead: 0 };
    Ok(match engine::run(context, &DESCRIPTOR, request.trigger, &narrowed, bounds, &mut work).await? {
        Ran::Run(_) => Reply::Answer(work.answer()),
        Ran::Skipped(reason) => Reply::skipped(reason),
    })
}

struct Keeping {
    weeks: i32,
    made: i32,
    ahead: i32,
}

impl Work for Keeping {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        let store = &running.context.store;
        self.made += store.keep_partitions(self.weeks).await?;
        self.ahead = store.count_weeks_ahead().await?;
        if let Some(fault) = self.fault() {
            error!(weeks_ahead = self.ahead, "{fault}: something keeps their tables locked");
        }
        Ok(())
    }

    fn tally(&self) -> Tally {
        let fault = self.fault();
        Tally {
            errors: u64::from(fault.is_some()),
            notes: fault.unwrap_or_default(),
            counters: json!({ "partitions": self.made, "weeks_ahead": self.ahead, "missing": self.missing() }),
            ..Tally::default()
        }
    }
}

impl Keeping {
    fn missing(&self) -> u64 {
        u64::try_from(self.weeks - self.ahead).unwrap_or(0)
    }

    fn fault(&self) -> Option<String> {
        let (ahead, weeks) = (self.ahead, self.weeks);
        (ahead < LEAST_WEEKS_AHEAD.min(weeks))
            .then(|| format!("partitions are there for {ahead} weeks after this one, not for {weeks}"))
    }

    fn answer(&self) -> Answer {
        let errors: Vec<_> = self.fault().into_iter().collect();
        Answer {
            ok: errors.is_empty(),
            total: u64::try_from(self.weeks).unwrap_or(0) + 1,
            processed: u64::try_from(self.made).unwrap_or(0),
            skipped: self.missing(),
            errors,
            weeks_ahead: self.ahead,
        }
    }
}
