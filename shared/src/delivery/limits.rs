//! The numbers that rule a run, in one place.

use std::time::Duration;

pub use crate::domain::MAX_RETRY_ATTEMPTS;

/// Most conversions of one group in one claim of a worker run; the provider's own limit is often lower.
/// 2,000 is what both Google APIs take in one request.
pub const BATCH_SIZE_WORKER: usize = 2_000;

/// Conversions of one cron run where its event names no limit.
pub const DEFAULT_LIMIT_CRON: u32 = 200;

/// Most conversions that a cron run's event may ask for: what fits its ten minutes at a slow provider.
pub const MAX_LIMIT_CRON: u32 = 1_000;

/// Groups that one claim visits: enough that 10,000 sites with three rows each do not cost 10,000 round trips.
pub const LIST_GROUPS_LIMIT: usize = 50;

/// Conversions of one claim call over all its groups: full batches for every place, so that a worker's rows are never
/// scarce. Some 25 MB.
pub const CLAIM_ROWS_LIMIT: usize = UPLOADS_IN_FLIGHT * BATCH_SIZE_WORKER;

/// Uploads of one process in flight at once. The semaphore in the database bounds them over all processes.
pub const UPLOADS_IN_FLIGHT: usize = 10;

/// Receipts that one process asks for at once. Google recommends no more than ten requests at a time
/// (<https://developers.google.com/data-manager/api/devguides/limits>, read 2026-11-22).
pub const RECEIPTS_IN_FLIGHT: i32 = 10;

/// A run claims again when so many of its uploads are still in flight: one claim for five places costs little more than
/// one for one.
pub const CLAIM_AGAIN_AT: usize = UPLOADS_IN_FLIGHT / 2;

/// Or after this, so that no place idles while the others take their time.
pub const CLAIM_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// A run with places left over claims again after this, although none of its uploads has ended.
pub const CLAIM_AGAIN_IDLE: Duration = Duration::from_secs(1);

/// The longest wait of a claimed batch for the request budget of its quota key; beyond, it is given back.
pub const BUDGET_WAIT: Duration = Duration::from_secs(10);

/// A run that finds nothing because another holds it for the moment looks again after this, once.
pub const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Whole requests that fail with a row before it is sent alone; the claim function knows the same number.
pub const REQUEST_FAILURES_UNTIL_ALONE: u8 = 3;

/// Entries of `errors` in an answer; the rest is counted.
pub const ERRORS_IN_ANSWER: usize = 20;

/// Time kept back at the end of a run to write down what came of the last answers.
pub const SETTLE_RESERVE: Duration = Duration::from_secs(3);

/// Time that requests in flight get after a signal to stop, within the ten seconds that hosts wait.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(6);

/// How far in the future an event may lie: clocks differ, and a wrong time zone is off by at most half a day.
pub const FUTURE_LIMIT: Duration = Duration::from_secs(24 * 3_600);

/// The lease of a claim: two requests (the second after a refreshed token), and time to write the answer down.
pub fn lease(http_timeout: Duration) -> Duration {
    http_timeout * 2 + Duration::from_secs(15)
}
