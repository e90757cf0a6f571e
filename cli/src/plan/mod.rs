//! What a deployment of some size needs: requests, runners, database, time, money. A model and no measurement: pure
//! functions of their inputs, of the limits that stand in the code, and of what was measured once. `docs/scale.md` explains it.

mod cost;
mod database;
mod delay;
pub mod limits;
pub mod measured;
pub mod prices;
mod rhythm;
mod runners;
mod strain;
mod template;

use serde::Serialize;

pub use cost::{Line, Money};
pub use database::Database;
pub use delay::Delay;
pub use limits::{Limits, Transport};
pub use prices::{Prices, Region};
pub use rhythm::{Rhythm, requests_of};
pub use runners::Runners;
pub use strain::{Strain, Way, Weakest};
pub use template::{Shape, Template};

/// Seconds in a day.
pub const DAY: f64 = 86_400.0;

/// Days in a month, as AWS's 730 hours have it.
pub const MONTH_DAYS: f64 = 730.0 / 24.0;

/// How private subnets reach the platforms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Egress {
    /// A NAT gateway in each of two zones.
    Nat,
    /// IPv6 through an egress-only gateway, which costs nothing.
    DualStack,
}

/// Whether the database has a standby in another zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standby {
    /// It has: twice the instance and twice the storage.
    MultiAz,
    /// It has not.
    SingleAz,
}

/// What is to be planned for. The command line checks the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Input {
    /// Sites that send; all alike.
    pub sites: u32,
    /// Conversions that come in on a day, over all sites.
    pub conversions_per_day: u64,
    /// Seconds from a request to its answer.
    pub provider_latency_seconds: f64,
    /// The way to the platform.
    pub transport: Transport,
    /// OAuth clients, each with a request budget and slots of its own, that the sites share alike.
    pub clients: u32,
    /// The busiest hour's rate over the mean; 1 or more.
    pub peak: f64,
    /// Conversions in one call of the door.
    pub batch: u32,
    /// How often a receipt is asked for, where there are receipts; 1 or more.
    pub polls_per_receipt: f64,
    /// Part of what is sent that has to be sent again; less than 1.
    pub retry_share: f64,
    /// Days for which history is kept.
    pub retention_days: u32,
    /// `RunnerConcurrency` of the template.
    pub runner_concurrency: u32,
    /// `IngestConcurrency` of the template.
    pub ingest_concurrency: u32,
    /// `IngestRequestsPerSecond` of the template.
    pub ingest_requests_per_second: u32,
    /// Where.
    pub region: Region,
    /// How requests leave.
    pub egress: Egress,
    /// The database's second half.
    pub standby: Standby,
}

/// What comes in and what goes out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Traffic {
    /// Conversions that are sent each second at the mean, those that go again included.
    pub sent_per_second: f64,
    /// The same in the busiest hour.
    pub sent_per_second_at_peak: f64,
    /// Calls of the door each second in the busiest hour.
    pub door_calls_per_second_at_peak: f64,
    /// Calls of the door on a day.
    pub door_calls_per_day: f64,
    /// Uploads on a day.
    pub uploads_per_day: f64,
    /// Questions for receipts on a day.
    pub polls_per_day: f64,
    /// Uploads and questions each second in the busiest hour.
    pub requests_per_second_at_peak: f64,
    /// How rows come together at the mean.
    pub mean: Rhythm,
    /// And in the busiest hour.
    pub at_peak: Rhythm,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// What was asked.
    pub input: Input,
    /// Whether what comes in goes out again, at the mean over a day.
    pub keeps_up: bool,
    /// Requests.
    pub traffic: Traffic,
    /// Lambda.
    pub runners: Runners,
    /// PostgreSQL.
    pub database: Database,
    /// From enqueue to delivery.
    pub delay: Delay,
    /// A month by list prices.
    pub cost: Money,
    /// How full everything is in the busiest hour, the fullest first.
    pub strain: Vec<Strain>,
    /// OAuth clients with which budgets and slots would let every minute's batches go at once.
    pub clients_wanted: u32,
    /// What makes conversions wait first, if they grow and nothing else changes.
    pub bends_first: Weakest,
    /// What refuses them first.
    pub breaks_first: Weakest,
}

/// Plans.
pub fn plan(input: &Input, limits: &Limits, prices: &Prices) -> Plan {
    let traffic = traffic(input, limits);
    let runners = Runners::of(input, limits, &traffic);
    let database = Database::of(input, limits, &traffic);
    let strain = strain::of(input, limits, &traffic, &runners, &database);
    Plan {
        input: *input,
        keeps_up: traffic.mean.keeps_up,
        delay: Delay::of(input, limits, &traffic.mean, &traffic.at_peak),
        cost: Money::of(input, limits, prices, &traffic, &runners, &database),
        clients_wanted: strain::clients_wanted(input, &traffic, &strain),
        bends_first: Weakest::of(input, limits, Way::Bends),
        breaks_first: Weakest::of(input, limits, Way::Breaks),
        traffic,
        runners,
        database,
        strain,
    }
}

/// What comes in and what goes out.
pub fn traffic(input: &Input, limits: &Limits) -> Traffic {
    #[allow(clippy::cast_precision_loss)] // Far below 2^53.
    let per_second = input.conversions_per_day as f64 / DAY;
    let sent = per_second / (1.0 - input.retry_share);
    let mean = Rhythm::of(sent, input, limits, limits.budget_per_second(input));
    let at_peak = Rhythm::of(sent * input.peak, input, limits, limits.minute_per_second(input));
    let polls = limits.polls_per_upload(input);
    Traffic {
        sent_per_second: sent,
        sent_per_second_at_peak: sent * input.peak,
        door_calls_per_second_at_peak: per_second * input.peak / f64::from(input.batch),
        door_calls_per_day: per_second * DAY / f64::from(input.batch),
        uploads_per_day: mean.requests_per_second * DAY,
        polls_per_day: mean.requests_per_second * DAY * polls,
        requests_per_second_at_peak: at_peak.requests_per_second * (1.0 + polls),
        mean,
        at_peak,
    }
}
