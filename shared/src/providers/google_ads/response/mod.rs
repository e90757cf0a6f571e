//! Turns an answer into one verdict for each row, or says that no row has an answer: pure.

mod ads_api;
mod data_manager;
mod findings;
mod judge;
mod receipt;
mod refusal;
mod throttle;

pub(crate) use receipt::{PROCESSING_FAMILY, read_status};

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use self::judge::Judge;
use super::taxonomy::{Body, Taxonomy};
use super::transport::Transport;
use crate::domain::ErrorCode;
use crate::providers::{
    Answer, Reply, Request, SendError,
    http::{Fault, RawAnswer},
};

/// Longest request id that is kept. Ours; Google's have 22 characters.
const MAX_REQUEST_ID: usize = 128;

/// What the answer to `request` means.
pub fn read_answer(
    raw: &RawAnswer,
    request: &Request,
    taxonomy: &Taxonomy,
    now: Timestamp,
) -> Result<Answer, SendError> {
    let judge = Judge { taxonomy, now };
    match (raw.status, request.transport.parse()) {
        (200, Ok(Transport::DataManager)) => data_manager::read_receipt(raw, request, judge),
        (200, Ok(Transport::AdsApi)) => ads_api::read_results(raw, request, judge),
        // A request of no transport of ours cannot be read; whether it was taken, nobody knows.
        (200, Err(_)) => in_doubt(raw, "UNREADABLE_ANSWER", request, judge),
        (_, _) => refusal::read_refusal(raw, request, judge),
    }
}

/// What it means that no whole answer came.
pub(crate) fn read_fault(
    fault: Fault,
    request: &Request,
    taxonomy: &Taxonomy,
    now: Timestamp,
) -> Result<Answer, SendError> {
    let judge = Judge { taxonomy, now };
    let reply = Reply { code: Some(ErrorCode::own(fault.code())), ..Reply::default() };
    judge.whole(judge.signal(fault.code(), Body::Api), reply, request)
}

/// Reads the body of a 200: one JSON object. (Serde alone would take an array for a struct, field by field.)
fn read_object<T: DeserializeOwned>(raw: &RawAnswer) -> Option<T> {
    let is_object = raw.body.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(&raw.body).ok()).flatten()
}

/// A 200 that says nothing of any row that could be relied on.
fn in_doubt(
    raw: &RawAnswer,
    code: &'static str,
    request: &Request,
    judge: Judge<'_>,
) -> Result<Answer, SendError> {
    let reply = Reply { code: Some(ErrorCode::own(code)), ..reply(raw) };
    judge.whole(judge.signal(code, Body::Api), reply, request)
}

/// The envelope, without a code.
fn reply(raw: &RawAnswer) -> Reply {
    let request_id = raw.header("request-id").and_then(request_id);
    Reply { http_status: Some(raw.status), request_id, ..Reply::default() }
}

/// A request id, where the text can be one.
fn request_id(text: &str) -> Option<String> {
    let is_id =
        (1..=MAX_REQUEST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_id.then(|| text.to_owned())
}
