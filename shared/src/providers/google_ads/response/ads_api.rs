//! The results of the Google Ads API's uploads: one per row, with all errors of the batch in one list.

use super::findings::{Finding, Place, findings, worst};
use super::judge::Judge;
use crate::domain::Verdict;
use crate::providers::{
    Answer, Memo, Reply, Request, RowAnswer, SendError, google_ads::wire::ads_api::UploadResponse,
    http::RawAnswer,
};

/// A row is delivered only where it has a result of its own and no error; the two must agree. An error that belongs
/// to no row may belong to any, so then nothing is known of any.
pub(super) fn read_results(
    raw: &RawAnswer,
    request: &Request,
    judge: Judge<'_>,
) -> Result<Answer, SendError> {
    let Some(response) = super::read_object::<UploadResponse>(raw) else {
        return super::in_doubt(raw, "UNREADABLE_ANSWER", request, judge);
    };
    let has_result: Vec<bool> = response
        .results
        .iter()
        .map(|result| result.as_ref().is_some_and(|fields| !fields.is_empty()))
        .collect();
    if has_result.len() != request.rows.len() || request.memo.len() != request.rows.len() {
        return super::in_doubt(raw, "RESULTS_MISMATCH", request, judge);
    }
    let found = response.partial_failure_error.as_ref().map(findings);
    let attributed = found.as_deref().map(|found| attribute(found, &has_result));
    let by_row = match attributed {
        None => vec![Vec::new(); has_result.len()],
        Some(Some(by_row)) => by_row,
        Some(None) => return super::in_doubt(raw, "UNATTRIBUTED_ERROR", request, judge),
    };
    let rows = by_row
        .iter()
        .zip(&has_result)
        .zip(&request.memo)
        .map(|((errors, has_result), memo)| {
            let error = worst(errors.iter().map(|finding| finding.answer(*memo, judge)));
            row_answer(*has_result, error, *memo, judge)
        })
        .collect();
    let unknown = judge.unknown(found.iter().flatten());
    Ok(Answer { reply: Reply { unknown, ..super::reply(raw) }, rows })
}

/// The findings of each row; `None` where one of them, or the failure as a whole, belongs to no row.
fn attribute<'a>(found: &'a [Finding], has_result: &[bool]) -> Option<Vec<Vec<&'a Finding>>> {
    if found.is_empty() {
        return None;
    }
    let mut by_row = vec![Vec::new(); has_result.len()];
    for finding in found {
        let row = match finding.place {
            Place::Row(row) => row,
            // Protobuf's JSON may leave out a 0; then the first row must have failed.
            Place::FirstRow if has_result.first() == Some(&false) => 0,
            Place::FirstRow | Place::Destination(_) | Place::Nowhere => return None,
        };
        by_row.get_mut(row)?.push(finding);
    }
    Some(by_row)
}

fn row_answer(has_result: bool, error: Option<RowAnswer>, memo: Memo, judge: Judge<'_>) -> RowAnswer {
    match (has_result, error) {
        (true, None) => RowAnswer { verdict: Verdict::Delivered, code: None },
        (false, Some(error)) => error,
        // Result and error contradict each other: an identical resend is harmless, and shows which it was.
        (true, Some(error)) => RowAnswer { verdict: Verdict::Unconfirmed, code: error.code },
        (false, None) => judge.doubt("NO_RESULT", memo),
    }
}
