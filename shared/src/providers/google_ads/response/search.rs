//! The rows of a search.

use jiff::Timestamp;

use crate::providers::{
    SendError,
    google_ads::{
        request::nothing,
        wire::search::{Row, SearchResponse},
    },
    http::RawAnswer,
};

/// The rows, or what stands in the way: by the same tables as an upload's answer.
pub(crate) fn read_search(raw: &RawAnswer, now: Timestamp) -> Result<Vec<Row>, SendError> {
    if raw.status == 200 {
        let response: SearchResponse = super::read_object(raw)?;
        return Ok(response.results);
    }
    match super::refusal::read_refusal(raw, &nothing(), now) {
        Err(error) => Err(error),
        // A search has no rows of ours that could be named.
        Ok(answer) => Err(SendError::Refused(answer.reply)),
    }
}
