//! The engine: locks, schedules, pauses, retries, history, cycles.

mod columns;
mod cycle;
mod host;
mod limits;
mod locks;
mod registry;
mod schedule;
mod tries;

use serde_json::json;
use shared::engine::{
    self, Bounds, Descriptor, Ran, Running, Schedule, Scope, Tally, TaskKey, Trigger, Turns, Work,
};
use std::time::Duration;
use tests::world::World;

/// A lock that no task of ours has.
const LOCK: i32 = 999_001;

/// An exclusive task of the tests' own.
fn chores() -> Descriptor {
    Descriptor {
        key: TaskKey::new("chores"),
        turns: Turns::Exclusive(LOCK),
        schedule: Schedule::OnRequest,
        lease: Duration::from_secs(30),
        provider: None,
        scope: Scope::Whole,
    }
}

/// A body that does what a closure says.
struct Doing<F>(F);

impl<F, R> Work for Doing<F>
where
    F: FnMut(Running) -> R + Send,
    R: Future<Output = anyhow::Result<()>> + Send,
{
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        (self.0)(running.clone()).await
    }

    fn tally(&self) -> Tally {
        Tally { counters: json!({ "chores": 1 }), ..Tally::default() }
    }
}

/// Runs the chores as this closure does them.
async fn run_chores<F, R>(world: &World, task: &Descriptor, trigger: Trigger, doing: F) -> anyhow::Result<Ran>
where
    F: FnMut(Running) -> R + Send,
    R: Future<Output = anyhow::Result<()>> + Send,
{
    let bounds = Bounds::after(Duration::from_secs(60));
    engine::run(&world.context, task, trigger, &json!({}), bounds, &mut Doing(doing)).await
}
