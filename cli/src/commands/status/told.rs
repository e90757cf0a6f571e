//! What every form of `relay status` tells: times, what stops a provider, holds, outcomes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use shared::providers::{Registry, reasons};
use shared::store::{ConversionCount, Pause, ProviderCircuit};

use crate::commands::meaning::advice;
use crate::output::{Set, grouped, table_within, time};

/// What every terminal has.
pub(super) const WIDTH: u16 = 80;

const HOLDS: [(&str, Set); 3] =
    [("hold", Set::Text), ("sites", Set::Number), ("why, and what to do", Set::Text)];

const OUTCOMES: [(&str, Set); 5] = [
    ("provider", Set::Whole),
    ("status", Set::Whole),
    ("outcome", Set::Whole),
    ("code", Set::Text),
    ("conversions", Set::Number),
];

/// Seconds as people say them; nothing where there are none.
pub(super) fn age(seconds: Option<f64>) -> String {
    #[allow(clippy::cast_possible_truncation)] // Seconds of a person's time.
    seconds.map_or_else(String::new, |seconds| since(seconds as i64))
}

/// How long, in the largest whole unit; a time that lies ahead is not due.
pub(super) fn since(seconds: i64) -> String {
    match seconds {
        ..0 => "not due".to_owned(),
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        172_800.. => format!("{} d", seconds / 86_400),
    }
}

/// A time of the next hours.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

/// What stops a provider as a whole, before all else.
pub(super) fn stops_text(pauses: &[Pause], circuits: &[ProviderCircuit]) -> String {
    let mut text = String::new();
    for pause in pauses.iter().filter(|pause| pause.site_id.is_none()) {
        let until = pause
            .paused_until
            .map_or_else(|| "until it is resumed".to_owned(), |at| format!("until {}", time(at)));
        text += &format!("{} is paused {until}: {}\n", pause.provider_key, pause.reason);
    }
    for circuit in circuits.iter().filter(|circuit| circuit.state != "CLOSED") {
        let probe = circuit.next_probe_at.map_or_else(String::new, |at| format!(", probed at {}", clock(at)));
        text += &format!(
            "{} does not answer most of its groups: one request probes for all{probe}\n",
            circuit.provider_key
        );
    }
    if text.is_empty() { text } else { text + "\n" }
}

/// Holds of whole groups, with how many groups each has.
pub(super) fn counted_holds<'a>(
    held: impl Iterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<(&'a str, &'a str), usize> {
    let mut holds = BTreeMap::new();
    for hold in held {
        *holds.entry(hold).or_default() += 1;
    }
    holds
}

pub(super) fn holds_json(holds: BTreeMap<(&str, &str), usize>, registry: &Registry) -> Vec<Value> {
    let hold = |((provider, code), groups): ((&str, &str), usize)| {
        let reason = reasons::find(registry, provider, code);
        json!({ "provider_key": provider, "code": code, "groups": groups, "reason": reason })
    };
    holds.into_iter().map(hold).collect()
}

pub(super) fn holds_text(holds: BTreeMap<(&str, &str), usize>, registry: &Registry) -> String {
    let row = |((provider, code), groups): ((&str, &str), usize)| {
        let why = reasons::find(registry, provider, code).as_ref().map_or_else(String::new, advice);
        vec![code.to_owned(), grouped(groups as u64), why]
    };
    let rows: Vec<_> = holds.into_iter().map(row).collect();
    if rows.is_empty() { String::new() } else { format!("\n\n{}", table_within(WIDTH, &HOLDS, rows)) }
}

pub(super) fn outcomes_text(outcomes: Option<&[ConversionCount]>) -> String {
    let Some(outcomes) = outcomes else { return String::new() };
    let row = |count: &ConversionCount| {
        vec![
            count.provider_key.clone(),
            count.status.clone(),
            count.outcome.clone().unwrap_or_default(),
            count.code.clone().unwrap_or_default(),
            grouped(count.conversions),
        ]
    };
    format!("\n\n{}", table_within(WIDTH, &OUTCOMES, outcomes.iter().map(row)))
}
