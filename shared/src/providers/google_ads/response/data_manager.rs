//! The receipt of `events:ingest`: all rows were taken, and what became of them is told later.

use crate::domain::Verdict;
use crate::providers::google_ads::wire::data_manager::IngestEventsResponse;
use crate::providers::http::RawAnswer;
use crate::providers::{Answer, Reply, Request, RowAnswer, SendError};

/// Without a request id nobody can ask later, so such an answer is none.
pub(super) fn read_receipt(raw: &RawAnswer, request: &Request) -> Result<Answer, SendError> {
    let Ok(response) = serde_json::from_slice::<IngestEventsResponse>(&raw.body) else {
        return Err(super::unconfirmed(raw, "UNREADABLE_ANSWER"));
    };
    let Some(request_id) = response.request_id.as_deref().and_then(super::request_id) else {
        return Err(super::unconfirmed(raw, "NO_REQUEST_ID"));
    };
    let submitted = RowAnswer { verdict: Verdict::Submitted, code: None };
    Ok(Answer {
        reply: Reply { request_id: Some(request_id), ..super::reply(raw) },
        rows: vec![submitted; request.rows.len()],
    })
}
