//! The receipt of `events:ingest`: all rows were taken, and what became of them is told later.

use super::judge::Judge;
use crate::domain::Verdict;
use crate::providers::{
    Answer, Reply, Request, RowAnswer, SendError, google_ads::wire::data_manager::IngestEventsResponse,
    http::RawAnswer,
};

/// Without a request id nobody can ask later, so such an answer is none.
pub(super) fn read_receipt(
    raw: &RawAnswer,
    request: &Request,
    judge: Judge<'_>,
) -> Result<Answer, SendError> {
    let Some(response) = super::read_object::<IngestEventsResponse>(raw) else {
        return super::in_doubt(raw, "UNREADABLE_ANSWER", request, judge);
    };
    let Some(request_id) = response.request_id.as_deref().and_then(super::request_id) else {
        return super::in_doubt(raw, "NO_REQUEST_ID", request, judge);
    };
    let submitted = RowAnswer { verdict: Verdict::Submitted, code: None };
    Ok(Answer {
        reply: Reply { request_id: Some(request_id), ..super::reply(raw) },
        rows: vec![submitted; request.rows.len()],
    })
}
