//! Takes requests off the wire, finds who answers them, and sees each answer to its end.

use super::answer::{Answer, Fate};
use super::line::Scissors;
use super::state::{Logged, State};
use super::{ads_api, data_manager, inspect, token};
use axum::body::Body;
use axum::extract::{ConnectInfo, Query, Request, State as Shared};
use axum::http::{HeaderMap, Method, Uri, header, request::Parts};
use axum::response::Response;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Largest body that is read: 2,000 conversions with ten identifiers each are some 3 MB.
const BODY_MAX: usize = 20 * 1024 * 1024;

/// Letters that the log keeps of a path or a header.
const LOGGED_MAX: usize = 256;

/// The stand-in, as every handler sees it.
pub(super) struct Stand {
    pub(super) state: Mutex<State>,
    pub(super) knobs: Knobs,
    pub(super) clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// What was chosen at the start.
pub(super) struct Knobs {
    /// Stands in request ids, so that two sandboxes never give the same one.
    pub(super) name: String,
    pub(super) processing: SignedDuration,
    pub(super) latency: Duration,
    pub(super) ledger_max: usize,
    pub(super) requests_per_minute: Option<u32>,
    pub(super) versions: RangeInclusive<u32>,
}

/// The state. Nothing panics half-way through a change, so a poisoned lock holds a state as good as any.
pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request that is being answered, also when its client goes away in between.
struct Underway<'a>(&'a Mutex<State>);

impl<'a> Underway<'a> {
    fn begin(state: &'a Mutex<State>) -> Self {
        let totals = &mut lock(state).totals;
        totals.requests += 1;
        totals.concurrent_requests += 1;
        totals.max_concurrent_requests = totals.max_concurrent_requests.max(totals.concurrent_requests);
        Self(state)
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        lock(self.0).totals.concurrent_requests -= 1;
    }
}

/// The one handler.
pub(super) async fn serve(
    Shared(stand): Shared<Arc<Stand>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    if head.uri.path().starts_with("/sandbox/") {
        return inspect::answer(&stand.state, &head.method, &head.uri).into_response();
    }
    let _underway = Underway::begin(&stand.state);
    let started = Instant::now();
    let answer = match read(body).await {
        Some(body) => decide(&stand, &head, &body),
        None => Answer::html(413, "Request Entity Too Large"),
    };
    // Logged before it leaves, so that an answer which never arrives is seen too.
    log(&stand, &head, &answer, started);
    let wait = answer.delay + stand.knobs.latency;
    if !wait.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = scissors.was_cut() => {}
        }
    }
    match answer.fate {
        Fate::Sent => {}
        Fate::Withheld => scissors.was_cut().await,
        Fate::Reset => scissors.cut(),
    }
    answer.into_response()
}

async fn read(body: Body) -> Option<Bytes> {
    axum::body::to_bytes(body, BODY_MAX).await.ok()
}

fn decide(stand: &Stand, head: &Parts, body: &[u8]) -> Answer {
    let (state, knobs) = (&stand.state, &stand.knobs);
    let now = (stand.clock)();
    let authorization = header_text(&head.headers, header::AUTHORIZATION.as_str());
    let content_type = header_text(&head.headers, header::CONTENT_TYPE.as_str());
    match (head.method.clone(), head.uri.path()) {
        (Method::POST, "/token") => token::answer(&mut lock(state), content_type, body, now),
        (Method::POST, "/v1/events:ingest") => data_manager::ingest(state, authorization, body, knobs, now),
        (Method::GET, "/v1/requestStatus:retrieve") => {
            let id = query(&head.uri).remove("requestId");
            data_manager::retrieve(state, authorization, id.as_deref(), knobs, now)
        }
        _ => ads_api::answer(state, head, body, knobs, now).unwrap_or_else(|| Answer::html(404, "Not Found")),
    }
}

/// The value of a header, where it is text.
pub(super) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The fields of a query string; none where it cannot be read.
pub(super) fn query(uri: &Uri) -> HashMap<String, String> {
    Query::try_from_uri(uri).map(|Query(fields)| fields).unwrap_or_default()
}

fn log(stand: &Stand, head: &Parts, answer: &Answer, started: Instant) {
    let shown = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        let secret = name == header::AUTHORIZATION || name.as_str() == "developer-token";
        let value = if secret { "(hidden)" } else { value.to_str().unwrap_or("(binary)") };
        (name.to_string(), value.chars().take(LOGGED_MAX).collect())
    };
    let headers: BTreeMap<String, String> = head.headers.iter().map(shown).collect();
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let request = Logged {
        at: (stand.clock)(),
        method: head.method.to_string(),
        path: head.uri.to_string().chars().take(LOGGED_MAX).collect(),
        headers,
        status: answer.status,
        fate: answer.fate.name(),
        rows: answer.rows,
        duration_ms,
    };
    let path = head.uri.path();
    tracing::debug!(http.status = answer.status, rows = answer.rows, duration_ms, "answered {path}");
    let mut state = lock(&stand.state);
    if answer.status >= 400 || answer.fate != Fate::Sent {
        state.totals.requests_failed += 1;
    }
    state.log(request);
}
