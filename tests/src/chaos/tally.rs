//! What happened, counted.

use std::fmt;

/// Something that happened in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A conversion was taken in.
    Enqueued,
    /// A batch of conversions was offered again.
    OfferedAgain,
    /// A conversion was claimed.
    Attempt,
    /// A group's rows were claimed.
    Claim,
    /// A claim was the probe of a circuit.
    Probe,
    /// A claim was cut into parts.
    Split,
    /// A request left.
    Request,
    /// A conversion was sent.
    Sent,
    /// The provider had a conversion already.
    SentAgain,
    /// A settlement was accepted.
    Accepted,
    /// A settlement came after its claim was lost.
    Stale,
    /// A report that was held back beyond its lease was accepted: nobody had looked yet.
    LateButAccepted,
    /// A runner died with a claim in hand.
    DiedAfterClaim,
    /// A runner died after its request left.
    DiedAfterSending,
    /// A runner held its report back beyond its lease.
    Late,
    /// A claim was gone when its request should have left.
    LostBeforeSending,
    /// A claim was given back unstarted.
    Released,
    /// A call was cut off, with or without effect.
    CutOff,
    /// A connection of the service was killed.
    Killed,
    /// The server was stopped as in a crash and started again.
    Restart,
    /// A lapsed claim that the task `recover` took back.
    Recovered,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Event::Enqueued => "conversions taken in",
            Event::OfferedAgain => "batches offered a second time",
            Event::Attempt => "attempts (a conversion in a claim)",
            Event::Claim => "claims",
            Event::Probe => "claims that probed a circuit",
            Event::Split => "claims cut into parts",
            Event::Request => "requests sent",
            Event::Sent => "conversions sent",
            Event::SentAgain => "conversions that the provider had already",
            Event::Accepted => "settlements accepted",
            Event::Stale => "settlements refused as stale",
            Event::LateButAccepted => "late settlements accepted (nobody had looked)",
            Event::DiedAfterClaim => "runners dead after a claim",
            Event::DiedAfterSending => "runners dead after sending",
            Event::Late => "reports held back beyond the lease",
            Event::LostBeforeSending => "claims lost before sending",
            Event::Released => "claims given back unstarted",
            Event::CutOff => "calls cut off",
            Event::Killed => "connections killed",
            Event::Restart => "immediate restarts of the server",
            Event::Recovered => "claims taken back by recover",
        })
    }
}
