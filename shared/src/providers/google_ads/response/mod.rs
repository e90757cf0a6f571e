//! Turns an answer into one verdict for each row, or says that no row has an answer: pure.

mod ads_api;
mod data_manager;
mod findings;
mod refusal;
mod search;
mod throttle;
mod validation;

pub(crate) use search::read_search;
pub(crate) use validation::read_validation;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::transport::Transport;
use crate::domain::ErrorCode;
use crate::providers::{
    Answer, Reply, Request, SendError,
    http::{Fault, RawAnswer},
};

/// Longest request id that is kept. Ours; Google's have 22 characters.
const MAX_REQUEST_ID: usize = 128;

/// What the answer to `request` means.
pub fn read_answer(raw: &RawAnswer, request: &Request, now: Timestamp) -> Result<Answer, SendError> {
    match (raw.status, request.transport.parse()) {
        (200, Ok(Transport::DataManager)) => data_manager::read_receipt(raw, request),
        (200, Ok(Transport::AdsApi)) => ads_api::read_results(raw, request, now),
        // A request of no transport of ours cannot be read; whether it was taken, nobody knows.
        (200, Err(_)) => Err(unconfirmed(raw, "UNREADABLE_ANSWER")),
        (_, _) => refusal::read_refusal(raw, request, now),
    }
}

/// What it means that no whole answer came.
pub(crate) fn read_fault(fault: Fault) -> SendError {
    let reply = Reply { code: Some(ErrorCode::own(fault.code())), ..Reply::default() };
    match fault {
        Fault::NotConnected | Fault::BadRequest => SendError::Unavailable(reply),
        Fault::TimedOut | Fault::Broken | Fault::TooLarge => SendError::Unconfirmed(reply),
    }
}

/// Reads the body of a 200: one JSON object. (Serde alone would take an array for a struct, field by field.)
fn read_object<T: DeserializeOwned>(raw: &RawAnswer) -> Result<T, SendError> {
    let is_object = raw.body.trim_ascii_start().starts_with(b"{");
    let read = is_object.then(|| serde_json::from_slice(&raw.body).ok()).flatten();
    read.ok_or_else(|| unconfirmed(raw, "UNREADABLE_ANSWER"))
}

fn unconfirmed(raw: &RawAnswer, code: &'static str) -> SendError {
    SendError::Unconfirmed(Reply { code: Some(ErrorCode::own(code)), ..reply(raw) })
}

/// The envelope, without a code.
fn reply(raw: &RawAnswer) -> Reply {
    Reply {
        http_status: Some(raw.status),
        request_id: raw.header("request-id").and_then(request_id),
        code: None,
    }
}

/// A request id, where the text can be one.
fn request_id(text: &str) -> Option<String> {
    let is_id =
        (1..=MAX_REQUEST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_id.then(|| text.to_owned())
}
