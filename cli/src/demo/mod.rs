//! `relay demo`: the whole path on real parts, from nothing to a proof, in half a minute.
//!
//! It starts a PostgreSQL of its own and the stand-in for Google, takes some four thousand conversions in at the
//! producer's door, runs the code of the `runner`, `recover` and `confirm` functions on them, kills a runner in the middle, and
//! accounts for every conversion. It needs nothing but this repository, changes nothing outside its own folder, and
//! leaves neither a process nor a file behind.

mod aws;
mod check;
mod circuit;
mod door;
mod killed;
mod lines;
mod play;
mod proof;
mod reasons;
mod sites;
mod stage;
mod story;
mod tell;

use std::fmt;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;
use shared::engine::tasks::{confirm, recover, upload};
use shared::store::ConversionCount;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub use aws::{Answered, AwsDemo, run as run_on_aws};
pub use check::Check;
pub use circuit::CircuitSeen;
pub use door::Door;
pub use killed::Killed;
pub use proof::{Sums, Witness};

use crate::postgres::{Durability, ThrowawayPostgres};
use story::Story;

/// What is logged where `RUST_LOG` says nothing: the demo's circuits, holds and lost leases are meant to happen.
pub const LOG_FILTER: &str = "error";

/// How the demo is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// On standard output, step by step.
    AsItHappens,
    /// Not at all: the caller prints the document.
    AtTheEnd,
}

/// The demo was stopped by a signal; everything that it had started is gone.
#[derive(Debug)]
pub struct Interrupted {
    /// The signal's name.
    pub name: &'static str,
    /// What a shell expects as exit code.
    pub exit_code: u8,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped by {}", self.name)
    }
}

impl std::error::Error for Interrupted {}

/// What the demo did, and whether it all adds up.
#[derive(Debug, Serialize)]
pub struct Demo {
    /// Whether every check holds.
    pub ok: bool,
    /// How long it took, the database's start and stop included.
    pub seconds: f64,
    /// Conversions that were taken in.
    pub enqueued: u64,
    /// Where they stand.
    pub sums: Sums,
    /// The same by outcome and code.
    pub conversions: Vec<ConversionCount>,
    /// What the door said to each line.
    pub door: Door,
    /// The runner that was killed.
    pub killed: Killed,
    /// The runs of the runner, in order.
    pub runs: Vec<Run>,
    /// The run of recover.
    pub recovered: recover::Answer,
    /// The readings of receipts, in order.
    pub confirmed: Vec<confirm::Answer>,
    /// The circuit of the site whose platform was down. In life it opens for 5 to 6 minutes.
    pub circuit: Vec<CircuitSeen>,
    /// Seconds that circuits open for in the demo.
    pub circuit_open_seconds: i32,
    /// One conversion that the killed runner had sent.
    pub timeline: Option<Value>,
    /// What the stand-in counted.
    pub witness: Witness,
    /// What must be so.
    pub checks: Vec<Check>,
}

/// One run of the runner.
#[derive(Debug, Serialize)]
pub struct Run {
    /// What it was for.
    pub title: &'static str,
    /// From its start to its answer.
    pub seconds: f64,
    /// Conversions a second that reached an end, a receipt or a hold. Counted once each, however often they were sent.
    pub conversions_per_second: f64,
    /// What it answered.
    #[serde(flatten)]
    pub answer: upload::Answer,
}

/// Plays the demo from beginning to end. A check that does not hold is in the answer; an error is what kept it from
/// being played.
///
/// # Errors
/// What went wrong, or [`Interrupted`]. Either way nothing is left behind.
pub async fn run(telling: Telling) -> anyhow::Result<Demo> {
    let mut signals = Signals::listen()?;
    let mut story = Story::new(telling);
    tell::opening(&mut story);
    // A start that was broken off would leave a server to clean up after we are gone: it is seen through.
    let start = tokio::task::spawn_blocking(|| ThrowawayPostgres::start(Durability::Durable, &[]));
    let server = start.await.context("the server's start panicked")??;
    let played = tokio::select! {
        biased;
        interrupted = signals.next() => Err(interrupted.into()),
        played = play::play(&server, &mut story) => played,
    };
    // Stopping blocks until the server and its folder are gone.
    tokio::task::spawn_blocking(move || server.stop()).await.context("the server's stop panicked")?;
    let mut demo = played?;
    demo.seconds = story.seconds();
    tell::ending(&mut story, &demo);
    Ok(demo)
}

/// The signals that ask a program to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Interrupted {
        tokio::select! {
            _ = self.interrupt.recv() => Interrupted { name: "SIGINT", exit_code: 130 },
            _ = self.terminate.recv() => Interrupted { name: "SIGTERM", exit_code: 143 },
            _ = self.hangup.recv() => Interrupted { name: "SIGHUP", exit_code: 129 },
        }
    }
}
