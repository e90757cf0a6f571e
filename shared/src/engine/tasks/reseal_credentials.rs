//! Re-sealing: brings what older data keys sealed under the newest one, step by step, so that the older ones can go.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tracing::warn;

use crate::domain::SiteId;
use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Running, Schedule, Scope,
};
use crate::engine::{Tally, Task, TaskKey, Trigger, Turns, Work};
use crate::store::SecretKind;

const DESCRIPTOR: Descriptor = Descriptor {
    key: TaskKey::new("reseal-credentials"),
    turns: Turns::Exclusive(482_180),
    schedule: Schedule::Daily { hour: 2 },
    lease: Duration::from_secs(60),
    provider: None,
    scope: Scope::Whole,
};

const FIELDS: [&str; 2] = ["scheduled_time", "lockId"];

/// Secrets of one step: some milliseconds of work, and a checkpoint after each.
const STEP: i32 = 100;

/// Sites that the answer names.
const CLOSED_MAX: usize = 20;

/// What re-sealing is asked to do: all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What set it off.
    pub trigger: Trigger,
}

impl Request {
    /// Reads `{}`.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn parse(mut fields: Fields) -> Result<Self, BadRequest> {
        let trigger = Trigger::take(&mut fields)?;
        fields.finish(&FIELDS)?;
        Ok(Self { trigger })
    }
}

/// A site with a secret that does not open: it has to be put anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Closed {
    /// Whose.
    pub site_id: SiteId,
    /// `credentials` or `ingest_key`.
    pub secret: &'static str,
    /// Why.
    pub error: String,
}

/// What re-sealing did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Answer {
    /// False where something stays that does not open.
    pub ok: bool,
    /// Secrets under older data keys: `processed`, `skipped`, and those that do not open.
    pub total: u64,
    /// Secrets that are sealed with the newest key now.
    pub processed: u64,
    /// Secrets that somebody put anew meanwhile.
    pub skipped: u64,
    /// Access tokens that were dropped: each is a request away.
    pub tokens: u64,
    /// What does not open, so that it has to be put anew: the first 20.
    pub errors: Vec<Closed>,
    /// All of it.
    pub errors_total: u64,
    /// False where the deadline came first: the next call goes on from there.
    pub finished: bool,
}

/// Re-sealing as the registry holds it.
pub fn task() -> Task {
    Task::new(DESCRIPTOR, Map::new(), |context, fields, bounds| {
        Box::pin(async move { run(context, &Request::parse(fields)?, bounds).await?.to_json() })
    })
}

/// Re-seals until nothing is left or the deadline is near.
///
/// # Errors
/// The database's, and the vault's where its newest key does not open.
pub async fn run(context: &Context, request: &Request, bounds: Bounds) -> anyhow::Result<Reply<Answer>> {
    let mut work = ReSealing { answer: Answer::default() };
    Ok(match engine::run(context, &DESCRIPTOR, request.trigger, &json!({}), bounds, &mut work).await? {
        Ran::Run(_) => Reply::Answer(work.answer),
        Ran::Skipped(reason) => Reply::skipped(reason),
    })
}

struct ReSealing {
    answer: Answer,
}

impl Work for ReSealing {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        let (context, access) = (&running.context, &running.context.access);
        access.check_key().await.context("the vault's key does not open")?;
        self.answer.tokens += context.store.drop_old_access_tokens().await?;
        let (first, mut after) = place(running.checkpoint.as_ref());
        for kind in SecretKind::ALL.into_iter().skip(first) {
            loop {
                if running.is_over() {
                    return Ok(());
                }
                let old = context.store.read_secrets_to_reseal(kind, after, STEP).await?;
                let Some(last) = old.last().map(|secret| secret.id) else { break };
                self.answer.total += old.len() as u64;
                let done = access.reseal(&context.store, kind, old).await?;
                self.answer.processed += done.resealed;
                self.answer.skipped += done.passed_over;
                for (site_id, error) in done.closed {
                    self.tell(Closed { site_id, secret: kind.as_str(), error });
                }
                after = last;
                running.save_checkpoint(Some(&json!({ "secret": kind.as_str(), "after": after }))).await?;
            }
            after = 0;
        }
        running.save_checkpoint(None).await?;
        self.answer.finished = true;
        self.answer.ok = self.answer.errors_total == 0;
        Ok(())
    }

    fn tally(&self) -> Tally {
        let answer = &self.answer;
        let closed = answer.errors.iter().map(|closed| format!("{} of {}", closed.secret, closed.site_id));
        let notes = match answer.errors_total {
            0 => String::new(),
            _ => format!("to be put anew: {}", closed.collect::<Vec<_>>().join("; ")),
        };
        Tally {
            errors: answer.errors_total,
            notes,
            counters: json!({
                "total": answer.total, "processed": answer.processed, "skipped": answer.skipped,
                "tokens": answer.tokens,
            }),
            cut_short: !answer.finished,
            ..Tally::default()
        }
    }
}

impl ReSealing {
    fn tell(&mut self, closed: Closed) {
        warn!(site.id = %closed.site_id, secret = closed.secret, error = closed.error, "a secret does not open and has to be put anew");
        self.answer.errors_total += 1;
        if self.answer.errors.len() < CLOSED_MAX {
            self.answer.errors.push(closed);
        }
    }
}

/// Where the last run left off: at which kind, after which number.
fn place(checkpoint: Option<&Value>) -> (usize, i32) {
    let read = |checkpoint: &Value| {
        let kind = checkpoint["secret"].as_str()?;
        let first = SecretKind::ALL.iter().position(|known| known.as_str() == kind)?;
        Some((first, i32::try_from(checkpoint["after"].as_i64()?).ok()?))
    };
    checkpoint.and_then(read).unwrap_or((0, 0))
}
