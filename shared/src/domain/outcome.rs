//! What became of a conversion in one claim, and the status that follows from it.

use std::fmt;

use serde::Serialize;

/// What became of a conversion in one claim (or by an operator's hand between two). The words are those of
/// `relay.conversion_outcome.outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// The provider took it.
    Delivered,
    /// The provider had it already: counted once, which is what matters.
    Duplicate,
    /// The provider took it and knows no click or person for it. Normal.
    Unmatched,
    /// A newer write of the same order made it moot.
    Superseded,
    /// The person said no, and the provider heeded it.
    ConsentDenied,
    /// The provider refused it for good.
    Rejected,
    /// Its time at the provider ran out.
    Expired,
    /// Its retries ran out.
    Exhausted,
    /// The operator ended it.
    Cancelled,
    /// The provider took it and never said what became of it.
    Unconfirmed,
    /// Taken by a provider that answers later.
    Submitted,
    /// A transient verdict on the row itself: burns one retry.
    Retry,
    /// Refused for an optional part, goes again without it: burns no retry.
    Degraded,
    /// A known wait: burns no retry.
    Delayed,
    /// Its request failed as a whole, or has to be built anew: burns no retry.
    Unanswered,
    /// Waits for a mend.
    Held,
    /// Given back unstarted.
    Released,
    /// Its claim was lost before an answer was recorded.
    LeaseLost,
    /// Put back to work by an operator or by a lifted hold.
    Requeued,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 19] = [
        Outcome::Delivered,
        Outcome::Duplicate,
        Outcome::Unmatched,
        Outcome::Superseded,
        Outcome::ConsentDenied,
        Outcome::Rejected,
        Outcome::Expired,
        Outcome::Exhausted,
        Outcome::Cancelled,
        Outcome::Unconfirmed,
        Outcome::Submitted,
        Outcome::Retry,
        Outcome::Degraded,
        Outcome::Delayed,
        Outcome::Unanswered,
        Outcome::Held,
        Outcome::Released,
        Outcome::LeaseLost,
        Outcome::Requeued,
    ];

    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Delivered => "DELIVERED",
            Outcome::Duplicate => "DUPLICATE",
            Outcome::Unmatched => "UNMATCHED",
            Outcome::Superseded => "SUPERSEDED",
            Outcome::ConsentDenied => "CONSENT_DENIED",
            Outcome::Rejected => "REJECTED",
            Outcome::Expired => "EXPIRED",
            Outcome::Exhausted => "EXHAUSTED",
            Outcome::Cancelled => "CANCELLED",
            Outcome::Unconfirmed => "UNCONFIRMED",
            Outcome::Submitted => "SUBMITTED",
            Outcome::Retry => "RETRY",
            Outcome::Degraded => "DEGRADED",
            Outcome::Delayed => "DELAYED",
            Outcome::Unanswered => "UNANSWERED",
            Outcome::Held => "HELD",
            Outcome::Released => "RELEASED",
            Outcome::LeaseLost => "LEASE_LOST",
            Outcome::Requeued => "REQUEUED",
        }
    }

    /// The status that a conversion has after this outcome.
    pub fn status(self) -> Status {
        match self {
            Outcome::Delivered
            | Outcome::Duplicate
            | Outcome::Unmatched
            | Outcome::Superseded
            | Outcome::ConsentDenied => Status::Completed,
            Outcome::Rejected
            | Outcome::Expired
            | Outcome::Exhausted
            | Outcome::Cancelled
            | Outcome::Unconfirmed => Status::Failed,
            Outcome::Submitted => Status::Submitted,
            Outcome::Held => Status::Held,
            Outcome::Retry
            | Outcome::Degraded
            | Outcome::Delayed
            | Outcome::Unanswered
            | Outcome::Released
            | Outcome::LeaseLost
            | Outcome::Requeued => Status::Retry,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a conversion stands, as `offline_conversion_queue.status` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Waits for its first attempt.
    Queued,
    /// In a claim.
    Processing,
    /// Waits for another attempt.
    Retry,
    /// Waits for a mend.
    Held,
    /// Taken by a provider that answers later.
    Submitted,
    /// At its good end.
    Completed,
    /// At its bad end.
    Failed,
}
