//! The Data Manager API's error envelope.

use crate::sandbox::answer::{Answer, status_message, status_name};
use crate::sandbox::directive::{Detail, Whole};
use crate::sandbox::shape::Misfit;
use crate::sandbox::token::Unauthorised;
use serde_json::{Value, json};

/// One thing that is wrong with a request.
pub(super) struct Violation {
    /// Where, as in `events[3].event_timestamp`.
    pub(super) field: String,
    /// A name of `ErrorReason`.
    pub(super) reason: String,
    pub(super) description: String,
}

impl Violation {
    /// A violation at a field.
    pub(super) fn new(field: impl Into<String>, reason: &str, description: &str) -> Self {
        Self { field: field.into(), reason: reason.to_owned(), description: description.to_owned() }
    }
}

/// The HTTP status that goes with an `ErrorReason`.
fn status_of(reason: &str) -> u16 {
    match reason {
        "INTERNAL_ERROR" => 500,
        "DEADLINE_EXCEEDED" => 504,
        "RESOURCE_EXHAUSTED" => 429,
        "NOT_FOUND" => 404,
        "PERMISSION_DENIED" | "ACCESS_TOKEN_SCOPE_INSUFFICIENT" => 403,
        _ => 400,
    }
}

/// Refuses a request for what its rows violate; the first violation names the request's reason.
pub(super) fn violations(number: u64, found: &[Violation]) -> Answer {
    let reason = found.first().map_or("INVALID_ARGUMENT", |first| first.reason.as_str());
    let fields: Vec<Value> = found
        .iter()
        .map(|one| json!({"field": one.field, "description": one.description, "reason": one.reason}))
        .collect();
    let more = json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": fields});
    envelope(number, status_of(reason), reason, "There was a problem with the request.", Some(more))
}

/// Refuses a request as a whole, for a reason of its own.
pub(super) fn plain(number: u64, reason: &str) -> Answer {
    let status = status_of(reason);
    envelope(number, status, reason, status_message(status), None)
}

/// Refuses a request because the sandbox itself has no room left; nothing was recorded.
pub(super) fn full(number: u64) -> Answer {
    envelope(number, 503, "UNAVAILABLE", "The sandbox's ledger is full: DELETE /sandbox/ledger.", None)
}

/// Refuses a body that is not the message that it should be; the JSON reader answers this, not the service.
pub(super) fn misfits(found: &[Misfit]) -> Answer {
    let fields: Vec<Value> =
        found.iter().map(|one| json!({"field": one.at, "description": one.message})).collect();
    let lines: Vec<&str> = found.iter().map(|one| one.message.as_str()).collect();
    let details = json!([{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": fields}]);
    Answer::json(400, &error(400, &lines.join("\n"), &details))
}

/// Refuses a request for its token.
pub(super) fn unauthorised(cause: &Unauthorised) -> Answer {
    let (status, reason) = match cause {
        Unauthorised::Missing => (401, "CREDENTIALS_MISSING"),
        Unauthorised::Unknown => (401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        Unauthorised::Expired => (401, "ACCESS_TOKEN_EXPIRED"),
        Unauthorised::Scope => (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
    };
    let message = match status {
        403 => "Request had insufficient authentication scopes.",
        _ => status_message(status),
    };
    let metadata = json!({"service": "datamanager.googleapis.com"});
    let info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason, "domain": "googleapis.com", "metadata": metadata,
    });
    Answer::json(status, &error(status, message, &json!([info])))
}

/// What a directive makes of a whole request, where nothing of it is recorded.
pub(super) fn directed(number: u64, row: usize, whole: &Whole) -> Option<Answer> {
    Some(match whole {
        Whole::Status(401, _) => unauthorised(&Unauthorised::Expired),
        Whole::Status(500, Detail::Bare) => plain(number, "INTERNAL_ERROR"),
        Whole::Status(502, _) => Answer::html(502, "Server Error"),
        Whole::Status(400, Detail::Row) => {
            let violation = Violation::new(format!("events[{row}]"), "INVALID_ARGUMENT", status_message(400));
            violations(number, &[violation])
        }
        Whole::Status(429, Detail::RetryAfter(seconds)) => exhausted(number, *seconds),
        Whole::Status(status, detail) => {
            let answer = envelope(number, *status, status_name(*status), status_message(*status), None);
            match detail {
                Detail::RetryAfter(seconds) => answer.with_header("retry-after", seconds.to_string()),
                Detail::Bare | Detail::Row => answer,
            }
        }
        Whole::Refuse(code) => plain(number, &code.name),
        Whole::Timeout | Whole::Reset | Whole::ResetBefore | Whole::Garbage => return None,
    })
}

/// 429, with the time to come back in the body and in the header.
pub(super) fn exhausted(number: u64, seconds: u32) -> Answer {
    let retry =
        json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{seconds}s")});
    envelope(number, 429, "RESOURCE_EXHAUSTED", status_message(429), Some(retry))
        .with_header("retry-after", seconds.to_string())
}

fn envelope(number: u64, status: u16, reason: &str, message: &str, more: Option<Value>) -> Answer {
    let request_id = format!("t-sandbox-{number}");
    let mut details = vec![
        json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason,
            "domain": "datamanager.googleapis.com",
            "metadata": {"requestId": request_id},
        }),
        json!({"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": request_id}),
    ];
    details.extend(more);
    Answer::json(status, &error(status, message, &json!(details)))
}

fn error(status: u16, message: &str, details: &Value) -> Value {
    json!({"error": {
        "code": status, "message": message, "status": status_name(status), "details": details,
    }})
}
