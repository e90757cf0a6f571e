//! How the rows of a site come together in requests: what waits is sent together, so the rarer a site is visited, the fewer
//! requests it takes.

use serde::Serialize;

use super::Input;
use super::limits::Limits;

/// Seconds between two claims of a run that has places left: what comes in meanwhile goes together.
const CLAIM_AGAIN: f64 = shared::delivery::limits::CLAIM_AGAIN_IDLE.as_millis() as f64 / 1_000.0;

/// The longest cycle that is looked for: a year.
const CYCLE_MAX: f64 = 365.0 * super::DAY;

/// How a deployment breathes at one rate of conversions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rhythm {
    /// Uploads each second.
    pub requests_per_second: f64,
    /// Conversions in each.
    pub rows_per_request: f64,
    /// Seconds of one upload, from the claim to its settling.
    pub upload_seconds: f64,
    /// Part of the time in which a worker is at work.
    pub busy: f64,
    /// Seconds between two visits of a site, where every place or the request budget is in use all the time: what waits longer
    /// goes in larger batches. Nothing where a minute is enough.
    pub cycle_seconds: Option<f64>,
    /// Whether as much goes out as comes in; full batches all the time are the end of it.
    pub keeps_up: bool,
}

/// Requests for the rows of one site that come together, `rows` at the mean: none where none came, one for a few, and half a
/// batch more than full ones for many.
pub fn requests_of(rows: f64, rows_max: f64) -> f64 {
    -(-rows).exp_m1() + (rows / rows_max - 0.5).max(0.0)
}

impl Rhythm {
    /// At so many conversions each second. `budget`: requests each second that platforms allow, questions included.
    pub(super) fn of(sent_per_second: f64, input: &Input, limits: &Limits, budget: Option<f64>) -> Self {
        let sites = f64::from(input.sites);
        let site = sent_per_second / sites;
        let tick = limits.template.tick_seconds;
        // Rows of a batch where nothing is short: what its time is reckoned by.
        let together = (site * tick / requests_of(site * tick, limits.rows_max)).min(limits.rows_max);
        let upload_seconds = limits.upload_seconds(input, together);
        let by_places = limits.places(input) / upload_seconds;
        let by_budget =
            budget.map_or(f64::INFINITY, |budget| budget / (1.0 + limits.polls_per_upload(input)));
        let (requests, busy) = drained(site, sites, by_places, upload_seconds, limits);
        if busy < 1.0 && requests <= by_budget {
            let rows_per_request = sent_per_second / requests;
            return Self {
                requests_per_second: requests,
                rows_per_request,
                upload_seconds,
                busy,
                cycle_seconds: None,
                keeps_up: true,
            };
        }
        let capacity = by_places.min(by_budget);
        let cycle = cycle(site, sites, capacity, limits);
        let keeps_up = cycle < CYCLE_MAX;
        Self {
            requests_per_second: capacity,
            rows_per_request: (sent_per_second / capacity).min(limits.rows_max),
            upload_seconds,
            busy: (capacity / by_places).min(1.0),
            cycle_seconds: keeps_up.then_some(cycle),
            keeps_up,
        }
    }
}

/// Requests each second, and the part of the minute that a worker is at it, where it drains the queue and ends. What comes
/// while nobody is at work waits for the next tick and goes together; what comes meanwhile is taken within a second. Busy is
/// the least share at which both fit; 1 or more: there is none.
fn drained(site: f64, sites: f64, by_places: f64, upload_seconds: f64, limits: &Limits) -> (f64, f64) {
    const ROUNDS: u32 = 500;
    let tick = limits.template.tick_seconds;
    let look = CLAIM_AGAIN.max(upload_seconds);
    let requests = |busy: f64| {
        let waiting = requests_of(site * tick * (1.0 - busy), limits.rows_max);
        let coming = busy * tick / look * requests_of(site * look, limits.rows_max);
        sites * (waiting + coming) / tick
    };
    let mut busy = 0.0;
    for _ in 0..ROUNDS {
        let next = requests(busy) / by_places;
        if next >= 1.0 {
            return (by_places, 1.0);
        }
        if (next - busy).abs() < 1e-9 {
            break;
        }
        busy = next;
    }
    (requests(busy), busy)
}

/// Seconds between two visits of a site at which its requests fit; [`CYCLE_MAX`] where none is long enough.
fn cycle(site: f64, sites: f64, capacity: f64, limits: &Limits) -> f64 {
    let fits = |seconds: f64| sites * requests_of(site * seconds, limits.rows_max) / seconds <= capacity;
    let (mut short, mut long) = (1e-3_f64, CYCLE_MAX);
    if !fits(long) {
        return CYCLE_MAX;
    }
    for _ in 0..200 {
        let middle = (short * long).sqrt();
        if fits(middle) {
            long = middle;
        } else {
            short = middle;
        }
    }
    long
}
