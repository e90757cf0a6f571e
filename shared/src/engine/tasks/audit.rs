//! The audit: proves every night that every conversion is in exactly one place, and raises the alarm where one is not.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, json};
use tracing::error;

use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Running, Schedule, Scope,
};
use crate::engine::{Tally, Task, TaskKey, Trigger, Turns, Work};
use crate::store::Accounts;

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
    /// Conversions that were taken in and that retention left.
    pub total: u64,
    /// Those that are where they should be.
    pub processed: u64,
    /// Always 0.
    pub skipped: u64,
    /// The first faults: what is wrong, and with which conversion.
    pub errors: Vec<String>,
    /// All of them.
    pub errors_total: u64,
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
    answer: Answer,
}

impl Work for Auditing {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        let accounts = running.context.store.audit_accounts(LISTED).await?;
        self.answer = answer(&accounts);
        for fault in &accounts.faults {
            error!(
                event = "audit_fault", conversion.id = %fault.conversion_id, fault = fault.fault,
                detail = fault.detail, "the accounts do not add up"
            );
        }
        // Sums that differ without a fault of one conversion would be a fault of the audit itself.
        if accounts.faults.is_empty() && !self.answer.ok {
            error!(event = "audit_fault", fault = "the sums differ", "the accounts do not add up");
        }
        Ok(())
    }

    fn tally(&self) -> Tally {
        Tally {
            errors: self.answer.errors_total,
            notes: self.answer.errors.first().cloned().unwrap_or_default(),
            counters: json!({ "total": self.answer.total, "faults": self.answer.errors_total }),
            ..Tally::default()
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
    }
}
