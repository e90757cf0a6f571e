//! What the sandbox says to one request, and whether it says it at all.

use super::directive::Whole;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::Value;
use std::time::Duration;

/// An answer, and what becomes of it on its way out.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
    /// Conversions or adjustments that the request carried, for the request log.
    pub(super) rows: usize,
    /// How long the answer waits before it leaves.
    pub(super) delay: Duration,
    pub(super) fate: Fate,
}

/// What becomes of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is sent.
    Sent,
    /// It is withheld until the client goes away.
    Withheld,
    /// The connection is reset in its place.
    Reset,
}

impl Fate {
    /// The word that the request log has for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Withheld => "withheld",
            Self::Reset => "reset",
        }
    }
}

impl Answer {
    /// A JSON answer.
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json; charset=UTF-8", body.to_string())
    }

    /// An HTML page, as the front end in front of the APIs writes them.
    pub(super) fn html(status: u16, title: &str) -> Self {
        let page = format!(
            "<!DOCTYPE html>\n<html lang=en>\n  <title>Error {status} ({title})!!1</title>\n  <p><b>{status}.</b> \
             <ins>That’s an error.</ins>\n"
        );
        Self::text(status, "text/html; charset=UTF-8", page)
    }

    /// A 200 whose body is not what the caller waits for: JSON that breaks off.
    fn garbage() -> Self {
        Self::text(200, "application/json; charset=UTF-8", "{\"requestId\": \"".to_owned())
    }

    fn text(status: u16, kind: &'static str, body: String) -> Self {
        let headers = vec![("content-type", kind.to_owned())];
        Self { status, headers, body, rows: 0, delay: Duration::ZERO, fate: Fate::Sent }
    }

    /// The same answer with one more header.
    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same answer, known to be about so many rows.
    pub(super) fn about(mut self, rows: usize) -> Self {
        self.rows = rows;
        self
    }

    /// The same answer, with another fate.
    fn meeting(mut self, fate: Fate) -> Self {
        self.fate = fate;
        self
    }

    /// The answer to a request that was recorded, as a directive lets it end.
    pub(super) fn ending(self, end: Option<&Whole>) -> Self {
        match end {
            None | Some(Whole::Status(..) | Whole::Refuse(_)) => self,
            Some(Whole::Garbage) => Self::garbage(),
            Some(Whole::Timeout) => self.meeting(Fate::Withheld),
            Some(Whole::Reset | Whole::ResetBefore) => self.meeting(Fate::Reset),
        }
    }

    /// The same answer, later.
    pub(super) fn after(mut self, delay: Duration) -> Self {
        self.delay += delay;
        self
    }

    /// The bytes that go on the wire.
    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_GATEWAY);
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response.headers_mut().insert(header::SERVER, HeaderValue::from_static("relay-sandbox"));
        response
    }
}

/// The gRPC status name that Google writes beside an HTTP status.
pub(super) fn status_name(http: u16) -> &'static str {
    match http {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        500 => "INTERNAL",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "UNKNOWN",
    }
}

/// The sentence that goes with a status where nothing more exact is known.
pub(super) fn status_message(http: u16) -> &'static str {
    match http {
        400 => "Request contains an invalid argument.",
        401 => "Request had invalid authentication credentials.",
        403 => "The caller does not have permission",
        404 => "Requested entity was not found.",
        409 => "The operation was aborted.",
        429 => "Resource has been exhausted (e.g. check quota).",
        499 => "The operation was cancelled.",
        500 => "Internal error encountered.",
        503 => "The service is currently unavailable.",
        504 => "Deadline expired before operation could complete.",
        _ => "Unknown Error.",
    }
}
