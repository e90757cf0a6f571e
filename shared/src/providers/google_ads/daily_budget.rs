//! When Google's daily budgets start anew.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Pacific time by rule and not by name: a function's image has no time zone database.
const PACIFIC: &str = "PST8PDT,M3.2.0,M11.1.0";

/// The next midnight in Pacific time, when daily operations count from zero (inferred from the API's other quotas;
/// shared/field/google.md, section A.1, read 2026-11-22).
pub(crate) fn next_pacific_midnight(now: Timestamp) -> Timestamp {
    let midnight = || {
        let today = now.to_zoned(TimeZone::posix(PACIFIC).ok()?);
        Some(today.checked_add(1.day()).ok()?.start_of_day().ok()?.timestamp())
    };
    midnight().unwrap_or(now)
}
