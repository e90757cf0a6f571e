//! `uploadConversionAdjustments`: retractions, restatements and enhancements of conversions that were counted.

use super::Call;
use super::clicks::repeat;
use super::field::{RowCheck, action_id, parse_time};
use super::refusal::Failure;
use crate::sandbox::account::Mended;
use crate::sandbox::ledger::{Entry, Identity, decimal};
use crate::sandbox::shape::{filled, has, list};
use crate::sandbox::state::State;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::HashMap;

const OWN: &str = "conversionAdjustmentUploadError";
const ROWS: &str = "conversion_adjustments";
/// Age at which a conversion can no longer be adjusted: 54 days, in seconds.
/// <https://support.google.com/google-ads/answer/7686280>, read 2026-11-22.
const AGE_MAX_SECONDS: i64 = 54 * 24 * 3600;

/// What is wrong with an adjustment by itself.
pub(super) fn check(row: &Value, index: usize, mended: &Mended, now: Timestamp) -> Vec<Failure> {
    let mut check = RowCheck { row, rows_name: ROWS, index, found: Vec::new() };
    check.blanks();
    check.conversion_action(OWN, mended);
    check.order_id();
    check.identifiers(OWN);
    let kind = filled(row, "adjustmentType").unwrap_or("UNSPECIFIED");
    let enhances = kind == "ENHANCEMENT";
    if matches!(kind, "UNSPECIFIED" | "UNKNOWN") {
        check.required("adjustment_type");
    }
    // An enhancement repeats the time only to say when a user agent saw it.
    if !enhances || has(row, "adjustmentDateTime") {
        check.time(filled(row, "adjustmentDateTime"), "adjustment_date_time", now);
    }
    check_target(&mut check, enhances, now);
    let value = &row["restatementValue"];
    match (kind, has(value, "adjustedValue")) {
        ("RESTATEMENT", false) => check.required("restatement_value.adjusted_value"),
        ("RESTATEMENT", true) => check.currency(value, "restatement_value.currency_code"),
        (_, true) => check.unset("restatement_value"),
        (_, false) => {}
    }
    match (enhances, list(row, "userIdentifiers").is_empty()) {
        (true, true) => check.required("user_identifiers"),
        (false, false) => check.unset("user_identifiers"),
        (true, false) | (false, true) => {}
    }
    check.found
}

fn check_target(check: &mut RowCheck<'_>, enhances: bool, now: Timestamp) {
    let pair = &check.row["gclidDateTimePair"];
    let (ordered, paired) = (filled(check.row, "orderId").is_some(), has(check.row, "gclidDateTimePair"));
    // An enhancement may name both; googleads/google-ads-java pull request 788, read 2026-11-22.
    if ordered && paired && !enhances {
        let why = "Both an order ID and a click with its time are set.";
        check.refuse(OWN, "GCLID_DATE_TIME_PAIR_AND_ORDER_ID_BOTH_SET", "", why);
    }
    // An enhancement needs the order, whatever else it names.
    if !ordered && (enhances || !paired) {
        check.required("order_id");
    }
    if paired {
        check.time(filled(pair, "conversionDateTime"), "gclid_date_time_pair.conversion_date_time", now);
        if filled(pair, "gclid").is_none() {
            check.required("gclid_date_time_pair.gclid");
        }
    }
}

/// Refuses rows that adjust the same conversion in the same way: all of them.
pub(super) fn refuse_twins(rows: &[Value], verdicts: &mut [Vec<Failure>]) {
    let mut seen: HashMap<_, usize> = HashMap::new();
    let good: Vec<usize> = (0..rows.len()).filter(|index| verdicts[*index].is_empty()).collect();
    let key = |index: usize| {
        let row = &rows[index];
        let target = identity(row);
        (filled(row, "conversionAction"), filled(row, "adjustmentType"), target.order, target.click)
    };
    for index in &good {
        *seen.entry(key(*index)).or_default() += 1;
    }
    for index in good.into_iter().filter(|index| seen[&key(*index)] > 1) {
        let enhances = filled(&rows[index], "adjustmentType") == Some("ENHANCEMENT");
        let code =
            if enhances { "DUPLICATE_ENHANCEMENT_IN_REQUEST" } else { "DUPLICATE_ADJUSTMENT_IN_REQUEST" };
        let why = "Multiple adjustments of the request are for this conversion.";
        verdicts[index].push(Failure::new(OWN, code, why).at(ROWS, index, ""));
    }
}

/// Applies an adjustment to the conversion that it names, where nothing speaks against it.
pub(super) fn apply(
    state: &mut State,
    call: &Call,
    row: &Value,
    index: usize,
    verdict: &mut Vec<Failure>,
    now: Timestamp,
) {
    if !verdict.is_empty() {
        return;
    }
    let action = filled(row, "conversionAction").and_then(action_id).unwrap_or_default();
    let action = state.ledger.action(&call.head.customer, action);
    let refused = match state.ledger.find(action, &identity(row)) {
        None => Some("CONVERSION_NOT_FOUND"),
        Some(entry) => adjust(entry, row, now).err(),
    };
    match refused {
        None => state.totals.adjustments += 1,
        Some(code) => {
            let why = "The conversion can't be adjusted.";
            verdict.push(Failure::new(OWN, code, why).at(ROWS, index, ""));
        }
    }
}

fn adjust(entry: &mut Entry, row: &Value, now: Timestamp) -> Result<(), &'static str> {
    let adjusted_at =
        filled(row, "adjustmentDateTime").and_then(parse_time).map_or(now.as_second(), Timestamp::as_second);
    if now.as_second() - entry.occurred_at > AGE_MAX_SECONDS {
        return Err("CONVERSION_EXPIRED");
    }
    if adjusted_at < entry.occurred_at {
        return Err("ADJUSTMENT_PRECEDES_CONVERSION");
    }
    if entry.retracted {
        return Err("CONVERSION_ALREADY_RETRACTED");
    }
    match filled(row, "adjustmentType") {
        Some("RETRACTION") => entry.retracted = true,
        Some("ENHANCEMENT") if entry.enhanced => return Err("CONVERSION_ALREADY_ENHANCED"),
        Some("ENHANCEMENT") => entry.enhanced = true,
        _ => {
            let before = entry.adjusted_at.unwrap_or(i64::MIN);
            if adjusted_at < before {
                return Err("MORE_RECENT_RESTATEMENT_FOUND");
            }
            if adjusted_at == before {
                return Err("RESTATEMENT_ALREADY_EXISTS");
            }
            let value = &row["restatementValue"];
            entry.adjusted_at = Some(adjusted_at);
            entry.value = decimal(value.get("adjustedValue"));
            entry.currency = filled(value, "currencyCode").map(Into::into).or(entry.currency.take());
        }
    }
    entry.adjustments += 1;
    Ok(())
}

fn identity(row: &Value) -> Identity {
    let pair = &row["gclidDateTimePair"];
    let occurred_at = filled(pair, "conversionDateTime").and_then(parse_time).map_or(0, Timestamp::as_second);
    Identity {
        order: filled(row, "orderId").map(Into::into),
        click: filled(pair, "gclid").map(|click| Identity::of_click(click, occurred_at)),
        person: None,
        occurred_at,
    }
}

/// The result of an adjustment that was taken: what of it Google repeats.
pub(super) fn result(row: &Value) -> Value {
    repeat(row, &["conversionAction", "adjustmentType", "orderId", "gclidDateTimePair", "adjustmentDateTime"])
}
