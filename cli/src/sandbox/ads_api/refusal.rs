//! The Google Ads API's errors: one `GoogleAdsFailure` for a request, or for all failed rows of one.

use super::{Call, Head};
use crate::sandbox::answer::{Answer, status_message, status_name};
use crate::sandbox::directive::{Detail, Whole};
use crate::sandbox::shape::Misfit;
use crate::sandbox::token::Unauthorised;
use serde_json::{Value, json};

/// One error of a `GoogleAdsFailure`.
pub(super) struct Failure {
    family: String,
    code: String,
    message: String,
    /// The path to the field, outermost first; empty for the request as a whole.
    path: Vec<(String, Option<usize>)>,
    /// Seconds until a retry is welcome.
    retry_seconds: Option<u32>,
}

impl Failure {
    /// An error of the whole request.
    pub(super) fn new(family: &str, code: &str, message: &str) -> Self {
        Self {
            family: family.to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
            path: Vec::new(),
            retry_seconds: None,
        }
    }

    /// The same error at a row, and at a field of it unless the name is empty.
    pub(super) fn at(mut self, rows: &str, index: usize, field: &str) -> Self {
        self.path = vec![(rows.to_owned(), Some(index))];
        self.path.extend(field.split('.').filter(|name| !name.is_empty()).map(|name| {
            match name.split_once('[') {
                Some((name, index)) => (name.to_owned(), index.trim_end_matches(']').parse().ok()),
                None => (name.to_owned(), None),
            }
        }));
        self
    }

    /// The code without its family.
    pub(super) fn code(&self) -> &str {
        &self.code
    }

    fn json(&self) -> Value {
        let mut error = json!({"errorCode": {&self.family: self.code}, "message": self.message});
        if !self.path.is_empty() {
            let elements: Vec<Value> = self
                .path
                .iter()
                .map(|(name, index)| match index {
                    Some(index) => json!({"fieldName": name, "index": index}),
                    None => json!({"fieldName": name}),
                })
                .collect();
            error["location"] = json!({"fieldPathElements": elements});
        }
        if let Some(seconds) = self.retry_seconds {
            error["details"] = json!({"quotaErrorDetails": {
                "rateScope": "ACCOUNT",
                "rateName": "Number of operations for conversion uploads",
                "retryDelay": format!("{seconds}s"),
            }});
        }
        error
    }
}

/// The HTTP status that goes with an error's family.
fn status_of(failure: &Failure) -> u16 {
    match (failure.family.as_str(), failure.code.as_str()) {
        ("internalError", "DEADLINE_EXCEEDED") => 504,
        ("internalError", "TRANSIENT_ERROR") => 503,
        ("internalError", _) => 500,
        ("quotaError", "ACCESS_PROHIBITED") => 403,
        ("quotaError", _) => 429,
        ("authenticationError", _) => 401,
        ("authorizationError" | "notAllowlistedError", _) => 403,
        // Not least `databaseError.CONCURRENT_MODIFICATION`, which one would not look for here.
        _ => 400,
    }
}

/// Refuses a request for one error.
pub(super) fn failure(head: &Head, number: u64, failure: &Failure) -> Answer {
    let status = status_of(failure);
    with_status(head, number, status, failure)
}

fn with_status(head: &Head, number: u64, status: u16, failure: &Failure) -> Answer {
    let details = details(head, number, &[failure]);
    Answer::json(status, &error(status, status_message(status), Some(details)))
        .with_header("request-id", request_id(number))
}

/// What stands beside the results where rows failed: a status with one `GoogleAdsFailure`, however many errors.
pub(super) fn partial(head: &Head, number: u64, failures: &[&Failure]) -> Value {
    let first = failures.first().map_or("", |first| first.message.as_str());
    let message = match failures.len() {
        1 => first.to_owned(),
        _ => format!("Multiple errors in ‘details’. First error: {first}"),
    };
    json!({"code": 3, "message": message, "details": details(head, number, failures)})
}

fn details(head: &Head, number: u64, failures: &[&Failure]) -> Value {
    let errors: Vec<Value> = failures.iter().map(|failure| failure.json()).collect();
    json!([{
        "@type": format!("type.googleapis.com/google.ads.googleads.{}.errors.GoogleAdsFailure", head.version),
        "errors": errors,
        "requestId": request_id(number),
    }])
}

/// The value of the `request-id` header.
pub(super) fn request_id(number: u64) -> String {
    format!("sandbox{number:016}")
}

/// Refuses a body that is not the message that it should be; the JSON reader answers this, not the service.
pub(super) fn misfits(found: &[Misfit]) -> Answer {
    let fields: Vec<Value> =
        found.iter().map(|one| json!({"field": one.at, "description": one.message})).collect();
    let lines: Vec<&str> = found.iter().map(|one| one.message.as_str()).collect();
    let details = json!([{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": fields}]);
    Answer::json(400, &error(400, &lines.join("\n"), Some(details)))
}

/// Refuses a request for its token.
pub(super) fn unauthorised(head: &Head, number: u64, cause: &Unauthorised) -> Answer {
    let code = match cause {
        Unauthorised::Missing => "OAUTH_TOKEN_HEADER_INVALID",
        Unauthorised::Unknown => "OAUTH_TOKEN_INVALID",
        Unauthorised::Expired => "OAUTH_TOKEN_EXPIRED",
        Unauthorised::Scope => {
            let info = json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "domain": "googleapis.com",
                "metadata": {"service": "googleads.googleapis.com"},
            }]);
            let message = "Request had insufficient authentication scopes.";
            return Answer::json(403, &error(403, message, Some(info)));
        }
    };
    failure(head, number, &Failure::new("authenticationError", code, status_message(401)))
}

/// What a directive makes of a whole request, where nothing of it is recorded.
pub(super) fn directed(call: &Call, number: u64, row: usize, whole: &Whole) -> Option<Answer> {
    let (family, code) = match whole {
        Whole::Status(502, _) => return Some(Answer::html(502, "Server Error")),
        Whole::Status(429, Detail::RetryAfter(seconds)) => {
            return Some(exhausted(&call.head, number, *seconds));
        }
        Whole::Status(400, Detail::Row) => ("requestError", "UNKNOWN"),
        Whole::Status(401, _) => ("authenticationError", "OAUTH_TOKEN_EXPIRED"),
        Whole::Status(403, _) => ("authorizationError", "USER_PERMISSION_DENIED"),
        Whole::Status(429, _) => ("quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED"),
        Whole::Status(500, _) => ("internalError", "INTERNAL_ERROR"),
        Whole::Status(status, detail) => {
            let answer = Answer::json(*status, &error(*status, status_message(*status), None))
                .with_header("request-id", request_id(number));
            return Some(match detail {
                Detail::RetryAfter(seconds) => answer.with_header("retry-after", seconds.to_string()),
                Detail::Bare | Detail::Row => answer,
            });
        }
        Whole::Refuse(code) => (code.family.as_deref().unwrap_or("requestError"), code.name.as_str()),
        Whole::Timeout | Whole::Reset | Whole::ResetBefore | Whole::Garbage => return None,
    };
    let found = Failure::new(family, code, "The sandbox was told to refuse this request.");
    let located = matches!(whole, Whole::Status(400, Detail::Row));
    let found = if located { found.at(call.service.rows_name(), row, "") } else { found };
    Some(failure(&call.head, number, &found))
}

/// 429, with the time to come back where the Google Ads API says it and in the header.
pub(super) fn exhausted(head: &Head, number: u64, seconds: u32) -> Answer {
    let code = "RESOURCE_TEMPORARILY_EXHAUSTED";
    let mut found = Failure::new("quotaError", code, "Too many requests. Retry later.");
    found.retry_seconds = Some(seconds);
    failure(head, number, &found).with_header("retry-after", seconds.to_string())
}

/// Refuses a request because the sandbox itself has no room left; nothing was recorded.
pub(super) fn full() -> Answer {
    Answer::json(503, &error(503, "The sandbox's ledger is full: DELETE /sandbox/ledger.", None))
}

fn error(status: u16, message: &str, details: Option<Value>) -> Value {
    let mut error = json!({"code": status, "message": message, "status": status_name(status)});
    if let Some(details) = details {
        error["details"] = details;
    }
    json!({"error": error})
}
