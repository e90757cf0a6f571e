//! `relay demo --aws`: the functions' own programs behind `cargo lambda watch`, with keys in KMS and secrets in Secrets Manager
//! (moto stands in for both), a PostgreSQL that wants passwords, and the stand-in for Google.

mod checkout;
mod lambda;
mod play;
mod stage;

use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;

use super::story::{Ink, Story};
use super::{Check, Signals, Telling};
use crate::postgres::{Durability, ThrowawayPostgres};
use checkout::Checkout;

/// What the demo did, and whether everything was as expected.
#[derive(Debug, Serialize)]
pub struct AwsDemo {
    /// Whether every event was answered as it should be, and every check holds.
    pub ok: bool,
    /// How long it took, the build included.
    pub seconds: f64,
    /// What was answered to each file of `events/`.
    pub events: Vec<Answered>,
    /// What must be so.
    pub checks: Vec<Check>,
}

/// What was answered to an event.
#[derive(Debug, Serialize)]
pub struct Answered {
    /// The file's name, without its ending.
    pub event: String,
    /// The HTTP status, or that of the invocation.
    pub status: u64,
    /// Whether that is what it should be.
    pub ok: bool,
    /// The answer, or the error.
    pub answer: String,
}

/// Plays it from beginning to end. What is not as expected is in the answer; an error is what kept it from being played.
///
/// # Errors
/// What is missing and how to get it, what went wrong, or [`Interrupted`](super::Interrupted). Either way no process is left behind.
pub async fn run(telling: Telling) -> anyhow::Result<AwsDemo> {
    let mut signals = Signals::listen()?;
    let mut story = Story::new(telling);
    story.step("The functions, built from this checkout");
    let building = tokio::task::spawn_blocking(Checkout::build);
    let checkout = tokio::select! {
        interrupted = signals.next() => return Err(interrupted.into()),
        built = building => built.context("the build panicked")??,
    };
    story.step("A PostgreSQL of its own that wants passwords; KMS and Secrets Manager by moto");
    // Starts that were broken off would leave something to clean up after we are gone: they are seen through.
    let start = tokio::task::spawn_blocking(|| ThrowawayPostgres::start_with_tcp(Durability::Durable, &[]));
    let server = start.await.context("the server's start panicked")??;
    let began = Instant::now();
    let played = tokio::select! {
        biased;
        interrupted = signals.next() => Err(anyhow::Error::from(interrupted)),
        played = play::play(&checkout, &server, &mut story) => played,
    };
    tokio::task::spawn_blocking(move || server.stop()).await.context("the server's stop panicked")?;
    let mut demo = played?;
    demo.seconds = story.seconds();
    ending(&mut story, &demo, began);
    Ok(demo)
}

fn ending(story: &mut Story, demo: &AwsDemo, began: Instant) {
    story.step("The proof");
    for check in &demo.checks {
        let mark = if check.ok { story.ink(Ink::Green, "ok    ") } else { story.ink(Ink::Red, "FAILED") };
        story.line(&format!("{mark}  {}", check.fact));
        story.line(&story.ink(Ink::Dim, &format!("        {}", check.figures)));
    }
    let end = match demo.ok {
        true => story.ink(Ink::Green, "Everything is as it should be."),
        false => story.ink(Ink::Red, "Not everything is as it should be."),
    };
    story.line(&format!(
        "{end} {:.1} s after the build; the database, its folder and every process are gone.",
        began.elapsed().as_secs_f64()
    ));
}
