//! Why a run failed, by what can be done about it, and how long to wait before it is tried again.

use std::time::Duration;

use crate::store::StoreError;

/// Why a run failed, by what can be done about it. A rate limit is no failure: it is counted, and pauses its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It passes: the database was away or busy.
    Transient,
    /// The lock has another owner by now.
    LockLost,
    /// It comes again however often it is tried.
    Fatal,
}

/// Tries of one run, the first included.
pub const TRIES_MAX: u32 = 5;

/// The wait before the second try; it doubles with each, to 4 s: a database that restarts is back within ten.
const FIRST_WAIT: Duration = Duration::from_millis(500);

impl Fault {
    /// Sorts a failure by its causes.
    pub fn of(error: &anyhow::Error) -> Self {
        let stored = error.chain().find_map(|cause| cause.downcast_ref::<StoreError>());
        match stored {
            Some(StoreError::Unavailable(_) | StoreError::Busy(_)) => Self::Transient,
            Some(StoreError::LockLost) => Self::LockLost,
            Some(
                StoreError::WrongSchema(_)
                | StoreError::NoPartition(_)
                | StoreError::NotPermitted(_)
                | StoreError::BadArgument(_)
                | StoreError::Refused(_)
                | StoreError::Unexpected(_),
            )
            | None => Self::Fatal,
        }
    }

    /// The code in the history.
    pub fn code(self) -> &'static str {
        match self {
            Self::Transient => "DATABASE_AWAY",
            Self::LockLost => "LOCK_LOST",
            Self::Fatal => "TASK_FAILED",
        }
    }
}

/// The wait before try number `next` (2 and on), in [½, 1] of its step. `random` lies in [0, 1).
pub fn wait(next: u32, random: f64) -> Duration {
    let step = FIRST_WAIT * 2u32.saturating_pow(next.saturating_sub(2).min(3));
    step.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}
