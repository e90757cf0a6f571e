//! The answer to a request that was judged and not executed: it has errors, and no results.

use jiff::Timestamp;

use super::findings::{findings, worst};
use super::judge::Judge;
use crate::providers::{
    Request, RowAnswer, SendError,
    google_ads::{
        taxonomy::Taxonomy,
        transport::Transport,
        wire::{ads_api::UploadResponse, data_manager::IngestEventsResponse},
    },
    http::RawAnswer,
};

/// What was said of its one row; nothing where it passed.
pub(crate) fn read_validation(
    raw: &RawAnswer,
    request: &Request,
    taxonomy: &Taxonomy,
    now: Timestamp,
) -> Result<Option<RowAnswer>, SendError> {
    let judge = Judge { taxonomy, now };
    let in_doubt = || super::no_rows(super::in_doubt(raw, "UNREADABLE_ANSWER", request, judge));
    match (raw.status, request.transport.parse()) {
        (200, Ok(Transport::DataManager)) => {
            let _: IngestEventsResponse = super::read_object(raw).ok_or_else(in_doubt)?;
            Ok(None)
        }
        (200, Ok(Transport::AdsApi)) => {
            let response: UploadResponse = super::read_object(raw).ok_or_else(in_doubt)?;
            let found = response.partial_failure_error.as_ref().map(findings).unwrap_or_default();
            let memo = request.memo.first().copied();
            Ok(memo.and_then(|memo| worst(found.iter().map(|finding| finding.answer(memo, judge)))))
        }
        (200, Err(_)) => Err(in_doubt()),
        (_, _) => {
            let answer = super::refusal::read_refusal(raw, request, judge)?;
            Ok(answer.rows.into_iter().next())
        }
    }
}
