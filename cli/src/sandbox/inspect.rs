//! What a person or a test may ask the stand-in itself.

use super::answer::Answer;
use super::server::{lock, query};
use super::state::{LOG_MAX, State};
use axum::http::{Method, Uri};
use serde_json::json;
use std::sync::Mutex;

/// Requests that are shown unless another number is asked for.
const LAST_DEFAULT: usize = 20;

/// Answers everything below `/sandbox/`.
pub(super) fn answer(state: &Mutex<State>, method: &Method, uri: &Uri) -> Answer {
    match (method.clone(), uri.path()) {
        (Method::GET, "/sandbox/ledger") => {
            let state = lock(state);
            let entries: Vec<_> = state.ledger.lines().collect();
            Answer::json(200, &json!({"entries": entries, "totals": state.totals}))
        }
        (Method::DELETE, "/sandbox/ledger") => {
            lock(state).reset();
            Answer::json(200, &json!({"ok": true}))
        }
        (Method::POST, "/sandbox/mend") => match query(uri).get("id") {
            Some(id) if lock(state).mended.mend(id) => Answer::json(200, &json!({"ok": true, "id": id})),
            Some(_) => Answer::json(503, &json!({"error": "too much was mended: DELETE /sandbox/ledger"})),
            None => Answer::json(400, &json!({"error": "id must name an account or a conversion action"})),
        },
        (Method::GET, "/sandbox/requests") => {
            let last = match query(uri).get("last").map(|last| last.parse::<usize>()) {
                None => LAST_DEFAULT,
                Some(Ok(last)) => last.min(LOG_MAX),
                Some(Err(_)) => return Answer::json(400, &json!({"error": "last must be a number"})),
            };
            let state = lock(state);
            let skipped = state.log.len().saturating_sub(last);
            let requests: Vec<_> = state.log.iter().skip(skipped).collect();
            Answer::json(200, &json!({"requests": requests}))
        }
        _ => Answer::json(404, &json!({"error": "try GET /sandbox/ledger or GET /sandbox/requests?last=20"})),
    }
}
