//! The registry: every task there is, in the order in which a cycle visits them.

use super::task::{Task, Turns};
use super::tasks;
use crate::providers::Registry;

/// Every task there is, in order: what keeps money safe first.
#[derive(Clone)]
pub struct Tasks(Vec<Task>);

impl Tasks {
    /// The tasks of a program with these providers: uploads for each of them, then the house's own.
    pub fn of(providers: &Registry) -> Self {
        let uploads = providers.iter().map(|adapter| tasks::upload::task(adapter.key()));
        let house = [
            tasks::recover::task(),
            tasks::confirm::task(),
            tasks::expire::task(),
            tasks::gauges::task(),
            tasks::keep_partitions::task(),
            tasks::erase::task(),
            tasks::probe_credentials::task(),
            tasks::recompute_scores::task(),
            tasks::reseal_credentials::task(),
            tasks::prune::task(),
            tasks::audit::task(),
            tasks::seed::task(),
        ];
        let tasks = Self(uploads.chain(house).collect());
        debug_assert!(tasks.locks_differ(), "two tasks share a lock");
        tasks
    }

    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = &Task> {
        self.0.iter()
    }

    /// The task of this key.
    pub fn get(&self, key: &str) -> Option<&Task> {
        self.0.iter().find(|task| task.descriptor.key.as_str() == key)
    }

    /// Those that run by themselves.
    pub fn scheduled(&self) -> impl Iterator<Item = &Task> {
        self.0.iter().filter(|task| task.descriptor.schedule.interval().is_some())
    }

    /// Whether no two exclusive tasks have one lock, and none one key.
    pub fn locks_differ(&self) -> bool {
        let lock = |task: &Task| match task.descriptor.turns {
            Turns::Exclusive(lock) => Some(lock),
            Turns::Concurrent => None,
        };
        self.0.iter().enumerate().all(|(at, task)| {
            self.0[..at].iter().all(|other| {
                other.descriptor.key != task.descriptor.key
                    && (lock(task).is_none() || lock(other) != lock(task))
            })
        })
    }
}
