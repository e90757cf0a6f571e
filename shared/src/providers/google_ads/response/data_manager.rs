//! The receipt of `events:ingest`: all rows were taken, and what became of them is told later.

use crate::domain::Verdict;
use crate::providers::{
    Answer, Reply, Request, RowAnswer, SendError, google_ads::wire::data_manager::IngestEventsResponse,
    http::RawAnswer,
};

/// Without a request id nobody can ask later, so such an answer is none.
pub(super) fn read_receipt(raw: &RawAnswer, request: &Request) -> Result<Answer, SendError> {
    let response: IngestEventsResponse = super::read_object(raw)?;
    let Some(request_id) = response.request_id.as_deref().and_then(super::request_id) else {
        return Err(super::unconfirmed(raw, "NO_REQUEST_ID"));
    };
    let submitted = RowAnswer { verdict: Verdict::Submitted, code: None };
    Ok(Answer {
        reply: Reply { request_id: Some(request_id), ..super::reply(raw) },
        rows: vec![submitted; request.rows.len()],
    })
}
