//! Erasing: takes people out of all that was taken in, in steps that a crash only delays.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, json};

use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Running, Schedule, Scope,
};
use crate::engine::{Tally, Task, TaskKey, Trigger, Turns, Work};
use crate::providers::Identity;
use crate::store::Erasure;

const DESCRIPTOR: Descriptor = Descriptor {
    key: TaskKey::new("erase"),
    turns: Turns::Exclusive(482_182),
    schedule: Schedule::Every(Duration::from_secs(5 * 60)),
    lease: Duration::from_secs(60),
    provider: None,
    scope: Scope::Whole,
};

const FIELDS: [&str; 2] = ["scheduled_time", "lockId"];

/// Conversions that one step looks at: some tenths of a second.
const ROWS_PER_STEP: i32 = 20_000;

/// What erasing is asked to do; whom, [`ask`] has taken down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request {
    /// What set it off.
    pub trigger: Trigger,
}

impl Request {
    /// Reads a call without fields of its own.
    ///
    /// # Errors
    /// Names the field that is wrong and what would be right.
    pub fn parse(mut fields: Fields) -> Result<Self, BadRequest> {
        let request = Self { trigger: Trigger::take(&mut fields)? };
        fields.finish(&FIELDS)?;
        Ok(request)
    }
}

/// What erasing did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Always true: what cannot be done is an error.
    pub ok: bool,
    /// Conversions that were looked at.
    pub total: u64,
    /// Those that were erased.
    pub processed: u64,
    /// Always 0.
    pub skipped: u64,
    /// Faults; none so far that would not stop the whole.
    pub errors: Vec<String>,
    /// People that were erased altogether.
    pub requests: u64,
    /// False where the deadline came first: the next run goes on from there.
    pub finished: bool,
}

/// Erasing as the registry holds it.
pub fn task() -> Task {
    Task::new(DESCRIPTOR, Map::new(), |context, fields, bounds| {
        Box::pin(async move { run(context, &Request::parse(fields)?, bounds).await?.to_json() })
    })
}

/// Takes down that a person is to be erased; answers the number of the request. Nothing is erased yet.
///
/// # Errors
/// The database's.
pub async fn ask(context: &Context, identity: &Identity) -> anyhow::Result<i64> {
    let hashes: Vec<String> = identity.hashes.iter().cloned().collect();
    let click_hashes: Vec<String> = identity.click_hashes.iter().cloned().collect();
    Ok(context.store.request_erasure(&hashes, &click_hashes).await?)
}

/// What a request found in each table so far; `None` where there is none of this number.
///
/// # Errors
/// The database's.
pub async fn read(context: &Context, erasure_id: i64) -> anyhow::Result<Option<Erasure>> {
    Ok(context.store.read_erasures(Some(erasure_id), 1).await?.pop())
}

/// Goes on with every request, the oldest first, until nothing is left or the deadline is near. How far each is stands in
/// its own row, which every step writes with what it erased.
///
/// # Errors
/// The database's; another run goes on from there.
pub async fn run(context: &Context, request: &Request, bounds: Bounds) -> anyhow::Result<Reply<Answer>> {
    let mut work = Erasing::default();
    Ok(match engine::run(context, &DESCRIPTOR, request.trigger, &json!({}), bounds, &mut work).await? {
        Ran::Run(_) => Reply::Answer(work.answer),
        Ran::Skipped(reason) => Reply::skipped(reason),
    })
}

#[derive(Default)]
struct Erasing {
    answer: Answer,
}

impl Work for Erasing {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        let answer = &mut self.answer;
        while !running.is_over() {
            let Some(step) = running.context.store.erase_person(None, ROWS_PER_STEP).await? else {
                answer.finished = true;
                break;
            };
            answer.total += step.walked;
            answer.processed += step.conversions;
            answer.requests += u64::from(step.finished);
        }
        answer.ok = true;
        Ok(())
    }

    fn tally(&self) -> Tally {
        let answer = &self.answer;
        let counters = json!({
            "total": answer.total, "processed": answer.processed, "requests": answer.requests,
        });
        Tally { counters, ..Tally::default() }
    }
}
