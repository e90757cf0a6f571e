//! Figures for CloudWatch, in its embedded metric format: of each run at its end, and the gauges once a minute. One line
//! for each set of dimensions; never one for a site, which would be a metric to pay for each.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{Unit, describe_histogram, histogram};
use metrics_cloudwatch_embedded::{Builder, Collector};
use serde_json::Value;
use tracing::warn;

use super::task::Descriptor;
use crate::store::{Gauge, RunEnd};

/// Counters of a run and their metrics.
const COUNTERS: [(&str, &str); 9] = [
    ("processed", "Processed"),
    ("completed", "Completed"),
    ("failed", "Failed"),
    ("retry", "Retried"),
    ("held", "Held"),
    ("submitted", "Submitted"),
    ("released", "Released"),
    ("stale", "StaleOutcomes"),
    ("unknown_codes", "UnknownCodes"),
];

/// Where the lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: what Lambda collects.
    Stdout,
    /// Standard error, beside the logs: standard output belongs to the answer.
    Stderr,
}

/// Tells figures.
#[derive(Clone, Copy)]
pub struct Figures {
    collector: &'static Collector,
    environment: &'static str,
    stream: Stream,
}

/// One document at a time: the collector is the process's, and tasks end when they end.
static TELLING: Mutex<()> = Mutex::new(());

impl Figures {
    /// Starts telling; once in a process, for the recorder is the process's.
    ///
    /// # Errors
    /// Where another recorder was set.
    pub fn start(namespace: String, environment: &'static str, stream: Stream) -> anyhow::Result<Self> {
        let collector = Builder::new()
            .cloudwatch_namespace(namespace)
            .init()
            .map_err(|error| anyhow::anyhow!("the recorder of metrics cannot be set: {error}"))?;
        for (_, name) in COUNTERS {
            describe_histogram!(name, Unit::Count, "");
        }
        for name in ["Requests", "Throttled", "RunErrors", "RunsDone"] {
            describe_histogram!(name, Unit::Count, "");
        }
        for (name, unit, _) in GAUGES {
            describe_histogram!(name, unit, "");
        }
        describe_histogram!("RunDuration", Unit::Milliseconds, "");
        Ok(Self { collector, environment, stream })
    }

    /// What a run counted, when it ends: by environment and task (uploads have a task for each provider).
    pub(super) fn tell_run(
        &self,
        task: &Descriptor,
        end: &RunEnd,
        done: &anyhow::Result<()>,
        duration: Duration,
    ) {
        let record = |name: &'static str, value: u64| {
            let labels =
                [("Environment", self.environment.to_owned()), ("Task", task.key.as_str().to_owned())];
            #[allow(clippy::cast_precision_loss)] // CloudWatch knows no other numbers.
            histogram!(name, &labels).record(value as f64);
        };
        self.tell(|| {
            for (counter, name) in COUNTERS {
                if let Some(value) = end.counters.get(counter).and_then(Value::as_u64) {
                    record(name, value);
                }
            }
            if task.provider.is_some() || end.requests > 0 {
                record("Requests", end.requests);
                record("Throttled", end.http_429);
            }
            record("RunErrors", end.errors);
            record("RunsDone", u64::from(done.is_ok()));
            record("RunDuration", u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        });
    }

    /// The gauges of all providers together, by environment, and of each, by environment and provider.
    pub(super) fn tell_gauges(&self, gauges: &[Gauge]) {
        self.tell(|| {
            for gauge in gauges.iter().filter(|gauge| gauge.site_id.is_none()) {
                let mut labels = vec![("Environment", self.environment.to_owned())];
                labels.extend(gauge.provider_key.clone().map(|provider| ("Provider", provider)));
                for (name, _, value) in GAUGES {
                    histogram!(name, &labels).record(value(gauge));
                }
            }
        });
    }

    /// Whole lines in one go, so that none is torn by a log line.
    fn tell(&self, record: impl FnOnce()) {
        let _one = TELLING.lock().unwrap_or_else(PoisonError::into_inner);
        record();
        let mut lines = Vec::new();
        let told = self.collector.flush(&mut lines).and_then(|()| match self.stream {
            Stream::Stdout => io::stdout().lock().write_all(&lines),
            Stream::Stderr => io::stderr().lock().write_all(&lines),
        });
        if let Err(error) = told {
            warn!(%error, "the figures could not be told");
        }
    }
}

type Read = fn(&Gauge) -> f64;

/// The gauges: name, unit, value. What nothing waits for is 0 seconds old, so that an alarm comes back by itself.
#[allow(clippy::cast_precision_loss)] // CloudWatch knows no other numbers.
const GAUGES: [(&str, Unit, Read); 15] = [
    ("Backlog", Unit::Count, |gauge| gauge.backlog as f64),
    ("OldestWaitingAge", Unit::Seconds, |gauge| gauge.oldest_waiting_seconds.unwrap_or_default()),
    ("AtRisk", Unit::Count, |gauge| gauge.at_risk as f64),
    ("WaitingHeld", Unit::Count, |gauge| gauge.held as f64),
    ("Processing", Unit::Count, |gauge| gauge.processing as f64),
    ("WaitingSubmitted", Unit::Count, |gauge| gauge.submitted as f64),
    ("OldestSubmittedAge", Unit::Seconds, |gauge| gauge.oldest_submitted_seconds.unwrap_or_default()),
    ("DeadLetters", Unit::Count, |gauge| gauge.dead_letters as f64),
    ("HeldGroups", Unit::Count, |gauge| f64::from(gauge.held_groups)),
    ("OpenCircuits", Unit::Count, |gauge| f64::from(gauge.open_circuits)),
    ("SilentGroups", Unit::Count, |gauge| f64::from(gauge.silent_groups)),
    ("CompletedLastHour", Unit::Count, |gauge| gauge.completed_last_hour.unwrap_or_default() as f64),
    ("FailedLastHour", Unit::Count, |gauge| gauge.failed_last_hour.unwrap_or_default() as f64),
    ("RetriedLastHour", Unit::Count, |gauge| gauge.retry_last_hour.unwrap_or_default() as f64),
    ("StaleOutcomesLastHour", Unit::Count, |gauge| gauge.stale_outcomes_last_hour.unwrap_or_default() as f64),
];
