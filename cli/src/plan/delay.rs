//! From enqueue to delivery: the wait for the minute's worker, for a place, and for the platform.

use serde::Serialize;

use super::limits::{Limits, RECEIPT_AFTER, Transport};
use super::measured::{DATABASE_CALL, START};
use super::rhythm::Rhythm;
use super::{DAY, Input};

/// Steps in which a minute and a queue are looked at.
const STEPS: u32 = 200;

/// Seconds from enqueue to an answer of the platform. A conversion that must wait for its platform (six hours after a click,
/// at Google) counts from when it may go.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Delay {
    /// Half wait less, at the mean rate. Nothing where more comes in than goes out: then it grows for ever.
    pub median_seconds: Option<f64>,
    /// One in a hundred waits longer, at the mean rate.
    pub p99_seconds: Option<f64>,
    /// Half wait less in the busiest hour.
    pub median_at_peak_seconds: Option<f64>,
    /// One in a hundred waits longer in the busiest hour.
    pub p99_at_peak_seconds: Option<f64>,
    /// Until the receipt was read, where there are receipts: half wait less.
    pub median_until_confirmed_seconds: Option<f64>,
}

impl Delay {
    pub(super) fn of(input: &Input, limits: &Limits, mean: &Rhythm, at_peak: &Rhythm) -> Self {
        let (median, p99) = quantiles(limits, mean);
        let (median_at_peak, p99_at_peak) = quantiles(limits, at_peak);
        // A day's budget that is used up is used up in the busiest hour, too.
        let longer = |peak: Option<f64>, mean: Option<f64>| Some(peak?.max(mean?));
        let between = DAY / limits.template.confirm.scheduled_per_day;
        let confirmed = match input.transport {
            Transport::DataManager => median.map(|median| median + RECEIPT_AFTER + between / 2.0),
            Transport::AdsApi => None,
        };
        Self {
            median_seconds: median,
            p99_seconds: p99,
            median_at_peak_seconds: longer(median_at_peak, median),
            p99_at_peak_seconds: longer(p99_at_peak, p99),
            median_until_confirmed_seconds: confirmed,
        }
    }
}

/// The median and the 99th of a hundred.
fn quantiles(limits: &Limits, rhythm: &Rhythm) -> (Option<f64>, Option<f64>) {
    if !rhythm.keeps_up {
        return (None, None);
    }
    let upload = rhythm.upload_seconds + DATABASE_CALL;
    let tick = limits.template.tick_seconds;
    if let Some(cycle) = rhythm.cycle_seconds {
        // Its site's turn comes once in a cycle, and it came in at any time of it. Where workers have time to spare, there is
        // none at work until the tick.
        let cycle = if rhythm.busy < 1.0 { cycle.max(tick) } else { cycle };
        return (Some(cycle * 0.5 + upload), Some(cycle * 0.99 + upload));
    }
    let mut waits = Vec::new();
    let busy = rhythm.busy * tick;
    for arrival in 0..STEPS {
        let at = (f64::from(arrival) + 0.5) / f64::from(STEPS) * tick;
        for place in 0..STEPS {
            // Somewhere in what the worker finds; who comes while it is at work waits for what is before it at most.
            let queue = (f64::from(place) + 0.5) / f64::from(STEPS) * busy;
            let wait = if at < busy { queue.min(busy - at) } else { tick - at + START + queue };
            waits.push(wait + upload);
        }
    }
    waits.sort_by(f64::total_cmp);
    (Some(waits[waits.len() / 2]), Some(waits[waits.len() * 99 / 100]))
}
