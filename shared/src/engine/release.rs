//! Lifts holds in steps that are over soon, however much they parked.

use super::Context;
use crate::store::{HoldFilter, Released, StoreError};

/// Holds, and conversions, of one step: a tenth of a second.
const STEP: i32 = 5_000;

/// Lifts every hold that the filter names, and sends what they parked to work again. Where it does not come to its end, the
/// next call goes on, or claims do by and by.
///
/// # Errors
/// The database's: what earlier steps did stays done. [`StoreError::BadArgument`] where neither a hold, a site nor a code
/// narrows the filter.
pub async fn release_holds(context: &Context, filter: &HoldFilter) -> Result<Released, StoreError> {
    let mut sum = Released::default();
    while !sum.is_done {
        let step = context.store.release_some_holds(filter, STEP).await?;
        sum.holds += step.holds;
        sum.sites += step.sites;
        sum.conversions += step.conversions;
        sum.is_done = step.is_done;
    }
    Ok(sum)
}
