//! The day-to-day: what is ended by hand, who is erased, which site is taken off, what is kept for how long, and scores.

mod cancel;
mod comes_back;
mod erase;
mod expiry;
mod kept;
mod removal;
mod scores;

use std::time::Duration;

use shared::engine::Bounds;

/// Long enough for everything here, and no longer than a test should take.
fn bounds() -> Bounds {
    Bounds::after(Duration::from_secs(60))
}
