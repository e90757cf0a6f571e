//! When a conversion that failed by its own verdict goes again.

use std::time::Duration;

/// Transient verdicts on the row itself before it ends as exhausted.
pub const MAX_RETRY_ATTEMPTS: u8 = 5;

/// The wait before the 2nd, 3rd, 4th and 5th attempt.
pub const RETRY_WAITS: [Duration; 4] = [
    Duration::from_secs(60),
    Duration::from_secs(600),
    Duration::from_secs(3_600),
    Duration::from_secs(6 * 3_600),
];

/// The wait after the `failures`th failure of a row (1 is the first): jittered to between half and the whole of
/// [`RETRY_WAITS`], or the provider's own wait, which wins. `jitter` lies in 0..=1.
pub fn retry_wait(failures: u8, named: Option<Duration>, jitter: f64) -> Duration {
    let step = usize::from(failures.max(1) - 1).min(RETRY_WAITS.len() - 1);
    named.unwrap_or_else(|| RETRY_WAITS[step].mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0))
}
