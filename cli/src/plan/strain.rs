//! How full everything is, and what breaks first.

use serde::Serialize;

use super::database::{CLASSES, CPU_SHARE, Database, IOPS_MAX, STORAGE_MAX, connections_of};
use super::limits::{Limits, SLOTS, Transport};
use super::runners::Runners;
use super::{Input, Traffic, traffic};

/// What being too small does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Batches grow and conversions wait; all of them are delivered.
    Bends,
    /// Something is refused, or waits for ever.
    Breaks,
}

/// One thing that can be full.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Strain {
    /// What.
    pub what: &'static str,
    /// What is asked of it.
    pub asked: f64,
    /// What it has.
    pub has: f64,
    /// In which unit.
    pub unit: &'static str,
    /// `asked / has`; above 1 it is too small for what is asked.
    pub share: f64,
    /// What that does.
    pub way: Way,
    /// What happens then, and what to do.
    pub then: &'static str,
}

/// What bends or breaks first if conversions grow and nothing else changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weakest {
    /// What; the same name as in the list.
    pub what: &'static str,
    /// At so many conversions a day, all else being as it is.
    pub at_conversions_per_day: f64,
    /// What happens then, and what to do.
    pub then: &'static str,
}

/// More conversions a day than anybody has.
const CONVERSIONS_MAX: f64 = 1e13;

const MINUTE: &str = "request budget of a minute";
const DAILY: &str = "request budget of a day";
const PLACES: &str = "uploads in flight";

/// How full everything is, the fullest first. Requests are those that a minute's batches take: what is too small for them is
/// helped by larger batches, so what breaks is the delay and not the delivery, until batches are full.
pub(super) fn of(
    input: &Input,
    limits: &Limits,
    traffic: &Traffic,
    runners: &Runners,
    database: &Database,
) -> Vec<Strain> {
    let wanted = Wanted::of(input, limits, traffic);
    let largest = CLASSES[CLASSES.len() - 1];
    let polls = limits.polls_per_upload(input);
    let mut all = vec![
        strain(
            PLACES,
            wanted.at_peak * traffic.at_peak.upload_seconds,
            runners.places,
            "uploads",
            "sites are visited less often and batches grow; more OAuth clients, ten slots each, until all workers are at work; then a second worker schedule",
        ),
        strain(
            "full batches",
            traffic.sent_per_second,
            limits.rows_max * capacity(input, limits),
            "rows/s",
            "more comes in than goes out, and the backlog grows for ever; more OAuth clients, or a budget from the platform",
        ),
        strain(
            "requests at the door",
            traffic.door_calls_per_second_at_peak,
            f64::from(input.ingest_requests_per_second),
            "calls/s",
            "clients are answered 429 and come again; larger batches, or IngestRequestsPerSecond",
        ),
        strain(
            "calls in the door",
            runners.door_calls_in_flight_at_peak,
            f64::from(input.ingest_concurrency),
            "calls",
            "clients are told to come again; larger batches, or IngestConcurrency",
        ),
        strain(
            "database CPU",
            database.cores_at_peak,
            largest.vcpus * CPU_SHARE,
            "cores",
            "the largest instance is half busy; larger batches, or sites over several databases",
        ),
        strain(
            "database connections",
            database.connections,
            connections_of(&largest),
            "connections",
            "connections are refused; RDS Proxy or PgBouncer, or less concurrency",
        ),
        strain(
            "database storage",
            database.storage_gib,
            STORAGE_MAX,
            "GiB",
            "the volume cannot grow; a shorter retention, Aurora, or sites over several databases",
        ),
        strain(
            "database operations",
            database.iops_at_peak,
            IOPS_MAX,
            "1/s",
            "the index of keys outgrew the memory; a shorter retention, a larger instance, or several databases",
        ),
    ];
    if let Some(has) = limits.minute_per_second(input) {
        let asked = wanted.at_peak * (1.0 + polls);
        all.push(strain(
            MINUTE,
            asked,
            has,
            "requests/s",
            "batches wait for more; ask the platform for more, or more OAuth clients",
        ));
    }
    if let Some(has) = limits.day_per_second(input) {
        let asked = wanted.mean * (1.0 + polls);
        all.push(strain(
            DAILY,
            asked,
            has,
            "requests/s",
            "batches wait for more; ask the platform for more, or more OAuth clients",
        ));
    }
    if input.transport == Transport::DataManager {
        all.push(strain(
            "receipts",
            traffic.polls_per_day,
            limits.polls_per_day(input),
            "questions/day",
            "conversions stay SUBMITTED for longer; confirm more often than each 30 minutes",
        ));
    }
    all.sort_by(|one, other| other.share.total_cmp(&one.share));
    all
}

/// Requests that a minute's batches take, whether or not there is room for them.
struct Wanted {
    mean: f64,
    at_peak: f64,
}

impl Wanted {
    fn of(input: &Input, limits: &Limits, traffic: &Traffic) -> Self {
        let each = |sent: f64| {
            let tick = limits.template.tick_seconds;
            let sites = f64::from(input.sites);
            sites * super::requests_of(sent / sites * tick, limits.rows_max) / tick
        };
        Self { mean: each(traffic.sent_per_second), at_peak: each(traffic.sent_per_second_at_peak) }
    }
}

/// Requests each second that can leave in the long run.
fn capacity(input: &Input, limits: &Limits) -> f64 {
    let by_places = limits.places(input) / limits.upload_seconds(input, limits.rows_max);
    let polls = limits.polls_per_upload(input);
    limits.budget_per_second(input).map_or(by_places, |budget| by_places.min(budget / (1.0 + polls)))
}

fn strain(what: &'static str, asked: f64, has: f64, unit: &'static str, then: &'static str) -> Strain {
    let way = if [PLACES, MINUTE, DAILY].contains(&what) { Way::Bends } else { Way::Breaks };
    Strain { what, asked, has, unit, share: if has > 0.0 { asked / has } else { f64::INFINITY }, way, then }
}

/// Clients with which a minute's batches would all find a place in a budget and a slot at once; more than there are sites are
/// of no use.
pub(super) fn clients_wanted(input: &Input, traffic: &Traffic, strain: &[Strain]) -> u32 {
    let budgets = strain.iter().filter(|strain| [MINUTE, DAILY].contains(&strain.what));
    let by_budget = budgets.map(|strain| strain.share * Limits::clients(input)).fold(0.0, f64::max);
    let in_flight = strain.iter().find(|strain| strain.what == PLACES).map_or(0.0, |strain| strain.asked);
    let by_slots =
        in_flight.min(traffic.at_peak.upload_seconds * traffic.sent_per_second_at_peak) / f64::from(SLOTS);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // As many as there are sites at most.
    let wanted = by_budget.max(by_slots).ceil().clamp(1.0, f64::from(input.sites)) as u32;
    wanted
}

impl Weakest {
    /// Looks for the number of conversions at which the first thing is full that gives way like this. Nothing gets emptier
    /// by more conversions.
    pub(super) fn of(input: &Input, limits: &Limits, way: Way) -> Self {
        let (mut fits, mut breaks) = (0.0_f64, CONVERSIONS_MAX);
        while breaks - fits > (breaks * 1e-4).max(1.0) {
            let middle = if fits < 1.0 { breaks.sqrt() } else { (fits * breaks).sqrt() };
            if middle <= fits || middle >= breaks {
                break;
            }
            if fullest(input, limits, middle, way).share <= 1.0 {
                fits = middle
            } else {
                breaks = middle
            }
            if breaks <= 2.0 {
                break;
            }
        }
        let first = fullest(input, limits, breaks, way);
        Self { what: first.what, at_conversions_per_day: breaks, then: first.then }
    }
}

fn fullest(input: &Input, limits: &Limits, conversions: f64, way: Way) -> Strain {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Between 1 and 10^13.
    let input = Input { conversions_per_day: conversions as u64, ..*input };
    let traffic = traffic(&input, limits);
    let runners = Runners::of(&input, limits, &traffic);
    let database = Database::of(&input, limits, &traffic);
    let all = of(&input, limits, &traffic, &runners, &database);
    all.into_iter().find(|strain| strain.way == way).expect("some bend and some break")
}
