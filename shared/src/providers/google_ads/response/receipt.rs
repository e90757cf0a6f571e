//! The answer to `requestStatus:retrieve`: counts per destination and reason, and never a row.

use jiff::Timestamp;
use serde_json::Value;

use super::judge::Judge;
use crate::domain::ErrorCode;
use crate::providers::{
    Counted, Receipt, ReceiptPart, ReceiptState, Reply, Request, SendError, Target,
    google_ads::{
        credentials::Credentials,
        request::target_of,
        taxonomy::Taxonomy,
        wire::data_manager::{ErrorCount, RequestStatusPerDestination, RetrieveRequestStatusResponse},
    },
    http::RawAnswer,
};

/// The family of the reasons that a receipt counts.
pub(crate) const PROCESSING_FAMILY: &str = "dataManager.ProcessingErrorReason";

/// What became of a request's conversions. A status that nobody knows is none yet: marking something delivered for it
/// would be a guess.
pub(crate) fn read_status(
    raw: &RawAnswer,
    credentials: &Credentials,
    taxonomy: &Taxonomy,
    now: Timestamp,
) -> Result<Receipt, SendError> {
    let judge = Judge { taxonomy, now };
    let nothing = Request::empty(credentials.transport.as_str());
    let reply = super::reply(raw);
    match raw.status {
        200 => {}
        404 if serde_json::from_slice::<Value>(&raw.body).is_ok_and(|body| body.is_object()) => {
            return Ok(Receipt { reply, parts: Vec::new() });
        }
        _ => {
            return Err(super::no_rows(super::refusal::read_refusal(raw, &nothing, judge)));
        }
    }
    let response = super::read_object::<RetrieveRequestStatusResponse>(raw)
        .filter(|response| !response.request_status_per_destination.is_empty());
    let Some(response) = response else {
        return Err(super::no_rows(super::in_doubt(raw, "UNREADABLE_ANSWER", &nothing, judge)));
    };
    let statuses = &response.request_status_per_destination;
    let alone = statuses.len() == 1;
    let parts: Vec<_> = statuses.iter().map(|status| part(status, alone, credentials)).collect();
    let reasons = statuses.iter().flat_map(|status| &status.error_info.error_counts);
    let mut unknown: Vec<_> = reasons
        .map(|count| super::findings::enum_name(&count.reason))
        .filter(|reason| !taxonomy.knows(PROCESSING_FAMILY, reason))
        .map(|reason| ErrorCode::foreign(&format!("{PROCESSING_FAMILY}.{reason}")))
        .collect();
    unknown.dedup();
    Ok(Receipt { reply: Reply { unknown, ..reply }, parts })
}

/// The only destination of a request has all of its rows, whatever it is called.
fn part(status: &RequestStatusPerDestination, alone: bool, credentials: &Credentials) -> ReceiptPart {
    let counts: Vec<_> = status.error_info.error_counts.iter().filter_map(counted).collect();
    let rows = number(&status.events_ingestion_status.record_count);
    let too_many = counts.iter().any(|count| rows.is_some_and(|rows| count.rows > rows));
    let state = match status.request_status.as_str() {
        "SUCCESS" if counts.is_empty() => ReceiptState::Taken,
        "SUCCESS" => ReceiptState::Contradictory,
        "PARTIAL_SUCCESS" | "FAILED" | "FAILURE" if too_many => ReceiptState::Contradictory,
        "PARTIAL_SUCCESS" => ReceiptState::Mixed(counts),
        // The message type says FAILED, the guide FAILURE.
        "FAILED" | "FAILURE" => ReceiptState::Refused(counts),
        _ => ReceiptState::Pending,
    };
    ReceiptPart { target: (!alone).then(|| target(status, credentials)), rows, state }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn target(status: &RequestStatusPerDestination, credentials: &Credentials) -> Target {
    let destination = &status.destination;
    target_of(credentials, &destination.operating_account.account_id, &destination.product_destination_id)
}

fn counted(count: &ErrorCount) -> Option<Counted> {
    let rows = number(&count.record_count);
    let reason = super::findings::enum_name(&count.reason);
    let reason = ErrorCode::foreign(&format!("{PROCESSING_FAMILY}.{reason}"));
    rows.filter(|rows| *rows > 0).map(|rows| Counted { reason, rows })
}
