//! The answer to `requestStatus:retrieve`: counts per destination and reason, and never a row.

use serde_json::Value;

use crate::domain::ErrorCode;
use crate::providers::{
    Counted, Receipt, ReceiptPart, ReceiptState, Request, SendError, Target,
    google_ads::{
        credentials::Credentials,
        request::target_of,
        wire::data_manager::{ErrorCount, RequestStatusPerDestination, RetrieveRequestStatusResponse},
    },
    http::RawAnswer,
};
use jiff::Timestamp;

/// The family of the reasons that a receipt counts.
pub(crate) const PROCESSING_FAMILY: &str = "dataManager.ProcessingErrorReason";

/// What became of a request's conversions. A status that nobody knows is none yet: marking something delivered for it
/// would be a guess.
pub(crate) fn read_status(
    raw: &RawAnswer,
    credentials: &Credentials,
    now: Timestamp,
) -> Result<Receipt, SendError> {
    let reply = super::reply(raw);
    match raw.status {
        200 => {}
        404 if serde_json::from_slice::<Value>(&raw.body).is_ok_and(|body| body.is_object()) => {
            return Ok(Receipt { reply, parts: Vec::new() });
        }
        _ => {
            let nothing = Request::empty(credentials.transport.as_str());
            return Err(match super::refusal::read_refusal(raw, &nothing, now) {
                Err(error) => error,
                Ok(answer) => SendError::Unavailable(answer.reply),
            });
        }
    }
    let response: RetrieveRequestStatusResponse = super::read_object(raw)?;
    let statuses = &response.request_status_per_destination;
    if statuses.is_empty() {
        return Err(super::unconfirmed(raw, "UNREADABLE_ANSWER"));
    }
    let alone = statuses.len() == 1;
    let parts = statuses.iter().map(|status| part(status, alone, credentials)).collect();
    Ok(Receipt { reply, parts })
}

/// The only destination of a request has all of its rows, whatever it is called.
fn part(status: &RequestStatusPerDestination, alone: bool, credentials: &Credentials) -> ReceiptPart {
    let counts = || status.error_info.error_counts.iter().filter_map(counted).collect();
    let state = match status.request_status.as_str() {
        "SUCCESS" => ReceiptState::Taken,
        "PARTIAL_SUCCESS" => ReceiptState::Mixed(counts()),
        // The message type says FAILED, the guide FAILURE.
        "FAILED" | "FAILURE" => ReceiptState::Refused(counts()),
        _ => ReceiptState::Pending,
    };
    ReceiptPart { target: (!alone).then(|| target(status, credentials)), state }
}

fn target(status: &RequestStatusPerDestination, credentials: &Credentials) -> Target {
    let destination = &status.destination;
    target_of(credentials, &destination.operating_account.account_id, &destination.product_destination_id)
}

fn counted(count: &ErrorCount) -> Option<Counted> {
    let rows = match &count.record_count {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let reason = super::findings::enum_name(&count.reason);
    let reason = ErrorCode::foreign(&format!("{PROCESSING_FAMILY}.{reason}"));
    rows.filter(|rows| *rows > 0).map(|rows| Counted { reason, rows })
}
