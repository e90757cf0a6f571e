//! `relay explain`: where a conversion stands, what blocks it and until when, and all that happened to it.

use clap::Args;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::boot::{self, Config};
use shared::domain::{Omitted, ProviderKey};
use shared::providers::{Reason, Registry, reasons};
use shared::store::{FoundConversion, TaxonomyOverride};

use super::meaning::{meanings, paragraph};
use crate::failure::{Exit, Failure};
use crate::output::{Output, Set, grouped, table, time};

/// Conversions that are listed where an id leads to several.
const LISTED: usize = 20;

const TIMELINE: [(&str, Set); 6] = [
    ("at", Set::Whole),
    ("event", Set::Whole),
    ("code", Set::Text),
    ("http", Set::Number),
    ("next", Set::Whole),
    ("request", Set::Text),
];

const MATCHES: [(&str, Set); 4] =
    [("conversion", Set::Whole), ("external id", Set::Text), ("site", Set::Whole), ("status", Set::Whole)];

/// Where a conversion stands, what blocks it and until when, and all that happened to it
#[derive(Args)]
pub(super) struct Arguments {
    /// Any id that you hold: conversion, external, order, provider request, run
    id: String,
}

pub(super) async fn run(arguments: Arguments, output: Output) -> anyhow::Result<Exit> {
    let context = boot::open_context(&Config::from_env()).await?;
    let mut found =
        context.store.look_up_conversions(arguments.id.trim(), i32::try_from(LISTED + 1)?).await?;
    let more = found.len() > LISTED;
    found.truncate(LISTED);
    // What was found a moment ago may have been pruned since.
    let document = match found.as_slice() {
        [one] => context.store.explain_conversion(one.conversion_id).await?,
        _ => None,
    };
    match (found.as_slice(), document) {
        ([], _) | ([_], None) => {
            let told = "nothing has this id: no conversion, external id, order, provider request or run";
            Err(Failure::new(Exit::Failed, told).hint("relay status --outcomes").into())
        }
        ([one], Some(document)) => {
            let conversion: Conversion = Deserialize::deserialize(&document)?;
            let registry = context.access.registry();
            let provider = ProviderKey::ALL.into_iter().filter(|key| key.as_str() == conversion.provider_key);
            let overrides = context.store.read_taxonomy_meanings(&provider.collect::<Vec<_>>()).await?;
            let reason = reason(&conversion, &overrides, registry);
            let document = spoken(document, &conversion, reason.as_ref(), registry);
            let answer = json!({ "ok": true, "found_by": one.found_by, "conversion": document });
            output.answer(&answer, || text(&conversion, reason.as_ref(), registry))?;
            Ok(Exit::Done)
        }
        (several, _) => {
            let answer = json!({ "ok": true, "matches": several, "all_matches": !more });
            output.answer(&answer, || list(several, more))?;
            Ok(Exit::Done)
        }
    }
}

/// The document of the database, as far as people read it.
#[derive(Deserialize)]
struct Conversion {
    conversion_id: i64,
    site_id: String,
    provider_key: String,
    external_id: String,
    kind: String,
    status: String,
    outcome: Option<String>,
    retry_count: Option<i64>,
    last_error: Option<String>,
    blocked_by: Option<String>,
    blocked_until: Option<Timestamp>,
    blocked_because: Option<String>,
    waits_for: Option<i64>,
    rows_ahead: Option<i64>,
    expires_at: Timestamp,
    timeline: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    at: Timestamp,
    event: String,
    code: Option<String>,
    http_status: Option<i64>,
    provider_request_id: Option<String>,
    next_attempt_at: Option<Timestamp>,
    /// Bits of what it went without from then on.
    omitted: Option<i16>,
    #[serde(default)]
    foreign_duplicate: bool,
}

/// What a duplicate means that no request of ours brought there.
const FOREIGN_DUPLICATE: &str = "FOREIGN_DUPLICATE";

impl Event {
    /// The code that says most of it.
    fn telling_code(&self) -> Option<&str> {
        if self.foreign_duplicate { Some(FOREIGN_DUPLICATE) } else { self.code.as_deref() }
    }

    /// What happened, and what it went without.
    fn name(&self) -> String {
        let left_out = self.left_out();
        match (left_out.is_empty(), self.foreign_duplicate) {
            (true, false) => self.event.clone(),
            (true, true) => format!("{} (foreign)", self.event),
            (false, _) => format!("{} (without {})", self.event, left_out.join(", ")),
        }
    }

    /// The parts that it goes on without.
    fn left_out(&self) -> Vec<&'static str> {
        self.omitted.map(Omitted::from_bits).unwrap_or_default().names().collect()
    }
}

/// The document with the reason of where it stands, and a sentence for each step that it took.
fn spoken(
    mut document: Value,
    conversion: &Conversion,
    reason: Option<&Reason>,
    registry: &Registry,
) -> Value {
    document["reason"] = json!(reason);
    let steps = document["timeline"].as_array_mut().into_iter().flatten();
    for (step, event) in steps.zip(&conversion.timeline) {
        let says = event
            .telling_code()
            .and_then(|code| reasons::find(registry, &conversion.provider_key, code))
            .or_else(|| reasons::of_outcome(&event.event))
            .map(|reason| reason.says);
        step["says"] = json!(says);
        if event.omitted.is_some() {
            step["omitted"] = json!(event.left_out());
        }
    }
    document
}

/// Why it stands where it stands, whose move it is, and what happens next. What keeps it there says what happens; its
/// last code says why, where it has one.
fn reason(conversion: &Conversion, overrides: &[TaxonomyOverride], registry: &Registry) -> Option<Reason> {
    let is_foreign = conversion.timeline.last().is_some_and(|last| last.foreign_duplicate);
    let code = if is_foreign { Some(FOREIGN_DUPLICATE) } else { conversion.last_error.as_deref() };
    let by_code = code.and_then(|code| reasons::find(registry, &conversion.provider_key, code));
    let place = match conversion.blocked_by.as_deref() {
        Some(blocked_by) => reasons::of_blockade(blocked_by),
        None => conversion.outcome.as_deref().and_then(reasons::of_outcome),
    };
    // What the table says that a code does is not what it did where an operator said otherwise.
    let is_overridden = overrides.iter().any(|said| Some(said.code.as_str()) == code);
    match (conversion.blocked_by.as_deref(), by_code, place) {
        // A hold waits for what its code names.
        (Some("HOLD" | "NO_CREDENTIALS"), Some(code), _) if !is_overridden => Some(code),
        (Some("HOLD"), Some(code), Some(place)) => Some(Reason { then: place.then, ..code }),
        (None | Some("NOT_DUE" | "IN_LINE"), Some(code), Some(place)) => {
            Some(Reason { then: place.then, mend: code.mend.or(place.mend), ..code })
        }
        (_, by_code, place) => place.or(by_code),
    }
}

fn text(conversion: &Conversion, reason: Option<&Reason>, registry: &Registry) -> String {
    let head = format!(
        "{} {} for {}\nsite {}, conversion {}",
        conversion.kind,
        conversion.external_id,
        conversion.provider_key,
        conversion.site_id,
        conversion.conversion_id,
    );
    let rows = conversion.timeline.iter().map(|event| {
        vec![
            time(event.at),
            event.name(),
            event.code.clone().unwrap_or_default(),
            event.http_status.map_or_else(String::new, |status| status.to_string()),
            event.next_attempt_at.map_or_else(String::new, time),
            event.provider_request_id.clone().unwrap_or_default(),
        ]
    });
    let reason = reason.map_or_else(String::new, paragraph);
    // The last code has had its sentence.
    let codes = conversion.timeline.iter().filter_map(|event| event.code.as_deref());
    let codes = codes.filter(|code| conversion.last_error.as_deref() != Some(*code));
    let meanings = meanings(registry, codes.map(|code| (conversion.provider_key.as_str(), code)));
    let timeline = table(&TIMELINE, rows);
    format!("{head}\n\n{}{}\n{reason}\n\n{timeline}{meanings}", sentence(conversion), left_out(conversion))
}

/// What it goes without, or went without when it ended.
fn left_out(conversion: &Conversion) -> String {
    let parts = conversion.timeline.iter().rev().map(Event::left_out).find(|parts| !parts.is_empty());
    parts.map_or_else(String::new, |parts| {
        format!("\nIt goes without {}, which the platform refused.", parts.join(" and ").replace('_', " "))
    })
}

/// Where it stands, what blocks it, and until when.
fn sentence(conversion: &Conversion) -> String {
    let why = conversion.last_error.as_ref().map_or_else(String::new, |code| format!(" ({code})"));
    let until = conversion.blocked_until.map_or_else(String::new, |at| format!(" until {}", time(at)));
    let tries = match conversion.retry_count {
        Some(count) if count > 0 => format!(" It used {count} of its retries."),
        Some(_) | None => String::new(),
    };
    let place = match conversion.blocked_by.as_deref() {
        None => {
            let outcome = conversion.outcome.as_deref().unwrap_or("no outcome").to_lowercase();
            return format!("It is {}: {outcome}{why}.", conversion.status);
        }
        Some("RECEIPT_PENDING") => {
            return "It is SUBMITTED: the provider took it, its receipt is to come.".to_owned();
        }
        Some("IN_FLIGHT") => "a run is sending it now".to_owned(),
        Some("ORDER_BUSY") => {
            let head = conversion.waits_for.map_or_else(String::new, |id| id.to_string());
            format!(
                "conversion {head} of the same order is not over yet; it goes after that, if nothing newer does"
            )
        }
        Some("HOLD") => format!("a hold waits for a mend{why}, after which it goes on by itself"),
        Some("NO_CREDENTIALS") => {
            "its site has no credentials; it goes on by itself once there are some".to_owned()
        }
        Some("PAUSED") => {
            let reason = conversion.blocked_because.as_deref().unwrap_or_default();
            format!("an operator paused it{until}: {reason}")
        }
        Some("PROVIDER_CIRCUIT_OPEN") => {
            format!("{} does not answer most of its groups; it is probed{until}", conversion.provider_key)
        }
        Some("PROVIDER_CIRCUIT_HALF_OPEN") => {
            format!("a probe of {} is on its way for all of its groups", conversion.provider_key)
        }
        Some("QUOTA") => format!("the requests that its quota key may send are used up{until}"),
        Some("LINGERING") => format!("requests are scarce: its group waits{until} for a fuller batch"),
        Some("SLOTS_IN_USE") => "as many uploads of its quota key are in flight as may be".to_owned(),
        Some("CIRCUIT_OPEN") => format!("the group's circuit is open{until}, when it is probed"),
        Some("CIRCUIT_HALF_OPEN") => "the group's circuit is half open, a probe is on its way".to_owned(),
        Some("THROTTLED") => format!("the provider asked to wait{until}"),
        Some("NOT_DUE") => format!("it is not due{until}{why}"),
        Some(_) => match conversion.rows_ahead {
            Some(0) | None => "nothing blocks it, the next run takes it".to_owned(),
            Some(ahead) => format!("nothing blocks it but {} of its group that go before it", grouped(ahead)),
        },
    };
    let end = time(conversion.expires_at);
    format!("It is {}: {place}.\nThe provider takes it until {end}.{tries}", conversion.status)
}

fn list(found: &[FoundConversion], more: bool) -> String {
    let row = |found: &FoundConversion| {
        vec![
            found.conversion_id.to_string(),
            found.external_id.clone(),
            found.site_id.to_string(),
            found.status.clone(),
        ]
    };
    let by = found.first().map_or("id", |first| first.found_by.as_str());
    let more = if more { "\nand more" } else { "" };
    format!(
        "several conversions have this {by}; explain one of them by its conversion id\n\n{}{more}",
        table(&MATCHES, found.iter().map(row))
    )
}
