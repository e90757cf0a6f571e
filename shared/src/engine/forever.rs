//! A host that lives on: every scheduled task at its time, until somebody stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Context;
use super::task::{Bounds, Reply, SkipReason, Task, Turns};

/// A run of a task has so long before it has to come to its end and begin anew: as long as one on Lambda.
const RUN_MAX: Duration = Duration::from_secs(15 * 60);

/// The wait between two runs of a concurrent task, which empties its queue each time: up to twice this, by chance.
const IDLE: Duration = Duration::from_secs(4);

/// Runs of an exclusive task begin up to so long after their time, so that hosts with one schedule do not march in step.
const LATE_MAX: Duration = Duration::from_secs(5);

/// A scheduled time that was not done is tried again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// How often the pulse is felt, and how old it may be in a loop that lives.
const BEAT: Duration = Duration::from_secs(1);
const BEAT_MAX: Duration = Duration::from_secs(30);

/// Whether the loop lives: it says so every second.
#[derive(Debug)]
pub struct Pulse {
    began: Instant,
    last_ms: AtomicU64,
}

impl Pulse {
    /// A loop that begins now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), last_ms: AtomicU64::new(0) })
    }

    fn beat(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }

    fn stop(&self) {
        self.last_ms.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether it was felt within the last 30 s, and has not stopped.
    pub fn lives(&self) -> bool {
        match self.last_ms.load(Ordering::Relaxed) {
            u64::MAX => false,
            last => self.began.elapsed() <= Duration::from_millis(last) + BEAT_MAX,
        }
    }
}

/// Runs each of these tasks at its time until `shutdown`: exclusive ones once in each interval of their schedule over
/// all hosts, concurrent ones again and again. Returns once what was going on has come to its end; the caller bounds
/// that.
///
/// # Errors
/// Where a task's loop breaks off: a fault of ours, and the host has to begin anew.
pub async fn run_forever(
    context: &Context,
    tasks: impl IntoIterator<Item = Task>,
    shutdown: CancellationToken,
    pulse: &Pulse,
) -> anyhow::Result<()> {
    let mut loops = JoinSet::new();
    for task in tasks {
        loops.spawn(keep_running(context.clone(), task, shutdown.clone()));
    }
    info!(
        tasks = loops.len(),
        event = "host_started",
        "the host runs {} tasks until it is stopped",
        loops.len()
    );
    let ended = loop {
        pulse.beat();
        tokio::select! {
            ended = loops.join_next() => match ended {
                None => break Ok(()),
                Some(Ok(())) if shutdown.is_cancelled() => {}
                Some(Ok(())) => break Err(anyhow!("a task's loop ended by itself")),
                Some(Err(broken)) => break Err(anyhow::Error::from(broken)).context("a task's loop broke off"),
            },
            () = sleep(BEAT) => {}
        }
    };
    pulse.stop();
    ended
}

/// One task, again and again.
async fn keep_running(context: Context, task: Task, shutdown: CancellationToken) {
    let mut settled = None;
    while !shutdown.is_cancelled() {
        let wait = match task.descriptor.turns {
            Turns::Concurrent => {
                match run_one(&context, &task, None, &shutdown).await {
                    Slot::Settled => IDLE.mul_f64(1.0 + rand::random::<f64>()),
                    // A pause of a day is no reason for ten thousand lines of history.
                    Slot::Open => AGAIN.mul_f64(0.5 + rand::random::<f64>() / 2.0),
                }
            }
            Turns::Exclusive(_) => {
                let slot = task.descriptor.schedule.slot(Timestamp::now());
                // After a restart the slot that has begun is asked for: it is done, or it was missed.
                if slot != settled && run_one(&context, &task, slot, &shutdown).await == Slot::Settled {
                    settled = slot;
                }
                let next = task.descriptor.schedule.until_next(Timestamp::now()).unwrap_or(AGAIN);
                let late = LATE_MAX.min(next / 10).mul_f64(rand::random());
                if settled == slot { next + late } else { next.min(AGAIN) + late }
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

/// What became of a scheduled time.
#[derive(PartialEq, Eq)]
enum Slot {
    /// It was done, here or elsewhere, or nobody wants it.
    Settled,
    /// It may be tried again.
    Open,
}

/// One run; what becomes of it stands in the history.
async fn run_one(
    context: &Context,
    task: &Task,
    slot: Option<Timestamp>,
    shutdown: &CancellationToken,
) -> Slot {
    let mut says = Map::new();
    if let Some(slot) = slot {
        says.insert("scheduled_time".to_owned(), Value::String(slot.to_string()));
    }
    let bounds = Bounds { shutdown: shutdown.clone(), ..Bounds::after(RUN_MAX) };
    match task.run(context, says, bounds).await {
        Ok(Reply::Answer(_)) => Slot::Settled,
        Ok(Reply::Skipped { reason, .. }) => match reason {
            SkipReason::Done => Slot::Settled,
            // Whoever has the lock may fail, and a pause may end.
            SkipReason::Locked | SkipReason::Paused | SkipReason::Deadline => Slot::Open,
        },
        Err(failure) => {
            error!(
                task.key = %task.descriptor.key, error = format!("{failure:#}"),
                "the run failed, and is tried again"
            );
            Slot::Open
        }
    }
}
