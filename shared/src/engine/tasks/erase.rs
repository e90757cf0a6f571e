//! Erasing: takes people out of all that was taken in, in steps that a crash only delays.

use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use crate::delivery::Deadline;
use crate::engine::Context;
use crate::providers::Identity;
use crate::store::Erasure;

/// Conversions that one step looks at: some tenths of a second.
const ROWS_PER_STEP: i32 = 20_000;

/// While somebody else is at it, the wait for the next look, and how many.
const BUSY_WAIT: Duration = Duration::from_millis(200);
const BUSY_TRIES: u32 = 50;

/// What erasing did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Conversions that were looked at.
    pub walked: u64,
    /// Those that were erased.
    pub conversions: u64,
    /// Requests that came to their end.
    pub requests: u64,
    /// Nothing is left to do.
    pub finished: bool,
}

/// Takes down that a person is to be erased; answers the number of the request. Nothing is erased yet.
///
/// # Errors
/// The database's.
pub async fn request(context: &Context, identity: &Identity) -> anyhow::Result<i64> {
    let hashes: Vec<String> = identity.hashes.iter().cloned().collect();
    let click_hashes: Vec<String> = identity.click_hashes.iter().cloned().collect();
    Ok(context.store.request_erasure(&hashes, &click_hashes).await?)
}

/// Goes on with this request, or with all of them, until nothing is left or the deadline is near.
///
/// # Errors
/// The database's; another call goes on from there.
pub async fn work(context: &Context, only: Option<i64>, deadline: Deadline) -> anyhow::Result<Work> {
    let mut done = Work::default();
    let mut tries = 0;
    while !deadline.is_near() {
        let Some(step) = context.store.erase_person(only, ROWS_PER_STEP).await? else {
            let left = match only {
                Some(id) => context.store.read_erasures(Some(id), 1).await?,
                None => Vec::new(),
            };
            // One that is asked for and not to be had is in somebody else's hands.
            if left.iter().all(|erasure| erasure.finished_at.is_some()) {
                done.finished = true;
                break;
            }
            tries += 1;
            if tries >= BUSY_TRIES {
                break;
            }
            sleep(BUSY_WAIT).await;
            continue;
        };
        tries = 0;
        done.walked += step.walked;
        done.conversions += step.conversions;
        done.requests += u64::from(step.finished);
    }
    Ok(done)
}

/// What a request found in each table so far; `None` where there is none of this number.
///
/// # Errors
/// The database's.
pub async fn read(context: &Context, erasure_id: i64) -> anyhow::Result<Option<Erasure>> {
    Ok(context.store.read_erasures(Some(erasure_id), 1).await?.pop())
}
