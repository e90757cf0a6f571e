//! `relay plan`: what a deployment of some size needs, on paper.

use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::failure::{Exit, Failure};
use crate::output::{Output, Set, grouped, table, wrapped};
use crate::plan::{Egress, Input, Limits, Plan, Prices, Region, Standby, Template, Transport, Weakest, plan};

/// What a deployment of some size needs: requests, runners, database, delay, a month's bill; a model, no measurement
#[derive(Args)]
pub(super) struct Arguments {
    /// Sites that send, 1 to 100000; all alike
    #[arg(long, value_name = "N")]
    sites: String,
    /// Conversions that come in on a day, 1 to 10000000000, over all sites
    #[arg(long, value_name = "N")]
    conversions_per_day: String,
    /// From a request to its answer, such as 800ms or 1.5s; 1ms to 120s
    #[arg(long, value_name = "TIME")]
    provider_latency: String,
    /// The way to the platform
    #[arg(long, value_enum, default_value = "data_manager")]
    transport: Way,
    /// OAuth clients that the sites share, each with its own request budget and slots
    #[arg(long, value_name = "N", default_value = "1")]
    clients: String,
    /// The busiest hour's rate over the mean, 1 to 100
    #[arg(long, value_name = "FACTOR", default_value = "3")]
    peak: String,
    /// Conversions in one call of the door, 1 to 1000
    #[arg(long, value_name = "N", default_value = "10")]
    batch: String,
    /// How often each receipt is asked for, 1 to 50
    #[arg(long, value_name = "N", default_value = "1.2")]
    receipts: String,
    /// Part of what is sent that has to be sent again, 0 to 0.9
    #[arg(long, value_name = "PART", default_value = "0.02")]
    retry_share: String,
    /// Days for which history is kept, 180 to 36500
    #[arg(long, value_name = "N", default_value = "400")]
    retention_days: String,
    /// RunnerConcurrency; the template's default unless said
    #[arg(long, value_name = "N")]
    runner_concurrency: Option<String>,
    /// IngestConcurrency; the template's default unless said
    #[arg(long, value_name = "N")]
    ingest_concurrency: Option<String>,
    /// IngestRequestsPerSecond; the template's default unless said
    #[arg(long, value_name = "N")]
    ingest_requests_per_second: Option<String>,
    /// Whose prices: us-east-1 or eu-central-1
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: String,
    /// How requests leave the private subnets
    #[arg(long, value_enum, default_value = "nat")]
    egress: WayOut,
    /// Whether the database has a standby
    #[arg(long, value_enum, default_value = "multi-az")]
    database: Copies,
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    #[value(name = "data_manager")]
    DataManager,
    #[value(name = "ads_api")]
    AdsApi,
}

#[derive(Clone, Copy, ValueEnum)]
enum WayOut {
    Nat,
    DualStack,
}

#[derive(Clone, Copy, ValueEnum)]
enum Copies {
    MultiAz,
    SingleAz,
}

impl Arguments {
    fn input(&self, template: &Template) -> anyhow::Result<Input> {
        let parameter = |name, text: &Option<String>, default| match text {
            Some(text) => number(name, text, 1, 1_000_000),
            None => Ok(default),
        };
        let runners =
            parameter("--runner-concurrency", &self.runner_concurrency, template.runner_concurrency)?;
        if runners < 2 {
            return Err(wrong("--runner-concurrency", "must be 2 or more: one worker and cron").into());
        }
        Ok(Input {
            sites: number("--sites", &self.sites, 1, 100_000)?,
            conversions_per_day: number(
                "--conversions-per-day",
                &self.conversions_per_day,
                1,
                10_000_000_000,
            )?,
            provider_latency_seconds: seconds("--provider-latency", &self.provider_latency)?,
            transport: match self.transport {
                Way::DataManager => Transport::DataManager,
                Way::AdsApi => Transport::AdsApi,
            },
            clients: number("--clients", &self.clients, 1, 100_000)?,
            peak: decimal("--peak", &self.peak, 1.0, 100.0)?,
            batch: number("--batch", &self.batch, 1, 1_000)?,
            polls_per_receipt: decimal("--receipts", &self.receipts, 1.0, 50.0)?,
            retry_share: decimal("--retry-share", &self.retry_share, 0.0, 0.9)?,
            retention_days: number("--retention-days", &self.retention_days, 180, 36_500)?,
            runner_concurrency: runners,
            ingest_concurrency: parameter(
                "--ingest-concurrency",
                &self.ingest_concurrency,
                template.ingest_concurrency,
            )?,
            ingest_requests_per_second: parameter(
                "--ingest-requests-per-second",
                &self.ingest_requests_per_second,
                template.ingest_requests_per_second,
            )?,
            region: self.region.parse::<Region>().map_err(|reason| wrong("--region", &reason))?,
            egress: match self.egress {
                WayOut::Nat => Egress::Nat,
                WayOut::DualStack => Egress::DualStack,
            },
            standby: match self.database {
                Copies::MultiAz => Standby::MultiAz,
                Copies::SingleAz => Standby::SingleAz,
            },
        })
    }
}

fn wrong(flag: &str, reason: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{flag} {reason}")).hint("relay plan --help")
}

fn number<N: FromStr + PartialOrd + std::fmt::Display>(
    flag: &str,
    text: &str,
    least: N,
    most: N,
) -> Result<N, Failure> {
    match text.replace('_', "").parse::<N>() {
        Ok(number) if number >= least && number <= most => Ok(number),
        Ok(_) | Err(_) => Err(wrong(flag, &format!("must be a whole number from {least} to {most}"))),
    }
}

fn decimal(flag: &str, text: &str, least: f64, most: f64) -> Result<f64, Failure> {
    match text.parse::<f64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(wrong(flag, &format!("must be a number from {least} to {most}"))),
    }
}

/// From a millisecond to the longest timeout that can be set.
fn seconds(flag: &str, text: &str) -> Result<f64, Failure> {
    let parsed = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => number.parse::<f64>().ok().map(|number| number / 1_000.0),
        (None, Some(number)) => number.parse().ok(),
        (None, None) => None,
    };
    let found = parsed.filter(|seconds| (0.001..=120.0).contains(seconds));
    found.ok_or_else(|| wrong(flag, "must be a time from 1ms to 120s, such as 800ms or 1.5s"))
}

pub(super) fn run(arguments: &Arguments, output: Output) -> anyhow::Result<Exit> {
    let input = arguments.input(&Template::read())?;
    let limits = Limits::read(input.transport)?;
    let planned = plan(&input, &limits, &Prices::of(input.region)?);
    output.answer(&planned, || text(&planned))?;
    Ok(Exit::Done)
}

fn text(plan: &Plan) -> String {
    let figures = table(&[("", Set::Whole), ("", Set::Text)], figures(plan));
    let strain = table(
        &[
            ("how full in the busiest hour", Set::Whole),
            ("asked", Set::Number),
            ("has", Set::Number),
            ("", Set::Text),
            ("%", Set::Number),
        ],
        plan.strain.iter().map(|strain| {
            let share = format!("{:.1}", strain.share * 100.0);
            vec![
                strain.what.to_owned(),
                short(strain.asked),
                short(strain.has),
                strain.unit.to_owned(),
                share,
            ]
        }),
    );
    let mut cost: Vec<_> = plan
        .cost
        .lines
        .iter()
        .map(|line| {
            let known = format!("{:?}", line.known).to_lowercase();
            vec![
                line.what.to_owned(),
                short(line.quantity),
                line.unit.to_owned(),
                format!("{:.2}", line.usd),
                known,
            ]
        })
        .collect();
    cost.push(vec![
        "together".to_owned(),
        String::new(),
        String::new(),
        format!("{:.2}", plan.cost.usd_per_month),
        String::new(),
    ]);
    let cost = table(
        &[
            ("a month's bill", Set::Whole),
            ("", Set::Number),
            ("", Set::Text),
            ("USD", Set::Number),
            ("price is", Set::Text),
        ],
        cost,
    );
    let first = |what: &str, weakest: &Weakest| {
        let at = match weakest.at_conversions_per_day {
            number if number < 2.0 => "any number of".to_owned(),
            number => short(number),
        };
        wrapped(&format!("{what} first: {}, at {at} conversions a day: {}", weakest.what, weakest.then), 2)
    };
    let bends = first("bends", &plan.bends_first);
    let breaks = first("breaks", &plan.breaks_first);
    let prices = format!(
        "AWS list prices of {}, as known on {}, without free tiers, taxes and support; docs/scale.md says what is measured",
        plan.input.region.as_str(),
        plan.cost.prices_read
    );
    format!("{}\n\n{strain}\n\n{bends}\n{breaks}\n\n{cost}\n\n{}", figures.trim_start(), wrapped(&prices, 2))
}

fn figures(plan: &Plan) -> Vec<Vec<String>> {
    let (traffic, runners, database, delay) = (&plan.traffic, &plan.runners, &plan.database, &plan.delay);
    let row = |name: &str, text: String| vec![name.to_owned(), text];
    let mut rows = vec![
        row(
            "requests",
            format!(
                "{} uploads a day of {} rows, {} questions for receipts; {} requests/s in the busiest hour",
                short(traffic.uploads_per_day),
                short(traffic.mean.rows_per_request),
                short(traffic.polls_per_day),
                short(traffic.requests_per_second_at_peak)
            ),
        ),
        row(
            "runners",
            format!(
                "{} uploads in flight in the busiest hour, so {} of {} workers; {} places",
                short(runners.uploads_in_flight_at_peak),
                short(runners.needed_at_peak),
                short(runners.available),
                short(runners.places)
            ),
        ),
        row(
            "database",
            format!(
                "{} transactions/s and {} cores in the busiest hour; {} calls and {} rows written a conversion; {} connections",
                short(database.transactions_per_second_at_peak),
                short(database.cores_at_peak),
                short(database.statements_per_conversion),
                short(database.rows_written_per_conversion),
                short(database.connections)
            ),
        ),
        row(
            "storage",
            format!(
                "{} GB a day, {} GiB for {} days; {}{}",
                short(database.gb_per_day),
                short(database.storage_gib),
                plan.input.retention_days,
                database.class.name,
                too_small(&database.too_small.names())
            ),
        ),
        row(
            "delay",
            format!(
                "{}; busiest hour {}",
                wait(delay.median_seconds, delay.p99_seconds),
                wait(delay.median_at_peak_seconds, delay.p99_at_peak_seconds)
            ),
        ),
    ];
    if let Some(seconds) = delay.median_until_confirmed_seconds {
        rows.push(row("confirmed", format!("after {} (median)", time(seconds))));
    }
    if !plan.keeps_up {
        rows.push(row("BEWARE", "more comes in than goes out: the backlog grows for ever".to_owned()));
    }
    rows
}

fn wait(median: Option<f64>, p99: Option<f64>) -> String {
    match (median, p99) {
        (Some(median), Some(p99)) => format!("median {}, p99 {}", time(median), time(p99)),
        (None, _) | (_, None) => "grows without end".to_owned(),
    }
}

/// A time as a person says it.
fn time(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 100.0 => format!("{seconds:.1} s"),
        seconds if seconds < 6_000.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.1} h", seconds / 3_600.0),
        seconds => format!("{:.0} days", seconds / 86_400.0),
    }
}

/// Three digits or so.
fn short(number: f64) -> String {
    #[allow(clippy::cast_possible_truncation)] // A number to be read.
    match number {
        number if number >= 1e9 => format!("{:.1}bn", number / 1e9),
        number if number >= 1e7 => format!("{:.0}M", number / 1e6),
        number if number >= 1e6 => format!("{:.1}M", number / 1e6),
        number if number >= 100.0 => grouped(number.round() as i64),
        number if number >= 10.0 || number == number.round() => format!("{}", (number * 10.0).round() / 10.0),
        number if number >= 0.01 => format!("{number:.2}"),
        number => format!("{number:.4}"),
    }
}

/// What even the largest of is not enough.
fn too_small(what: &[&str]) -> String {
    if what.is_empty() {
        String::new()
    } else {
        format!("; too small even at its largest: {}", what.join(", "))
    }
}
