//! What a task is: its key, whether it is locked, when it runs, and how it is called.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::{Context, Fields};
use crate::delivery::Deadline;
use crate::domain::ProviderKey;

/// A task's name: stable, for schedules, pauses, history and alarms go by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TaskKey(Cow<'static, str>);

impl TaskKey {
    /// Of a task that there is once.
    pub const fn new(key: &'static str) -> Self {
        Self(Cow::Borrowed(key))
    }

    /// Of a task that there is for each provider: `upload:google_ads`.
    pub fn of_provider(task: &str, provider: ProviderKey) -> Self {
        Self(Cow::Owned(format!("{task}:{provider}")))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The setting that overrides its lock: `RECOMPUTE_SCORES_LOCK_ID`.
    pub fn lock_setting(&self) -> String {
        let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        format!("{}_LOCK_ID", self.0.chars().map(word).collect::<String>())
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How many runs of a task there may be at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turns {
    /// Any number: what they share is fenced row by row.
    Concurrent,
    /// One, by this lock.
    Exclusive(i32),
}

/// When a task runs where nobody asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// In each interval of so long, counted from the epoch.
    Every(Duration),
    /// Once a day at this hour, UTC.
    Daily {
        /// 0 to 23.
        hour: i8,
    },
    /// Never by itself.
    OnRequest,
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

impl Schedule {
    /// From one run to the next; `None` where it never runs by itself.
    pub fn interval(self) -> Option<Duration> {
        match self {
            Schedule::Every(interval) => Some(interval),
            Schedule::Daily { .. } => Some(DAY),
            Schedule::OnRequest => None,
        }
    }

    /// The scheduled time that `now` belongs to: the last one that has come.
    pub fn slot(self, now: Timestamp) -> Option<Timestamp> {
        let interval = i64::try_from(self.interval()?.as_secs()).ok().filter(|seconds| *seconds > 0)?;
        let after_midnight = match self {
            Schedule::Daily { hour } => i64::from(hour) * 3_600,
            Schedule::Every(_) | Schedule::OnRequest => 0,
        };
        let into = (now.as_second() - after_midnight).rem_euclid(interval);
        Timestamp::from_second(now.as_second() - into).ok()
    }

    /// How long until the next scheduled time.
    pub fn until_next(self, now: Timestamp) -> Option<Duration> {
        let next = self.slot(now)?.checked_add(SignedDuration::try_from(self.interval()?).ok()?).ok()?;
        Duration::try_from(next.duration_since(now)).ok()
    }
}

/// Whether a task can be narrowed to one site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// It takes a `site_id`.
    BySite,
    /// It knows no sites.
    Whole,
}

/// What the engine knows of a task.
#[derive(Debug, Clone)]
pub struct Descriptor {
    /// Its name.
    pub key: TaskKey,
    /// How many at once.
    pub turns: Turns,
    /// When.
    pub schedule: Schedule,
    /// How long its lock is good for without being renewed; it is renewed three times as often. A program that dies
    /// keeps the others out for so long.
    pub lease: Duration,
    /// The provider whose pause stops it, and whose rate limits pause it.
    pub provider: Option<ProviderKey>,
    /// Whether it can be narrowed to one site.
    pub scope: Scope,
}

/// How long a call may take, and what may end it early.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// When it has to be over.
    pub deadline: Deadline,
    /// Ends it early.
    pub shutdown: CancellationToken,
}

impl Bounds {
    /// Over after `total`; nothing else ends it.
    pub fn after(total: Duration) -> Self {
        Self { deadline: Deadline::after(total), shutdown: CancellationToken::new() }
    }

    /// Whether no new work should be begun.
    pub fn are_near(&self) -> bool {
        self.shutdown.is_cancelled() || self.deadline.is_near()
    }
}

/// Why a call of a task did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Another run has its lock.
    Locked,
    /// It is stopped, or its provider is.
    Paused,
    /// A run of the same scheduled time has succeeded.
    Done,
    /// The time of the cycle was up before its turn came.
    Deadline,
}

/// What a task answers: its own answer, or `{"skipped":true,"reason":"locked"}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reply<A> {
    /// It ran.
    Answer(A),
    /// It did nothing.
    Skipped {
        /// Always true.
        skipped: bool,
        /// Why.
        reason: SkipReason,
    },
}

impl<A> Reply<A> {
    /// It did nothing, for this reason.
    pub fn skipped(reason: SkipReason) -> Self {
        Self::Skipped { skipped: true, reason }
    }

    /// The answer, where it ran.
    pub fn answer(self) -> Option<A> {
        match self {
            Reply::Answer(answer) => Some(answer),
            Reply::Skipped { .. } => None,
        }
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// Where the answer cannot be written as JSON: a fault of ours.
    pub fn to_json(self) -> anyhow::Result<Reply<Value>>
    where
        A: Serialize,
    {
        match self {
            Reply::Answer(answer) => Ok(Reply::Answer(serde_json::to_value(answer)?)),
            Reply::Skipped { skipped, reason } => Ok(Reply::Skipped { skipped, reason }),
        }
    }

    /// The same with another answer.
    pub fn map<B>(self, map: impl FnOnce(A) -> B) -> Reply<B> {
        match self {
            Reply::Answer(answer) => Reply::Answer(map(answer)),
            Reply::Skipped { skipped, reason } => Reply::Skipped { skipped, reason },
        }
    }
}

/// A call of a task by its fields; each task has one such function, made by [`Task::new`].
pub type Calling<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Reply<Value>>> + Send + 'a>>;

/// A task as the registry holds it.
#[derive(Clone)]
pub struct Task {
    /// What the engine knows of it.
    pub descriptor: Descriptor,
    /// Fields that every call of it has.
    says: Map<String, Value>,
    call: for<'a> fn(&'a Context, Fields, Bounds) -> Calling<'a>,
}

impl Task {
    /// A task of these fields, called so.
    pub fn new(
        descriptor: Descriptor,
        says: Map<String, Value>,
        call: for<'a> fn(&'a Context, Fields, Bounds) -> Calling<'a>,
    ) -> Self {
        Self { descriptor, says, call }
    }

    /// The same with more fields in every call, or others.
    pub fn saying(mut self, more: Map<String, Value>) -> Self {
        self.says.extend(more);
        self
    }

    /// Calls it with more fields than its own.
    ///
    /// # Errors
    /// A [`BadRequest`](super::BadRequest) where it does not take them; else what stopped the run.
    pub async fn run(
        &self,
        context: &Context,
        more: Map<String, Value>,
        bounds: Bounds,
    ) -> anyhow::Result<Reply<Value>> {
        let mut fields = self.says.clone();
        fields.extend(more);
        (self.call)(context, Fields::new(fields), bounds).await
    }
}
