//! What a platform tells later of a request: how many conversions met which end, and never which.

use super::account::{Reply, Target};
use crate::domain::ErrorCode;

/// The answer to a poll.
#[derive(Debug)]
pub struct Receipt {
    /// The envelope.
    pub reply: Reply,
    /// One entry per place that the request's conversions went to; none where the platform does not know the request.
    pub parts: Vec<ReceiptPart>,
}

/// What became of the conversions that went to one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptPart {
    /// Which place; `None` where the platform does not name one that is ours.
    pub target: Option<Target>,
    /// How many the platform says they were, where it says so.
    pub rows: Option<u64>,
    /// What became of them.
    pub state: ReceiptState,
}

/// What became of conversions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptState {
    /// Not known yet.
    Pending,
    /// All were taken.
    Taken,
    /// Some were not, or none: how many for which reason, as far as the platform says.
    Mixed(Vec<Counted>),
    /// None was taken.
    Refused(Vec<Counted>),
    /// What is said of them cannot be true: nothing is proven by it.
    Contradictory,
}

/// How many conversions met one end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The platform's code.
    pub reason: ErrorCode,
    /// How many.
    pub rows: u64,
}
