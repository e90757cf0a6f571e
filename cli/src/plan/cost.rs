//! A month's bill by list prices, line by line.

use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive as _;
use serde::Serialize;

use super::database::Database;
use super::limits::Limits;
use super::measured::{
    LOGGED_PER_CALL, LOGGED_PER_GROUP, LOGGED_PER_INVOCATION, METRICS, SENT_PER_REQUEST, SENT_PER_ROW,
};
use super::prices::{Known, Prices};
use super::runners::Runners;
use super::{DAY, Egress, Input, MONTH_DAYS, Standby, Traffic};

/// Hours of a month.
const HOURS: f64 = 730.0;

/// Zones in which there is a subnet, a NAT gateway, an endpoint.
const ZONES: f64 = 2.0;

/// Endpoints: KMS and Secrets Manager.
const ENDPOINTS: f64 = 2.0;

/// Secrets: the database's two logins, cron's and the internal one.
const SECRETS: f64 = 4.0;

/// Lambda environments that each read their secrets again every 5 minutes and their data key every hour, beside the busy ones.
const ENVIRONMENTS: f64 = 6.0;

/// One unit of an HTTP API's request.
const API_UNIT: f64 = 512.0 * 1_024.0;

/// One line of the bill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// What is paid for.
    pub what: &'static str,
    /// How much of it in a month.
    pub quantity: f64,
    /// In which unit.
    pub unit: &'static str,
    /// US dollars a month, to the cent.
    pub usd: Decimal,
    /// How its price is known.
    pub known: Known,
}

/// A month's bill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Money {
    /// Its lines.
    pub lines: Vec<Line>,
    /// Their sum.
    pub usd_per_month: Decimal,
    /// The sum for a million conversions.
    pub usd_per_million: Decimal,
    /// The day on which the prices were read.
    pub prices_read: String,
}

struct Bill<'a> {
    prices: &'a Prices,
    lines: Vec<Line>,
}

impl Bill<'_> {
    fn add(&mut self, what: &'static str, price: &str, quantity: f64, unit: &'static str) {
        let price = self.prices.get(price);
        let amount = Decimal::from_f64(quantity).unwrap_or(Decimal::MAX);
        let usd = amount.checked_mul(price.usd).unwrap_or(Decimal::MAX).round_dp(2);
        self.lines.push(Line { what, quantity, unit, usd, known: price.known });
    }
}

impl Money {
    pub(super) fn of(
        input: &Input,
        limits: &Limits,
        prices: &Prices,
        traffic: &Traffic,
        runners: &Runners,
        database: &Database,
    ) -> Self {
        let mut bill = Bill { prices, lines: Vec::new() };
        compute(&mut bill, input, traffic, runners);
        store(&mut bill, input, database);
        connect(&mut bill, input, traffic);
        watch(&mut bill, limits, traffic, runners);
        let total: Decimal = bill.lines.iter().map(|line| line.usd).sum();
        #[allow(clippy::cast_precision_loss)] // Far below 2^53.
        let millions = input.conversions_per_day as f64 * MONTH_DAYS / 1e6;
        let millions = Decimal::from_f64(millions).unwrap_or(Decimal::ONE);
        Self {
            lines: bill.lines,
            usd_per_month: total,
            usd_per_million: total.checked_div(millions).unwrap_or(total).round_dp(2),
            prices_read: prices.read.clone(),
        }
    }
}

fn compute(bill: &mut Bill<'_>, input: &Input, traffic: &Traffic, runners: &Runners) {
    let month = |per_day: f64| per_day * MONTH_DAYS;
    bill.add("Lambda, runner", "lambda_gb_second", month(runners.runner_gb_seconds_per_day), "GB-s");
    bill.add("Lambda, ingest", "lambda_gb_second", month(runners.ingest_gb_seconds_per_day), "GB-s");
    bill.add("Lambda, the others", "lambda_gb_second", month(runners.other_gb_seconds_per_day), "GB-s");
    bill.add("Lambda, invocations", "lambda_request", month(runners.invocations_per_day), "invocations");
    bill.add("EventBridge Scheduler", "schedule", month(runners.scheduled_per_day), "invocations");
    let units = (f64::from(input.batch) * super::measured::TAKEN_PER_ROW / API_UNIT).ceil().max(1.0);
    bill.add(
        "API Gateway, the door",
        "http_api_request",
        month(traffic.door_calls_per_day * units),
        "requests",
    );
}

fn store(bill: &mut Bill<'_>, input: &Input, database: &Database) {
    let copies = match input.standby {
        Standby::MultiAz => 2.0,
        Standby::SingleAz => 1.0,
    };
    bill.add("RDS, instance", database.class.name, HOURS * copies, "hours");
    bill.add("RDS, storage at full retention", "rds_gp3_gb_month", database.storage_gib * copies, "GB");
    bill.add("RDS, operations beyond the included", "rds_iops_month", database.iops_bought * copies, "1/s");
}

fn connect(bill: &mut Bill<'_>, input: &Input, traffic: &Traffic) {
    let requests = traffic.uploads_per_day + traffic.polls_per_day;
    // What cannot leave is not sent.
    let rows = traffic.mean.rows_per_request * traffic.uploads_per_day;
    let gb = (rows * SENT_PER_ROW + requests * SENT_PER_REQUEST) * MONTH_DAYS / 1e9;
    match input.egress {
        Egress::Nat => {
            bill.add("NAT gateways", "nat_hour", HOURS * ZONES, "hours");
            bill.add("NAT gateways, data", "nat_gb", gb, "GB");
            bill.add("public IPv4 addresses", "ipv4_hour", HOURS * ZONES, "hours");
        }
        Egress::DualStack => {}
    }
    bill.add("data out to the platforms", "out_gb", gb, "GB");
    bill.add("endpoints of KMS and Secrets Manager", "endpoint_hour", HOURS * ZONES * ENDPOINTS, "hours");
}

fn watch(bill: &mut Bill<'_>, limits: &Limits, traffic: &Traffic, runners: &Runners) {
    let environments = ENVIRONMENTS + runners.needed_at_peak + runners.door_calls_in_flight_at_peak.ceil();
    bill.add("KMS, key", "kms_key_month", 1.0, "keys");
    bill.add("KMS, requests", "kms_request", environments * HOURS, "requests");
    bill.add("Secrets Manager, secrets", "secret_month", SECRETS, "secrets");
    bill.add("Secrets Manager, requests", "secret_request", environments * HOURS * 12.0, "requests");
    let groups = (traffic.mean.requests_per_second * DAY).min(traffic.uploads_per_day);
    let logged = runners.scheduled_per_day * LOGGED_PER_INVOCATION
        + groups * LOGGED_PER_GROUP
        + traffic.door_calls_per_day * LOGGED_PER_CALL;
    let gb = logged * MONTH_DAYS / 1e9;
    bill.add("CloudWatch Logs, taken in", "log_gb", gb, "GB");
    let kept = gb / MONTH_DAYS * f64::from(limits.template.log_retention_days);
    // Kept compressed: AWS reckons with 0.15 of what came in.
    bill.add("CloudWatch Logs, kept", "log_gb_month", kept * 0.15, "GB");
    bill.add("CloudWatch, metrics", "metric_month", METRICS, "metrics");
    bill.add("CloudWatch, alarms", "alarm_month", f64::from(limits.template.alarms), "alarms");
    bill.add("CloudWatch, dashboard", "dashboard_month", f64::from(limits.template.dashboards), "dashboards");
}
