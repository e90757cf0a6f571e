//! The audit: proves every night that every conversion is in exactly one place, and raises the alarm where one is not.
//!
//! It walks in slices, the newest first. A history that is longer than a night is proven over some: each begins with what came
//! since the one before, and goes on where that one ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tracing::error;

use crate::domain::ConversionId;
use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Running, Schedule, Scope,
};
use crate::engine::{Tally, Task, TaskKey, Trigger, Turns, Work};
use crate::store::{Accounts, Store, StoreError};

const DESCRIPTOR: Descriptor = Descriptor {
    key: TaskKey::new("audit"),
    turns: Turns::Exclusive(482_179),
    schedule: Schedule::Daily { hour: 2 },
    lease: Duration::from_secs(300),
    provider: None,
    scope: Scope::Whole,
};

const FIELDS: [&str; 2] = ["scheduled_time", "lockId"];

/// Faults that are told one by one; the rest is counted.
const LISTED: i32 = 20;

/// Conversions, or keys, that one call walks through: a second of work where nothing of it is in memory.
const SLICE: i32 = 20_000;

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
struct Walk {
    /// What came before this id needs no second look; nothing yet at the very beginning.
    up_to: Option<i64>,
    /// Conversions from here on are proven.
    down_to: Option<i64>,
    /// All of them are.
    conversions: bool,
    /// Keys up to here are.
    keys: Option<Value>,
}

/// What came since the last night, which goes first.
#[derive(Debug, Default)]
struct Recent {
    down_to: Option<ConversionId>,
    settled_before: Option<i64>,
    proven: bool,
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
    recent: Recent,
    accounts: Accounts,
    answer: Answer,
}

impl Work for Auditing {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        let mut walk = self.walk.take().unwrap_or_else(|| read(running.checkpoint.as_ref()));
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
            cut_short: !self.recent.proven,
            ..Tally::default()
        }
    }
}

impl Auditing {
    async fn go_on(&mut self, running: &Running, walk: &mut Walk) -> anyhow::Result<()> {
        let store = &running.context.store;
        if let Some(up_to) = walk.up_to {
            while !self.recent.proven {
                if running.is_over() {
                    return Ok(());
                }
                let since = Some(ConversionId(up_to));
                let slice = store.audit_slice(self.recent.down_to, since, SLICE, LISTED).await?;
                self.recent.settled_before.get_or_insert(slice.settled_before.0);
                self.recent.down_to = slice.reached;
                self.recent.proven = slice.reached.is_none();
                self.add(slice.accounts);
            }
            walk.up_to = self.recent.settled_before.or(walk.up_to);
            save(running, walk).await?;
        }
        while !walk.conversions {
            if running.is_over() {
                return Ok(());
            }
            let slice = store.audit_slice(walk.down_to.map(ConversionId), None, SLICE, LISTED).await?;
            self.recent.proven = true;
            walk.up_to.get_or_insert(slice.settled_before.0);
            walk.down_to = slice.reached.map(|id| id.0);
            walk.conversions = slice.reached.is_none();
            self.add(slice.accounts);
            save(running, walk).await?;
        }
        while !running.is_over() {
            let part = store.audit_keys(walk.keys.as_ref(), SLICE, LISTED).await?;
            let faults_total = i64::try_from(part.faults_total)?;
            self.add(Accounts { faults_total, faults: part.faults, ..Accounts::default() });
            if part.next_after.is_none() {
                self.answer.finished = true;
                running.save_checkpoint(None).await?;
                break;
            }
            walk.keys = part.next_after;
            save(running, walk).await?;
        }
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

/// What another version wrote is begun anew.
fn read(checkpoint: Option<&Value>) -> Walk {
    checkpoint.and_then(|checkpoint| serde_json::from_value(checkpoint.clone()).ok()).unwrap_or_default()
}

async fn save(running: &Running, walk: &Walk) -> anyhow::Result<()> {
    Ok(running.save_checkpoint(Some(&serde_json::to_value(walk)?)).await?)
}

/// The proof of accounting of everything, slice by slice; of the faults the first `listed`.
///
/// # Errors
/// The database's.
pub async fn prove(store: &Store, listed: usize) -> Result<Accounts, StoreError> {
    let (mut all, mut down_to, mut after) = (Accounts::default(), None, None);
    loop {
        let slice = store.audit_slice(down_to, None, SLICE, LISTED).await?;
        all.add(slice.accounts, listed);
        down_to = slice.reached;
        if down_to.is_none() {
            break;
        }
    }
    loop {
        let part = store.audit_keys(after.as_ref(), SLICE, LISTED).await?;
        let faults_total = i64::try_from(part.faults_total).unwrap_or(i64::MAX);
        all.add(Accounts { faults_total, faults: part.faults, ..Accounts::default() }, listed);
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
