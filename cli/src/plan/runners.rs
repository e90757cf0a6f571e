//! Lambda: how many runners are at work, and how long all functions run.

use serde::Serialize;

use super::limits::Limits;
use super::measured::{
    CALLS_PER_POLL, DATABASE_CALL, DOOR_CALL_CPU, DOOR_ROW_CPU, IDLE_RUN, INGEST_CALL_CPU, INGEST_ROW_CPU,
    MB_PER_VCPU, NIGHT, START,
};
use super::{DAY, Input, Traffic};

/// What Lambda does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Runners {
    /// Uploads in flight in the busiest hour: requests each second × seconds of one (Little's law).
    pub uploads_in_flight_at_peak: f64,
    /// Workers that carry them.
    pub needed_at_peak: f64,
    /// Workers that can be at work at once: one a minute for as long as each may last, within `RunnerConcurrency`.
    pub available: f64,
    /// Uploads that can be in flight at once: by the workers, and by the slots of the clients.
    pub places: f64,
    /// Calls of the door in flight in the busiest hour (Little's law).
    pub door_calls_in_flight_at_peak: f64,
    /// Seconds of one call of the door.
    pub door_call_seconds: f64,
    /// Seconds that runners are paid for on a day, at 1 GB for a second each.
    pub runner_gb_seconds_per_day: f64,
    /// The same of the door.
    pub ingest_gb_seconds_per_day: f64,
    /// The same of confirm, recover and maintain.
    pub other_gb_seconds_per_day: f64,
    /// Invocations on a day, the door's included.
    pub invocations_per_day: f64,
    /// Those of them that schedules made.
    pub scheduled_per_day: f64,
}

impl Runners {
    pub(super) fn of(input: &Input, limits: &Limits, traffic: &Traffic) -> Self {
        let template = &limits.template;
        let in_flight = traffic.at_peak.requests_per_second * traffic.at_peak.upload_seconds;
        let call = door_call_seconds(input, limits);
        let shapes = [template.runner, template.confirm, template.recover, template.maintain];
        let scheduled = shapes.iter().map(|shape| shape.scheduled_per_day).sum::<f64>();
        // While a worker is at it there is at least one, and more where its places do not suffice.
        let mean_in_flight = traffic.mean.requests_per_second * traffic.mean.upload_seconds;
        let at_work = (mean_in_flight / limits.uploads_in_flight).max(traffic.mean.busy);
        let runner_seconds = at_work * DAY + template.runner.scheduled_per_day * (START + IDLE_RUN);
        let question = input.provider_latency_seconds + CALLS_PER_POLL * DATABASE_CALL;
        let asking = traffic.polls_per_day.min(limits.polls_per_day(input)) * question;
        let others = [
            (template.confirm, asking / limits.receipts_in_flight),
            (template.recover, 0.0),
            (template.maintain, NIGHT),
        ];
        let others = others.map(|(shape, work)| {
            (work + shape.scheduled_per_day * (START + IDLE_RUN)) * shape.memory_mb / 1_024.0
        });
        Self {
            uploads_in_flight_at_peak: in_flight,
            needed_at_peak: (in_flight / limits.uploads_in_flight).ceil().max(1.0),
            available: limits.workers(input),
            places: limits.places(input),
            door_calls_in_flight_at_peak: traffic.door_calls_per_second_at_peak * call,
            door_call_seconds: call,
            runner_gb_seconds_per_day: runner_seconds * template.runner.memory_mb / 1_024.0,
            ingest_gb_seconds_per_day: traffic.door_calls_per_day * call * template.ingest.memory_mb
                / 1_024.0,
            other_gb_seconds_per_day: others.iter().sum(),
            invocations_per_day: scheduled + traffic.door_calls_per_day,
            scheduled_per_day: scheduled,
        }
    }
}

/// Seconds of one call of the door: its share of a core, and the one call to the database, which works on its rows meanwhile.
fn door_call_seconds(input: &Input, limits: &Limits) -> f64 {
    let rows = f64::from(input.batch);
    let share = (limits.template.ingest.memory_mb / MB_PER_VCPU).min(1.0);
    (INGEST_CALL_CPU + rows * INGEST_ROW_CPU) / share + DATABASE_CALL + DOOR_CALL_CPU + rows * DOOR_ROW_CPU
}
