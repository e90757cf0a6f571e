//! Scores: how well each group was delivered, from days that are counted once.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, json};

use crate::domain::SiteId;
use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Running, Schedule, Scope,
};
use crate::engine::{Tally, Task, TaskKey, Trigger, Turns, Work};

const DESCRIPTOR: Descriptor = Descriptor {
    key: TaskKey::new("recompute-scores"),
    turns: Turns::Exclusive(482_175),
    schedule: Schedule::Daily { hour: 2 },
    lease: Duration::from_secs(120),
    provider: None,
    scope: Scope::BySite,
};

const FIELDS: [&str; 3] = ["site_id", "scheduled_time", "lockId"];

/// What scoring is asked to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request {
    /// The scores of one site only; days are counted for all.
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

/// What scoring did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Answer {
    /// Always true: what cannot be done is an error.
    pub ok: bool,
    /// Groups that were looked at.
    pub total: u64,
    /// Groups that have a score now.
    pub processed: u64,
    /// Groups of which too little is known for one.
    pub skipped: u64,
    /// Faults; none so far that would not stop the whole.
    pub errors: Vec<String>,
    /// Days that were counted: one each night, and those that nights have missed.
    pub days: u64,
    /// Days of the window that the deadline came before: the next run goes on from there.
    pub days_left: u64,
    /// Days that a score speaks of.
    pub window_days: u32,
}

/// Scoring as the registry holds it.
pub fn task() -> Task {
    Task::new(DESCRIPTOR, Map::new(), |context, fields, bounds| {
        Box::pin(async move { run(context, &Request::parse(fields)?, bounds).await?.to_json() })
    })
}

/// Counts the days that are over and were not counted, and writes every group's score.
///
/// # Errors
/// The database's.
pub async fn run(context: &Context, request: &Request, bounds: Bounds) -> anyhow::Result<Reply<Answer>> {
    let narrowed = json!({ "site_id": request.site });
    let window_days = context.settings.retention.score_window_days;
    let mut work = Scoring { site: request.site, answer: Answer { window_days, ..Answer::default() } };
    Ok(match engine::run(context, &DESCRIPTOR, request.trigger, &narrowed, bounds, &mut work).await? {
        Ran::Run(_) => Reply::Answer(work.answer),
        Ran::Skipped(reason) => Reply::skipped(reason),
    })
}

struct Scoring {
    site: Option<SiteId>,
    answer: Answer,
}

impl Work for Scoring {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        let (store, answer) = (&running.context.store, &mut self.answer);
        let window = i32::try_from(answer.window_days)?;
        while !running.is_over() {
            let Some(day) = store.tally_hours(window).await? else { break };
            answer.days += u64::from(day.hours_left == 0);
            answer.days_left = day.days_left + u64::from(day.hours_left > 0);
        }
        let scored = store.recompute_scores(window, self.site).await?;
        answer.ok = true;
        answer.total = scored.groups;
        answer.processed = scored.scored;
        answer.skipped = scored.groups - scored.scored;
        Ok(())
    }

    fn tally(&self) -> Tally {
        let answer = &self.answer;
        let counters = json!({
            "total": answer.total, "processed": answer.processed, "skipped": answer.skipped, "days": answer.days,
            "days_left": answer.days_left,
        });
        Tally { counters, cut_short: answer.days_left > 0, ..Tally::default() }
    }
}
