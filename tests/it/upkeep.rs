//! The day-to-day: what is ended by hand, who is erased, which site is taken off, what is kept for how long, and scores.

mod cancel;
mod comes_back;
mod erase;
mod expiry;
mod kept;
mod removal;
mod scores;

use std::time::Duration;

use shared::delivery::Deadline;

/// Long enough for everything here, and no longer than a test should take.
fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}
