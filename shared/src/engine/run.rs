//! One run of a task, whichever it is: opened, locked, tried, closed. No task does any of this by itself.

use std::future::Future;
use std::time::Instant;

use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info, info_span, warn};

use super::fault::{Fault, TRIES_MAX, wait};
use super::settings::LocksByCall;
use super::task::{Bounds, Descriptor, SkipReason, TaskKey, Turns};
use super::{BadRequest, Context, Trigger};
use crate::delivery::Deadline;
use crate::domain::{ProviderKey, RunId};
use crate::providers::trace::Trace;
use crate::store::{Begun, Ended, Fence, NewRun, RunEnd, RunStatus, StoreError};

/// The body of a task: what it does between its run's opening and closing.
pub trait Work: Send {
    /// Does the work. After a failure that passes it is called again, and goes on from where it was.
    ///
    /// # Errors
    /// What stopped it. Faults of single groups are counted, and are no errors.
    fn work(&mut self, running: &Running) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// All that was counted so far, also where the work failed.
    fn tally(&self) -> Tally;
}

/// What a run counted.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Requests to providers.
    pub requests: u64,
    /// Answers that asked to wait.
    pub http_429: u64,
    /// Faults that it told of.
    pub errors: u64,
    /// Why it stopped, or what someone has to look at.
    pub notes: String,
    /// Every counter, as one JSON object.
    pub counters: Value,
    /// Whether its time was up before its work was done: such a run has not done its scheduled time.
    pub cut_short: bool,
}

/// A run that is going on.
#[derive(Clone)]
pub struct Running {
    /// What it works with. The store of an exclusive task proves its lock with each call.
    pub context: Context,
    /// Its id.
    pub run: RunId,
    /// When it has to be over.
    pub deadline: Deadline,
    /// Ends it early.
    pub shutdown: CancellationToken,
    /// Where the last run left off.
    pub checkpoint: Option<Value>,
    key: TaskKey,
}

impl Running {
    /// Whether no new work should be begun.
    pub fn is_over(&self) -> bool {
        self.shutdown.is_cancelled() || self.deadline.is_near()
    }

    /// Writes down where the task goes on after a crash, or with its next run; `None`: at the beginning.
    ///
    /// # Errors
    /// The database's.
    pub async fn save_checkpoint(&self, checkpoint: Option<&Value>) -> Result<(), StoreError> {
        self.context.store.save_task_checkpoint(self.key.as_str(), checkpoint).await?;
        Ok(())
    }
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// The work is done.
    Run(RunId),
    /// Nothing was begun.
    Skipped(SkipReason),
}

/// Runs a task: opens its history, takes its lock, does the work with its retries, and closes all of it. `request` is
/// what narrows the run, as one JSON object: a scheduled time is done once a run with the same request has succeeded.
///
/// # Errors
/// What stopped the work, and the database's. The history has it too, where it could be told.
pub async fn run<W: Work>(
    context: &Context,
    task: &Descriptor,
    trigger: Trigger,
    request: &Value,
    bounds: Bounds,
    work: &mut W,
) -> anyhow::Result<Ran> {
    let lock = lock(context, task, trigger)?.map(|id| (id, task.lease));
    let new = NewRun {
        task_key: task.key.as_str(),
        owner: &context.settings.owner,
        provider: task.provider,
        scheduled_time: trigger.scheduled_time,
        request,
        lock,
    };
    let skipped = |reason: SkipReason| {
        info!(task.key = %task.key, event = "run_skipped", reason = ?reason, "{} was not begun", task.key);
        Ok(Ran::Skipped(reason))
    };
    let (run, fence, checkpoint) = match context.store.begin_task_run(&new).await? {
        Begun::Go { run, fence, checkpoint } => (run, fence, checkpoint),
        Begun::Locked => return skipped(SkipReason::Locked),
        Begun::Paused => return skipped(SkipReason::Paused),
        Begun::Done => return skipped(SkipReason::Done),
    };
    let trace = Trace::current().unwrap_or_else(Trace::fresh);
    let span = info_span!("run", run.id = %run, task.key = %task.key, trace.id = %trace);
    let running = Running {
        context: fence.map_or_else(|| context.clone(), |fence| context.fenced(fence)),
        run,
        deadline: bounds.deadline,
        shutdown: bounds.shutdown,
        checkpoint,
        key: task.key.clone(),
    };
    let whole = async {
        let began = Instant::now();
        let done = tokio::select! {
            done = work_on(work, &running) => done,
            lost = keep_lock(context, task, fence) => Err(lost),
        };
        let tally = work.tally();
        let cut_short = tally.cut_short && done.is_ok();
        close(context, task, (run, fence), tally, done, began).await?;
        if cut_short && trigger.scheduled_time.is_some() {
            anyhow::bail!(
                "its time was up before its work was done: the next run of the same time goes on from there"
            );
        }
        Ok(Ran::Run(run))
    };
    trace.scope(whole.instrument(span)).await
}

/// The lock of a run, if its task has one.
fn lock(context: &Context, task: &Descriptor, trigger: Trigger) -> Result<Option<i32>, BadRequest> {
    match (trigger.lock_id, context.settings.locks_by_call) {
        (Some(_), LocksByCall::Refused) => {
            return Err(BadRequest("lockId is for tests: it is not taken in production".to_owned()));
        }
        (Some(_), LocksByCall::Allowed) | (None, LocksByCall::Allowed | LocksByCall::Refused) => {}
    }
    Ok(match task.turns {
        Turns::Concurrent => None,
        Turns::Exclusive(own) => {
            let set = context.settings.lock_ids.get(task.key.as_str()).copied();
            Some(trigger.lock_id.or(set).unwrap_or(own))
        }
    })
}

/// The work, tried again while what stops it passes.
async fn work_on<W: Work>(work: &mut W, running: &Running) -> anyhow::Result<()> {
    let mut tries = 1;
    loop {
        let Err(failure) = work.work(running).await else {
            return Ok(());
        };
        let pause = wait(tries + 1, rand::random());
        let passes = Fault::of(&failure) == Fault::Transient;
        if !passes || tries >= TRIES_MAX || running.is_over() || running.deadline.remaining() <= pause {
            return Err(failure);
        }
        warn!(tries, error = format!("{failure:#}"), "the run is tried again");
        tokio::select! {
            () = sleep(pause) => {}
            () = running.shutdown.cancelled() => return Err(failure),
        }
        tries += 1;
    }
}

/// Renews the lock for as long as it is ours; ends with the loss of it.
async fn keep_lock(context: &Context, task: &Descriptor, fence: Option<Fence>) -> anyhow::Error {
    let Some(fence) = fence else {
        return std::future::pending().await;
    };
    let every = task.lease / 3;
    let mut ticks = interval_at(tokio::time::Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match context.store.refresh_task_lock(fence, task.lease).await {
            Ok(true) => {}
            Ok(false) => return StoreError::LockLost.into(),
            // Whatever the work writes proves the lock anyway.
            Err(failure) => {
                let failure = anyhow::Error::from(failure);
                warn!(error = format!("{failure:#}"), "the lock could not be renewed, and is tried again");
            }
        }
    }
}

/// The code of a run whose time was up before its work was done.
const NOT_FINISHED: &str = "NOT_FINISHED";

/// Closes the run's history, tells of it, and heeds a rate limit. What the work said is what comes out.
async fn close(
    context: &Context,
    task: &Descriptor,
    (run, fence): (RunId, Option<Fence>),
    tally: Tally,
    done: anyhow::Result<()>,
    began: Instant,
) -> anyhow::Result<()> {
    let (status, notes) = match &done {
        Ok(()) if tally.cut_short => (RunStatus::Error(NOT_FINISHED), tally.notes),
        Ok(()) => (RunStatus::Done, tally.notes),
        Err(failure) => (RunStatus::Error(Fault::of(failure).code()), format!("{failure:#}")),
    };
    let end = RunEnd {
        status,
        requests: tally.requests,
        http_429: tally.http_429,
        errors: tally.errors + u64::from(done.is_err()),
        notes,
        counters: tally.counters,
    };
    let ended = end_with_patience(context, run, fence, &end).await;
    let duration = began.elapsed();
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let done = match (done, ended) {
        (done, Ok(Ended::Written)) => done,
        (done, Ok(Ended::ClosedBefore)) => {
            warn!("the run was taken for lost before it ended");
            done
        }
        (_, Ok(Ended::LockLost)) => Err(StoreError::LockLost.into()),
        (Ok(()), Err(unwritten)) => Err(anyhow::Error::from(unwritten).context("the run's end")),
        (Err(failure), Err(unwritten)) => {
            let unwritten = anyhow::Error::from(unwritten);
            error!(error = format!("{unwritten:#}"), "the run's end could not be written down");
            Err(failure)
        }
    };
    if let Some(figures) = &context.figures {
        figures.tell_run(task, &end, &done, duration);
    }
    let count = |name: &str| end.counters.get(name).and_then(Value::as_u64);
    match &done {
        Ok(()) => info!(
            processed = count("processed"), success = count("completed"),
            failure = count("failed"), retry = count("retry"), held = count("held"),
            submitted = count("submitted"), released = count("released"), requests = end.requests,
            http_429 = end.http_429, errors = end.errors, duration_ms, counters = %end.counters,
            event = "run_complete", "offline_conversions: {} complete", task.key
        ),
        Err(failure) => {
            let fault = Fault::of(failure);
            let event = if fault == Fault::LockLost { "lock_lost" } else { "run_failed" };
            error!(
                code = fault.code(), requests = end.requests, http_429 = end.http_429, errors = end.errors, duration_ms,
                counters = %end.counters, event, error = format!("{failure:#}"),
                "offline_conversions: {} failed", task.key
            );
        }
    }
    if let Some(provider) = task.provider.filter(|_| end.http_429 > 0) {
        heed_rate_limit(context, provider).await;
    }
    done
}

/// Writes the end down, with the patience that a database needs to come back.
async fn end_with_patience(
    context: &Context,
    run: RunId,
    fence: Option<Fence>,
    end: &RunEnd,
) -> Result<Ended, StoreError> {
    for next in 2..=TRIES_MAX {
        match context.store.end_task_run(run, fence, end).await {
            Err(StoreError::Unavailable(_) | StoreError::Busy(_)) => {
                sleep(wait(next, rand::random())).await;
            }
            ended => return ended,
        }
    }
    context.store.end_task_run(run, fence, end).await
}

/// A rate limit that leaves no group of the provider free pauses it, until the time that the provider named.
async fn heed_rate_limit(context: &Context, provider: ProviderKey) {
    match context.store.pause_limited_provider(provider).await {
        Ok(Some(until)) => {
            warn!(provider = %provider, %until, event = "provider_paused", "{provider} asked everybody to wait");
        }
        Ok(None) => {}
        // Each group and each quota key waits by itself anyway.
        Err(failure) => {
            let failure = anyhow::Error::from(failure);
            warn!(provider = %provider, error = format!("{failure:#}"), "the provider could not be paused");
        }
    }
}
