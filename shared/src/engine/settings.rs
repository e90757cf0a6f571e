//! What an operator set for tasks.

use std::collections::BTreeMap;

use super::Retention;

/// What an operator set for tasks; read by `boot` from the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Which program this is, and where: the owner of locks and runs.
    pub owner: String,
    /// Locks that are not the tasks' own (`<TASK>_LOCK_ID`), by task key.
    pub lock_ids: BTreeMap<String, i32>,
    /// Whether a call may name a lock of its own.
    pub locks_by_call: LocksByCall,
    /// How long things are kept.
    pub retention: Retention,
}

/// Whether a call may name a lock of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LocksByCall {
    /// It may: tests do.
    Allowed,
    /// It may not: two runs under two locks are what locks are there against.
    #[default]
    Refused,
}
