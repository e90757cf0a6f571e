//! The rows of a search.

use jiff::Timestamp;

use super::judge::Judge;
use crate::providers::{
    Request, SendError,
    google_ads::{
        taxonomy::Taxonomy,
        transport::Transport,
        wire::search::{Row, SearchResponse},
    },
    http::RawAnswer,
};

/// The rows, or what stands in the way: by the same tables as an upload's answer.
pub(crate) fn read_search(
    raw: &RawAnswer,
    taxonomy: &Taxonomy,
    now: Timestamp,
) -> Result<Vec<Row>, SendError> {
    let (judge, nothing) = (Judge { taxonomy, now }, Request::empty(Transport::AdsApi.as_str()));
    if raw.status != 200 {
        return Err(super::no_rows(super::refusal::read_refusal(raw, &nothing, judge)));
    }
    super::read_object::<SearchResponse>(raw)
        .map(|response| response.results)
        .ok_or_else(|| super::no_rows(super::in_doubt(raw, "UNREADABLE_ANSWER", &nothing, judge)))
}
