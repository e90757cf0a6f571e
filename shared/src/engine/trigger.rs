//! What set a run off: a schedule, with its time, or somebody by hand.

use jiff::Timestamp;

use super::{BadRequest, Fields};

/// The fields that every task's call may have beside its own.
pub const TRIGGER_FIELDS: [&str; 2] = ["scheduled_time", "lockId"];

/// What set a run off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trigger {
    /// The time of the schedule that asked; it is done once a run of it has succeeded.
    pub scheduled_time: Option<Timestamp>,
    /// Another lock than the task's own: for tests, and refused in production.
    pub lock_id: Option<i32>,
}

impl Trigger {
    /// Takes `scheduled_time` and `lockId` out of a call.
    ///
    /// # Errors
    /// Names the field that is wrong and what would be right.
    pub fn take(fields: &mut Fields) -> Result<Self, BadRequest> {
        let lock_id = fields.number("lockId", 1, i32::MAX.unsigned_abs())?;
        Ok(Self {
            scheduled_time: fields.time("scheduled_time")?,
            lock_id: lock_id.and_then(|id| i32::try_from(id).ok()),
        })
    }
}
