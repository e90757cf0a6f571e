//! The answer to a request that was judged and not executed: it has errors, and no results.

use jiff::Timestamp;

use super::findings::{findings, worst};
use crate::providers::{
    Request, RowAnswer, SendError,
    google_ads::{
        transport::Transport,
        wire::{ads_api::UploadResponse, data_manager::IngestEventsResponse},
    },
    http::RawAnswer,
};

/// What was said of its one row; nothing where it passed.
pub(crate) fn read_validation(
    raw: &RawAnswer,
    request: &Request,
    now: Timestamp,
) -> Result<Option<RowAnswer>, SendError> {
    match (raw.status, request.transport.parse()) {
        (200, Ok(Transport::DataManager)) => {
            let _: IngestEventsResponse = super::read_object(raw)?;
            Ok(None)
        }
        (200, Ok(Transport::AdsApi)) => {
            let response: UploadResponse = super::read_object(raw)?;
            let found = response.partial_failure_error.as_ref().map(findings).unwrap_or_default();
            let memo = request.memo.first().copied();
            Ok(memo.and_then(|memo| worst(found.iter().map(|finding| finding.answer(memo, now)))))
        }
        (200, Err(_)) => Err(super::unconfirmed(raw, "UNREADABLE_ANSWER")),
        (_, _) => {
            let answer = super::refusal::read_refusal(raw, request, now)?;
            Ok(answer.rows.into_iter().next())
        }
    }
}
