//! What a platform can do, declared by its adapter.

use std::time::Duration;

/// What a platform can do.
#[derive(Debug, Clone)]
pub struct Capabilities {
    /// Most conversions in one request, over all its transports.
    pub max_batch: usize,
    /// How it answers for the rows of a request.
    pub results: Results,
    /// When the final word comes.
    pub receipts: Receipts,
    /// Oldest event that it takes, by click id.
    pub oldest_event: Duration,
    /// Youngest click that it takes.
    pub smallest_click_age: Duration,
    /// Whether it takes restatements, retractions and enhancements.
    pub adjustments: bool,
}

/// How a platform answers for the rows of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Results {
    /// Each row has its own answer.
    PerRow,
    /// One bad row refuses them all.
    Atomic,
    /// Either, by the account's transport.
    ByTransport,
}

/// When a platform's final word comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipts {
    /// With the answer.
    Synchronous,
    /// Later, on request.
    Later,
    /// Either, by the account's transport.
    ByTransport,
}
