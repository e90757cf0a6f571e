//! The audit: proves every night that every conversion is in exactly one place, and raises the alarm where one is not.
//!
//! It walks in slices, the newest first: conversions, then what waits, then keys. A history that is longer than a night is proven
//! over some: each begins with what came since the one before, and goes on where that one ended.

use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tracing::error;

use crate::domain::ConversionId;
use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Running, Schedule, Scope,
};
use crate::engine::{Tally, Task, TaskKey, Trigger, Turns, Work};
use crate::store::{Accounts, AuditSlice, AuditedPart, Store, StoreError};

const DESCRIPTOR: Descriptor = Descriptor {
    key: TaskKey::new("audit"),
    turns: Turns::Exclusive(482_179),
    schedule: Schedule::Daily { hour: 2 },
    lease: Duration::from_secs(300),
    provider: None,
    scope: Scope::Whole,
};

const FIELDS: [&str; 2] = ["scheduled_time", "lockId"];

/// Faults of a part that are told one by one, and of a run; the rest is counted.
const LISTED: i32 = 100;

/// Conversions, or keys, that one call walks through: a second of work where nothing of it is in memory.
const SLICE: i32 = 20_000;

/// A fault is believed when it is seen so often in a row: a week that is dropped while it is read looks like one.
const LOOKS: u32 = 3;

/// The form of [`Walk`]: what another one wrote is begun anew.
const FORM: u32 = 1;

/// What the audit is asked to do.
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

/// What the audit found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Answer {
    /// Whether the accounts add up.
    pub ok: bool,
    /// Conversions that were looked at: all that retention left, unless the night was too short.
    pub total: u64,
    /// Those that are where they should be.
    pub processed: u64,
    /// Always 0.
    pub skipped: u64,
    /// The first faults: what is wrong, and with which conversion.
    pub errors: Vec<String>,
    /// All of them.
    pub errors_total: u64,
    /// Whether with this run all conversions and keys are proven. Else the next one goes on, after what came until then.
    pub finished: bool,
}

/// How far the proof of the whole has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Walk {
    form: u32,
    /// What has a smaller id is proven, or in a stretch that is left. Nothing is, at the very beginning.
    up_to: Option<i64>,
    /// What is left of the conversions, the newest last.
    left: Vec<Stretch>,
    /// What waits is proven up to here, and at the end altogether.
    ready: Place,
    /// And so are keys.
    keys: Place,
}

/// Conversions from `since` on, and before `before`; without bounds: from the oldest, to the newest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stretch {
    before: Option<i64>,
    since: Option<i64>,
}

/// How far a walk through a table has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    #[default]
    Beginning,
    After(Value),
    End,
}

impl Place {
    fn after(&self) -> Option<&Value> {
        match self {
            Self::After(place) => Some(place),
            Self::Beginning | Self::End => None,
        }
    }
}

/// The audit as the registry holds it.
pub fn task() -> Task {
    Task::new(DESCRIPTOR, Map::new(), |context, fields, bounds| {
        Box::pin(async move { run(context, &Request::parse(fields)?, bounds).await?.to_json() })
    })
}

/// Proves the accounts. Faults are counted as errors of the run and logged as `audit_fault`; the run itself is done.
///
/// # Errors
/// The database's.
pub async fn run(context: &Context, request: &Request, bounds: Bounds) -> anyhow::Result<Reply<Answer>> {
    let mut work = Auditing::default();
    Ok(match engine::run(context, &DESCRIPTOR, request.trigger, &json!({}), bounds, &mut work).await? {
        Ran::Run(_) => Reply::Answer(work.answer),
        Ran::Skipped(reason) => Reply::skipped(reason),
    })
}

#[derive(Default)]
struct Auditing {
    walk: Option<Walk>,
    /// Whether this run has proven what came since the one before.
    is_recent_proven: bool,
    accounts: Accounts,
    answer: Answer,
}

impl Work for Auditing {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        let mut walk = self.walk.take().unwrap_or_else(|| begin(running.checkpoint.as_ref()));
        let walked = self.go_on(running, &mut walk).await;
        self.walk = Some(walk);
        self.answer = Answer { finished: self.answer.finished, ..answer(&self.accounts) };
        walked?;
        // Sums that differ without a fault of one conversion would be a fault of the audit itself.
        if self.accounts.faults.is_empty() && !self.accounts.balance() {
            error!(event = "audit_fault", fault = "the sums differ", "the accounts do not add up");
        }
        Ok(())
    }

    fn tally(&self) -> Tally {
        Tally {
            errors: self.answer.errors_total,
            notes: self.answer.errors.first().cloned().unwrap_or_default(),
            counters: json!({
                "total": self.answer.total, "faults": self.answer.errors_total, "finished": self.answer.finished,
            }),
            // A night that is too short for the whole history has done its part, if that was all that is new.
            cut_short: !self.is_recent_proven,
            ..Tally::default()
        }
    }
}

impl Auditing {
    async fn go_on(&mut self, running: &Running, walk: &mut Walk) -> anyhow::Result<()> {
        let store = &running.context.store;
        while let Some(stretch) = walk.left.last().cloned() {
            if running.is_over() {
                return Ok(());
            }
            let slice = look(store, &stretch).await?;
            if stretch.before.is_none() {
                walk.up_to = walk.up_to.max(Some(slice.settled_before.0));
            }
            match slice.reached {
                Some(reached) => walk.left.last_mut().expect("it was there").before = Some(reached.0),
                None => _ = walk.left.pop(),
            }
            self.is_recent_proven |= slice.reached.is_none();
            self.add(slice.accounts);
            save(running, walk).await?;
        }
        self.is_recent_proven = true;
        while walk.ready != Place::End {
            if running.is_over() {
                return Ok(());
            }
            let part = look_again(|| store.audit_ready(walk.ready.after(), SLICE, LISTED)).await?;
            walk.ready = part.next_after.map_or(Place::End, Place::After);
            self.add(part.found);
            save(running, walk).await?;
        }
        while walk.keys != Place::End {
            if running.is_over() {
                return Ok(());
            }
            let part = look_again(|| store.audit_keys(walk.keys.after(), SLICE, LISTED)).await?;
            walk.keys = part.next_after.map_or(Place::End, Place::After);
            self.add(part.found);
            save(running, walk).await?;
        }
        self.answer.finished = true;
        running.save_checkpoint(None).await?;
        Ok(())
    }

    fn add(&mut self, found: Accounts) {
        for fault in &found.faults {
            error!(
                event = "audit_fault", conversion.id = %fault.conversion_id, fault = fault.fault,
                detail = fault.detail, "the accounts do not add up"
            );
        }
        self.accounts.add(found, LISTED.unsigned_abs() as usize);
    }
}

/// The walk that was begun and what came since; else, or where another version wrote it down, all of it.
fn begin(checkpoint: Option<&Value>) -> Walk {
    let known = checkpoint.and_then(|checkpoint| serde_json::from_value::<Walk>(checkpoint.clone()).ok());
    let known = known.filter(|walk| walk.form == FORM && walk.up_to.is_some());
    let mut walk = known.unwrap_or_else(|| Walk { form: FORM, ..Walk::default() });
    walk.left.push(Stretch { before: None, since: walk.up_to });
    walk
}

/// One slice of a stretch; where it has a fault, as it is after another look.
async fn look(store: &Store, stretch: &Stretch) -> Result<AuditSlice, StoreError> {
    let (before, since) = (stretch.before.map(ConversionId), stretch.since.map(ConversionId));
    let mut slice = store.audit_slice(before, since, SLICE, LISTED).await?;
    for _ in 1..LOOKS {
        if slice.accounts.faults_total == 0 {
            break;
        }
        slice = store.audit_slice(before, since, SLICE, LISTED).await?;
    }
    Ok(slice)
}

/// One part of a table; where it has a fault, as it is after another look.
async fn look_again<F>(mut ask: impl FnMut() -> F) -> Result<AuditedPart, StoreError>
where
    F: Future<Output = Result<AuditedPart, StoreError>>,
{
    let mut part = ask().await?;
    for _ in 1..LOOKS {
        if part.found.faults_total == 0 {
            break;
        }
        part = ask().await?;
    }
    Ok(part)
}

async fn save(running: &Running, walk: &Walk) -> anyhow::Result<()> {
    Ok(running.save_checkpoint(Some(&serde_json::to_value(walk)?)).await?)
}

/// The proof of accounting of everything, slice by slice; of the faults the first `listed`.
///
/// # Errors
/// The database's.
pub async fn prove(store: &Store, listed: usize) -> Result<Accounts, StoreError> {
    let (mut all, mut stretch) = (Accounts::default(), Stretch::default());
    loop {
        let slice = look(store, &stretch).await?;
        all.add(slice.accounts, listed);
        match slice.reached {
            Some(reached) => stretch.before = Some(reached.0),
            None => break,
        }
    }
    let mut after = None;
    loop {
        let part = look_again(|| store.audit_ready(after.as_ref(), SLICE, LISTED)).await?;
        all.add(part.found, listed);
        after = part.next_after;
        if after.is_none() {
            break;
        }
    }
    loop {
        let part = look_again(|| store.audit_keys(after.as_ref(), SLICE, LISTED)).await?;
        all.add(part.found, listed);
        after = part.next_after;
        if after.is_none() {
            return Ok(all);
        }
    }
}

fn answer(accounts: &Accounts) -> Answer {
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    let mut errors: Vec<String> = accounts
        .faults
        .iter()
        .map(|fault| format!("{} (conversion {})", fault.fault, fault.conversion_id))
        .collect();
    if !accounts.balance() {
        errors.push("the sums differ".to_owned());
    }
    let errors_total = count(accounts.faults_total) + u64::from(!accounts.balance());
    Answer {
        ok: errors_total == 0,
        total: count(accounts.keys),
        processed: count(accounts.keys).saturating_sub(errors_total),
        skipped: 0,
        errors,
        errors_total,
        finished: false,
    }
}
