//! `uploadClickConversions`: what is wrong with a conversion, and whether it is new.

use super::Call;
use super::field::{RowCheck, action_id, parse_time};
use super::refusal::Failure;
use crate::sandbox::account::{ActionFault, Fault, Mended};
use crate::sandbox::ledger::{Entered, Identity, Worth, decimal};
use crate::sandbox::shape::{ID_MAX, filled, has, list};
use crate::sandbox::state::State;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use std::collections::HashMap;

const OWN: &str = "conversionUploadError";
const ROWS: &str = "conversions";
/// Longest click-through window; an older conversion has no click to belong to.
/// <https://support.google.com/google-ads/answer/3123169>, read 2026-11-22.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);

/// What is wrong with a conversion by itself.
pub(super) fn check(row: &Value, index: usize, call: &Call, mended: &Mended, now: Timestamp) -> Vec<Failure> {
    let mut check = RowCheck { row, rows_name: ROWS, index, found: Vec::new() };
    check.blanks();
    check.conversion_action(OWN, mended);
    check.time(filled(row, "conversionDateTime"), "conversion_date_time", now);
    check.order_id();
    check.currency(row, "currency_code");
    check.identifiers(OWN);
    check_clicks(&mut check);
    check_braids(&mut check, mended);
    check_allowlisted(&mut check);
    if has(&row["consent"], "adPersonalization") {
        check.unset("consent.ad_personalization");
    }
    if mended.fault(&call.head.customer) == Some(Fault::TermsNotAccepted)
        && !list(row, "userIdentifiers").is_empty()
    {
        let why = "The customer has not accepted the customer data terms.";
        check.refuse(OWN, "CUSTOMER_NOT_ACCEPTED_CUSTOMER_DATA_TERMS", "user_identifiers", why);
    }
    let at = filled(row, "conversionDateTime").and_then(parse_time);
    if at.is_some_and(|at| now.duration_since(at) > AGE_MAX) {
        let why = "The click occurred before this conversion's click-through window.";
        check.refuse(OWN, "EXPIRED_EVENT", "conversion_date_time", why);
    }
    check.found
}

fn check_clicks(check: &mut RowCheck<'_>) {
    let [gclid, gbraid, wbraid] = ["gclid", "gbraid", "wbraid"].map(|id| filled(check.row, id).is_some());
    if gbraid && wbraid {
        check.refuse(OWN, "GBRAID_WBRAID_BOTH_SET", "gbraid", "Both gbraid and wbraid are set.");
    } else if gclid && gbraid {
        check.unset("gbraid");
    } else if gclid && wbraid {
        check.unset("wbraid");
    }
    for id in ["gclid", "gbraid", "wbraid"] {
        if filled(check.row, id).is_some_and(|text| text.len() > ID_MAX) {
            check.refuse("stringLengthError", "TOO_LONG", id, "Too long.");
        }
    }
    let identified = !list(check.row, "userIdentifiers").is_empty();
    if !(gclid || gbraid || wbraid || identified) {
        check.required("gclid");
    }
}

/// A braid stands for many clicks, so an action that counts one per click takes none.
fn check_braids(check: &mut RowCheck<'_>, mended: &Mended) {
    let action = filled(check.row, "conversionAction").and_then(action_id).unwrap_or_default();
    let has_braid = ["gbraid", "wbraid"].iter().any(|id| filled(check.row, id).is_some());
    if has_braid && mended.action_fault(action) == Some(ActionFault::OnePerClick) {
        let code = "ONE_PER_CLICK_CONVERSION_ACTION_NOT_PERMITTED_WITH_BRAID";
        check.refuse(
            OWN,
            code,
            "conversion_action",
            "The conversion action counts one conversion per click.",
        );
    }
}

/// Fields that only accounts on a list may send; nobody here is on it.
fn check_allowlisted(check: &mut RowCheck<'_>) {
    let fields = [
        ("conversionEnvironment", "conversion_environment"),
        ("userIpAddress", "user_ip_address"),
        ("sessionAttributesEncoded", "session_attributes_encoded"),
        ("sessionAttributesKeyValuePairs", "session_attributes_key_value_pairs"),
    ];
    for (field, path) in fields {
        if has(check.row, field) {
            let code = "CUSTOMER_NOT_ALLOWLISTED_FOR_THIS_FEATURE";
            let why = "Customer is not allowlisted for accessing this feature.";
            check.refuse("notAllowlistedError", code, path, why);
        }
    }
}

/// Refuses rows that share an order, or a click and its second: all of them, and none is processed.
pub(super) fn refuse_twins(rows: &[Value], verdicts: &mut [Vec<Failure>]) {
    let mut orders: HashMap<_, usize> = HashMap::new();
    let mut clicks: HashMap<_, usize> = HashMap::new();
    let good: Vec<usize> = (0..rows.len()).filter(|index| verdicts[*index].is_empty()).collect();
    let keys = |index: usize| {
        let row = identity(&rows[index]);
        let action = filled(&rows[index], "conversionAction").and_then(action_id);
        (row.order.map(|order| (action, order)), row.click.map(|click| (action, click)))
    };
    for index in &good {
        let (order, click) = keys(*index);
        order.into_iter().for_each(|order| *orders.entry(order).or_default() += 1);
        click.into_iter().for_each(|click| *clicks.entry(click).or_default() += 1);
    }
    for index in good {
        let (order, click) = keys(index);
        let refusal = if order.is_some_and(|order| orders[&order] > 1) {
            let why = "Multiple conversions of the request have this order ID. None was processed.";
            Failure::new(OWN, "DUPLICATE_ORDER_ID", why).at(ROWS, index, "order_id")
        } else if click.is_some_and(|click| clicks[&click] > 1) {
            let why = "Multiple conversions of the request have this click and time.";
            Failure::new(OWN, "DUPLICATE_CLICK_CONVERSION_IN_REQUEST", why).at(ROWS, index, "")
        } else {
            continue;
        };
        verdicts[index].push(refusal);
    }
}

/// Files a conversion, and counts it where nothing speaks against it.
pub(super) fn enter(state: &mut State, call: &Call, row: &Value, index: usize, verdict: &mut Vec<Failure>) {
    let Some(action) = filled(row, "conversionAction").and_then(action_id) else { return };
    let identity = identity(row);
    let action = state.ledger.action(&call.head.customer, action);
    let at = state.ledger.receive(action, &identity);
    if !verdict.is_empty() {
        return;
    }
    let worth = Worth {
        value: decimal(row.get("conversionValue")),
        currency: filled(row, "currencyCode").map(Into::into),
    };
    let entered = state.ledger.enter(at, &identity, worth);
    state.totals.note(entered);
    match entered {
        Entered::Counted => {}
        Entered::OrderKnown => {
            let why = "The order ID was recorded before, so the event was not processed.";
            verdict.push(Failure::new(OWN, "ORDER_ID_ALREADY_IN_USE", why).at(ROWS, index, "order_id"));
        }
        Entered::ClickKnown => {
            let why = "A conversion with this click and time exists.";
            verdict.push(Failure::new(OWN, "CLICK_CONVERSION_ALREADY_EXISTS", why).at(ROWS, index, ""));
        }
    }
}

fn identity(row: &Value) -> Identity {
    let occurred_at = filled(row, "conversionDateTime").and_then(parse_time).map_or(0, Timestamp::as_second);
    let click = ["gclid", "gbraid", "wbraid"].iter().find_map(|id| filled(row, id));
    Identity {
        order: filled(row, "orderId").map(Into::into),
        click: click.map(|click| Identity::of_click(click, occurred_at)),
        person: list(row, "userIdentifiers").first().map(|first| first.to_string().into()),
        occurred_at,
    }
}

/// The result of a conversion that was taken: what of it Google repeats.
pub(super) fn result(row: &Value) -> Value {
    repeat(row, &["gclid", "gbraid", "wbraid", "conversionAction", "conversionDateTime", "userIdentifiers"])
}

/// An object with some of the fields of another.
pub(super) fn repeat(row: &Value, fields: &[&str]) -> Value {
    let kept: Map<String, Value> =
        fields.iter().filter_map(|field| Some(((*field).to_owned(), row.get(field)?.clone()))).collect();
    Value::Object(kept)
}
