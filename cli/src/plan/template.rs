//! The numbers of `template.yaml`, read from its text, so that the model cannot say anything else than what is deployed.

/// The template itself.
const TEMPLATE: &str = include_str!("../../../template.yaml");

/// One function as the template has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Seconds until Lambda ends it.
    pub timeout_seconds: f64,
    /// Memory in MB.
    pub memory_mb: f64,
    /// Invocations by its schedules on a day.
    pub scheduled_per_day: f64,
}

/// What the model takes from the template.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Template {
    /// The function that uploads.
    pub runner: Shape,
    /// The one that reads receipts.
    pub confirm: Shape,
    /// The one that puts right what a crash left.
    pub recover: Shape,
    /// The one that keeps house.
    pub maintain: Shape,
    /// The door.
    pub ingest: Shape,
    /// Seconds between two workers of a provider.
    pub tick_seconds: f64,
    /// Default of `RunnerConcurrency`.
    pub runner_concurrency: u32,
    /// Default of `IngestConcurrency`.
    pub ingest_concurrency: u32,
    /// Default of `IngestRequestsPerSecond`.
    pub ingest_requests_per_second: u32,
    /// Default of `LogRetentionDays`.
    pub log_retention_days: u32,
    /// Alarms.
    pub alarms: u32,
    /// Dashboards.
    pub dashboards: u32,
}

impl Template {
    /// Reads the template that this program was built with.
    ///
    /// # Panics
    /// Where a number is not found: a mistake in this file or in the template, which a test sees first.
    pub fn read() -> Self {
        let runner = block("runner");
        let ticks = per_day(&runner).into_iter().fold(0.0, f64::max);
        Self {
            runner: shape("runner"),
            confirm: shape("confirm"),
            recover: shape("recover"),
            maintain: shape("maintain"),
            ingest: shape("ingest"),
            tick_seconds: super::DAY / ticks,
            runner_concurrency: parameter("RunnerConcurrency"),
            ingest_concurrency: parameter("IngestConcurrency"),
            ingest_requests_per_second: parameter("IngestRequestsPerSecond"),
            log_retention_days: parameter("LogRetentionDays"),
            alarms: count("Type: AWS::CloudWatch::Alarm"),
            dashboards: count("Type: AWS::CloudWatch::Dashboard"),
        }
    }
}

fn count(text: &str) -> u32 {
    u32::try_from(TEMPLATE.matches(text).count()).unwrap_or(u32::MAX)
}

/// The lines of one resource or parameter: up to the next line that is indented as its name.
fn block(name: &str) -> Vec<&'static str> {
    let mut lines = TEMPLATE.lines().skip_while(|line| *line != format!("  {name}:"));
    assert!(lines.next().is_some(), "template.yaml has no {name}");
    lines.take_while(|line| line.is_empty() || line.starts_with("    ")).map(str::trim).collect()
}

fn shape(name: &str) -> Shape {
    let own = block(name);
    let globals: Vec<&str> = TEMPLATE
        .lines()
        .skip_while(|line| *line != "Globals:")
        .skip(1)
        .take_while(|line| line.is_empty() || line.starts_with(' '))
        .map(str::trim)
        .collect();
    let number = |key: &str| {
        let found = value(&own, key).or_else(|| value(&globals, key));
        found.unwrap_or_else(|| panic!("template.yaml: {name} has no {key}"))
    };
    Shape {
        timeout_seconds: number("Timeout"),
        memory_mb: number("MemorySize"),
        scheduled_per_day: per_day(&own).into_iter().sum(),
    }
}

fn parameter(name: &str) -> u32 {
    let lines = block(name);
    let default = lines.iter().find_map(|line| line.strip_prefix("Default: "));
    let default = default.and_then(|text| text.parse().ok());
    default.unwrap_or_else(|| panic!("template.yaml: {name} has no number as its default"))
}

fn value(lines: &[&str], key: &str) -> Option<f64> {
    let text = lines.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))?;
    text.parse().ok()
}

/// How often each schedule of a function comes on a day.
fn per_day(lines: &[&str]) -> Vec<f64> {
    let schedules = lines.iter().filter_map(|line| line.strip_prefix("ScheduleExpression: "));
    schedules
        .map(|text| times(text).unwrap_or_else(|| panic!("template.yaml: the schedule {text}")))
        .collect()
}

fn times(schedule: &str) -> Option<f64> {
    if schedule.starts_with("cron(0 ") {
        return Some(1.0);
    }
    let (number, unit) = schedule.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
    let seconds = match unit.trim_end_matches('s') {
        "minute" => 60.0,
        "hour" => 3_600.0,
        "day" => super::DAY,
        _ => return None,
    };
    Some(super::DAY / (number.parse::<f64>().ok()? * seconds))
}
