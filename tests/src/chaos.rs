//! Many runners on one queue while everything around them breaks; in the end every conversion is accounted for.
//!
//! Runners die after a claim or after sending, report after their lease, lose their connections and once the whole
//! server. An attempt is one conversion in one claim. The seed decides what is drawn; threads and the clock decide
//! the rest, so that a seed is a good start for a second look and no more.

mod feeder;
mod ground;
mod mayhem;
mod proof;
mod provider;
mod runner;
mod stage;
mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio::time::sleep;

use ground::Ground;
pub use ground::Phase;
use stage::Stage;
pub use tally::Event;

/// Far longer than a drain takes: the leases of the dead, and the last reports.
const DRAIN_LIMIT: Duration = Duration::from_secs(120);

/// A run in which nothing was claimed for so long is stuck: a crashed server reads its log for twenty seconds.
const STUCK_AFTER: Duration = Duration::from_secs(180);

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How much chaos.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Conversions claimed before the drain begins, each as often as it is claimed.
    pub attempts: u64,
    /// Runners at once, each with connections of its own.
    pub runners: u64,
    /// Where chance begins.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// What was counted, in words.
    pub counts: Vec<(String, u64)>,
    /// What must not be; none is the good answer.
    pub faults: Vec<String>,
    /// From the first claim to the last report.
    pub duration: Duration,
}

/// Lets chaos loose on a server of its own, drains the queue and checks the books.
///
/// # Errors
/// What keeps the run from coming to its end. What it finds wrong is in the report.
pub async fn run(plan: Plan) -> anyhow::Result<Report> {
    let stage = Arc::new(Stage::set().await.context("set the stage")?);
    let ground = Arc::new(Ground::new(plan.seed));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 1..=plan.runners {
        tasks.spawn(runner::run(Arc::clone(&stage), Arc::clone(&ground), number));
    }
    tasks.spawn(feeder::run(Arc::clone(&stage), Arc::clone(&ground)));
    tasks.spawn(feeder::recover(Arc::clone(&stage), Arc::clone(&ground)));
    tasks.spawn(mayhem::run(Arc::clone(&stage), Arc::clone(&ground), plan.attempts / 2));

    let came_to_its_end = go_through(&plan, &stage, &ground).await;
    ground.enter(Phase::Over);
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task of the run panicked")??;
    }
    let duration = began.elapsed();
    came_to_its_end?;
    let mut counts = ground.counts();
    if ground.has_faults() {
        return Ok(Report { counts, faults: ground.faults(), duration });
    }
    counts.extend(proof::examine(&stage, &ground).await.context("examine the books")?);
    Ok(Report { counts, faults: ground.faults(), duration })
}

/// From chaos to an empty queue, or to the first fault: what is broken may never come to an end.
async fn go_through(plan: &Plan, stage: &Stage, ground: &Ground) -> anyhow::Result<()> {
    let mut last = (0, Instant::now());
    loop {
        let attempts = ground.count(Event::Attempt);
        // A fast machine may be through before the restart has come.
        let is_through = attempts >= plan.attempts && ground.count(Event::Restart) > 0;
        if is_through || ground.has_faults() {
            break;
        }
        if attempts > last.0 {
            last = (attempts, Instant::now());
        }
        anyhow::ensure!(
            last.1.elapsed() < STUCK_AFTER,
            "nothing was claimed any more: {:?}",
            ground.faults()
        );
        sleep(LOOK).await;
    }
    ground.enter(Phase::Draining);
    let limit = Instant::now() + DRAIN_LIMIT;
    while !ground.has_faults() && !stage.is_drained().await? {
        anyhow::ensure!(Instant::now() < limit, "the queue did not drain");
        sleep(LOOK).await;
    }
    Ok(())
}
