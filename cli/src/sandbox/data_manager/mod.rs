//! The Data Manager API: events come in all or none, and what became of them is told later, in counts.
//! <https://developers.google.com/data-manager/api/reference>, read 2026-11-22.

mod check;
mod message;
mod receipt;
mod refusal;

use super::account::ActionFault;
use super::answer::Answer;
use super::directive::{self, Order, Whole};
use super::ledger::{Entered, Identity, Worth, decimal};
use super::server::Knobs;
use super::shape::{self, filled, list};
use super::state::State;
use super::token::{Api, Unauthorised};
use jiff::{SignedDuration, Timestamp};
pub(super) use receipt::Receipts;
use receipt::{Part, Receipt};
use refusal::Violation;
use serde_json::{Value, json};
use std::sync::Mutex;

/// Age at which a click id is of no more use.
/// <https://support.google.com/google-ads/answer/10029210>, read 2026-11-22.
const CLICK_AGE_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);

const ONE_PER_CLICK: &str =
    "PROCESSING_ERROR_REASON_ONE_PER_CLICK_CONVERSION_ACTION_NOT_PERMITTED_WITH_BRAID";

/// Answers `POST /v1/events:ingest`.
pub(super) fn ingest(
    state: &Mutex<State>,
    authorization: Option<&str>,
    body: &[u8],
    knobs: &Knobs,
    now: Timestamp,
) -> Answer {
    if let Err(refusal) = authorise(&mut super::server::lock(state), authorization, knobs, now) {
        return refusal;
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        let message = "Invalid JSON payload received. Unable to parse the body.".to_owned();
        return refusal::misfits(&[shape::Misfit { at: String::new(), message }]);
    };
    let rows = list(&body, "events").len();
    let misfits = shape::check(&body, &message::INGEST);
    if !misfits.is_empty() {
        return refusal::misfits(&misfits).about(rows);
    }
    let mut violations = check::check(&body, now);
    let orders = read_orders(&body, &mut violations);
    let mut state = super::server::lock(state);
    take(&mut state, &body, &orders, violations, knobs, now).about(rows)
}

/// Answers `GET /v1/requestStatus:retrieve`.
pub(super) fn retrieve(
    state: &Mutex<State>,
    authorization: Option<&str>,
    request_id: Option<&str>,
    knobs: &Knobs,
    now: Timestamp,
) -> Answer {
    let mut state = super::server::lock(state);
    if let Err(refusal) = authorise(&mut state, authorization, knobs, now) {
        return refusal;
    }
    let number = state.number();
    let Some(id) = request_id.filter(|id| !id.is_empty()) else {
        let missing = Violation::new("request_id", "REQUIRED_FIELD_MISSING", "The field is required.");
        return refusal::violations(number, &[missing]);
    };
    let polls = state.receipts.find(id).and_then(|receipt| receipt.polls().cloned());
    let refused = polls.and_then(|order| state.spent.rule_poll(&order));
    if let Some(answer) = refused.and_then(|whole| refusal::directed(number, 0, &whole)) {
        return answer;
    }
    match state.receipts.find(id) {
        Some(receipt) => Answer::json(200, &receipt.answer(now)),
        None => refusal::plain(number, "NOT_FOUND"),
    }
}

fn authorise(state: &mut State, header: Option<&str>, knobs: &Knobs, now: Timestamp) -> Result<(), Answer> {
    let client = state
        .tokens
        .check(header, Api::DataManager, now)
        .map_err(|cause: Unauthorised| refusal::unauthorised(&cause))?;
    match knobs.requests_per_minute {
        Some(limit) if !state.take_request(&client, limit, now) => {
            let seconds = 60 - u32::try_from(now.as_second().rem_euclid(60)).unwrap_or_default();
            Err(refusal::exhausted(state.number(), seconds))
        }
        Some(_) | None => Ok(()),
    }
}

/// The directive of each event; one that does not exist is a violation of its row.
fn read_orders(body: &Value, violations: &mut Vec<Violation>) -> Vec<Option<Order>> {
    let mut orders = Vec::new();
    for (index, event) in list(body, "events").iter().enumerate() {
        let ids: Vec<&str> = click_ids(event).chain(filled(event, "transactionId")).collect();
        let directive = directive::find(ids.iter().copied()).unwrap_or_else(|unknown| {
            let why = format!("The sandbox has no directive {unknown}.");
            violations.push(Violation::new(format!("events[{index}]"), directive::UNKNOWN, &why));
            None
        });
        orders.push(directive.map(|directive| Order { directive, seat: seat(event, body, &ids) }));
    }
    orders
}

/// Made of the event's own destination, so that its counter does not depend on what else is in the request.
fn seat(event: &Value, body: &Value, ids: &[&str]) -> String {
    let destination = list(body, "destinations").iter().find(|destination| is_for(event, destination));
    let destination = destination.unwrap_or(&Value::Null);
    let account = filled(&destination["operatingAccount"], "accountId").unwrap_or_default();
    let action = filled(destination, "productDestinationId").unwrap_or_default();
    format!("{account}/{action}/{}", ids.join("/"))
}

fn has_braid(event: &Value) -> bool {
    ["gbraid", "wbraid"].iter().any(|id| filled(&event["adIdentifiers"], id).is_some())
}

fn click_ids(event: &Value) -> impl Iterator<Item = &str> {
    ["gclid", "gbraid", "wbraid"].into_iter().filter_map(|id| filled(&event["adIdentifiers"], id))
}

/// Everything that happens under the lock: directives, verdict, ledger, receipt.
fn take(
    state: &mut State,
    body: &Value,
    orders: &[Option<Order>],
    mut violations: Vec<Violation>,
    knobs: &Knobs,
    now: Timestamp,
) -> Answer {
    let number = state.number();
    let asked = orders.iter().enumerate().filter_map(|(row, order)| Some((row, order.as_ref()?)));
    let (delay, end) = state.spent.rule_request(asked);
    if let Some(answer) = end.as_ref().and_then(|(row, whole)| refusal::directed(number, *row, whole)) {
        return answer.after(delay);
    }
    let end = end.map(|(_, whole)| whole);
    if end == Some(Whole::ResetBefore) {
        return refusal::plain(number, "INTERNAL_ERROR").ending(end.as_ref()).after(delay);
    }
    violations.extend(check::check_access(body, &state.mended));
    for (row, order) in orders.iter().enumerate() {
        if let Some(code) = state.spent.rule_row(order.as_ref()) {
            let why = "The sandbox was told to refuse this event.";
            violations.push(Violation::new(format!("events[{row}]"), &code.name, why));
        }
    }
    if !violations.is_empty() {
        state.totals.rows_refused += violations.len() as u64;
        violations.iter().for_each(|violation| state.totals.note_code(&violation.reason));
        return refusal::violations(number, &violations).after(delay);
    }
    let request_id = format!("{}-{number}", knobs.name);
    if body["validateOnly"] != true {
        let events = list(body, "events").len() * list(body, "destinations").len();
        if state.ledger.len() + events > knobs.ledger_max {
            return refusal::full(number).after(delay);
        }
        let receipt = record(state, body, orders, knobs, now);
        state.receipts.keep(request_id.clone(), receipt);
    }
    Answer::json(200, &json!({"requestId": request_id})).ending(end.as_ref()).after(delay)
}

fn record(
    state: &mut State,
    body: &Value,
    orders: &[Option<Order>],
    knobs: &Knobs,
    now: Timestamp,
) -> Receipt {
    let mut receipt = Receipt::new(now.saturating_add(knobs.processing).unwrap_or(now));
    // A reason is spent once per request, however many destinations the event has.
    let told: Vec<_> = orders.iter().map(|order| state.spent.rule_receipt(order.as_ref())).collect();
    let warned: Vec<_> = orders.iter().map(|order| state.spent.rule_warning(order.as_ref())).collect();
    let odd: Vec<_> = orders.iter().map(|order| state.spent.rule_oddity(order.as_ref())).collect();
    orders.iter().flatten().for_each(|order| receipt.obey(order));
    for destination in list(body, "destinations") {
        let account = filled(&destination["operatingAccount"], "accountId").unwrap_or_default();
        let product = filled(destination, "productDestinationId").unwrap_or_default();
        let action = state.ledger.action(account, product);
        let mut part = Part::of(destination.clone());
        for (((event, told), warning), odd) in list(body, "events").iter().zip(&told).zip(&warned).zip(&odd) {
            if !is_for(event, destination) {
                continue;
            }
            part.note(warning.clone());
            part.turn(*odd);
            let row = identity(event);
            let at = state.ledger.receive(action, &row);
            state.totals.conversions_received += 1;
            let reason = told.clone().or_else(|| fault(event, body, now)).or_else(|| {
                let refuses = state.mended.action_fault(product) == Some(ActionFault::OnePerClick);
                (refuses && has_braid(event)).then(|| ONE_PER_CLICK.to_owned())
            });
            let reason = reason.or_else(|| {
                let worth = Worth {
                    value: decimal(event.get("conversionValue")),
                    currency: filled(event, "currency").map(Into::into),
                };
                let entered = state.ledger.enter_or_overwrite(at, &row, worth);
                state.totals.note(entered);
                state.totals.adjustments += u64::from(entered == Entered::OrderKnown);
                (entered == Entered::ClickKnown).then(|| "PROCESSING_ERROR_REASON_DUPLICATE_GCLID".to_owned())
            });
            if let Some(reason) = reason {
                state.totals.rows_refused += 1;
                state.totals.note_code(&reason);
                part.refuse(reason);
            }
        }
        receipt.add(part);
    }
    receipt
}

/// Whether an event goes to a destination; without references it goes to all of them.
fn is_for(event: &Value, destination: &Value) -> bool {
    let wanted = list(event, "destinationReferences");
    wanted.is_empty() || wanted.iter().any(|name| name.as_str() == filled(destination, "reference"))
}

fn identity(event: &Value) -> Identity {
    let occurred_at =
        filled(event, "eventTimestamp").and_then(check::parse_time).map_or(0, Timestamp::as_second);
    Identity {
        order: filled(event, "transactionId").map(Into::into),
        click: click_ids(event).next().map(|click| Identity::of_click(click, occurred_at)),
        person: list(&event["userData"], "userIdentifiers").first().map(|first| first.to_string().into()),
        occurred_at,
    }
}

/// What Google finds wrong with an event after it has said yes to it.
fn fault(event: &Value, body: &Value, now: Timestamp) -> Option<String> {
    let consent = if shape::has(event, "consent") { &event["consent"] } else { &body["consent"] };
    let braids = ["gbraid", "wbraid"].iter().filter(|id| filled(&event["adIdentifiers"], id).is_some());
    let age = now.duration_since(filled(event, "eventTimestamp").and_then(check::parse_time)?);
    let reason = if consent["adUserData"] == "CONSENT_DENIED" {
        "DENIED_CONSENT"
    } else if braids.count() == 2 {
        "INVALID_AD_IDENTIFIERS"
    } else if age > CLICK_AGE_MAX {
        "EVENT_TOO_OLD"
    } else {
        return None;
    };
    Some(format!("PROCESSING_ERROR_REASON_{reason}"))
}
