//! A call of a function, whichever way it came.

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::context::BootError;
use super::http::HttpCall;
use crate::delivery::Deadline;
use crate::engine::{BadRequest, Bounds, Fields};
use crate::store::{Said, StoreError};

/// A call: what it says, until when, and what may end it early.
pub struct Call {
    /// The fields of the event, the body or the query string.
    pub fields: Fields,
    /// The call over HTTP as it came, where the function itself decides whom it lets in; there are no fields then.
    pub http: Option<HttpCall>,
    /// When it has to be over.
    pub deadline: Deadline,
    /// Ends it early.
    pub shutdown: CancellationToken,
}

impl Call {
    /// Its fields, and how long it may take.
    pub fn into_parts(self) -> (Fields, Bounds) {
        (self.fields, Bounds { deadline: self.deadline, shutdown: self.shutdown })
    }
}

/// Why a call has no answer.
#[derive(Debug)]
pub enum CallError {
    /// It cannot be understood: the caller has to change it.
    BadRequest(String),
    /// The caller did not show that it may call. Nothing says what was wrong.
    Unauthorized,
    /// The database or its schema is not there for us: the same call may work later.
    Unavailable {
        /// All of it, for the log and for whoever invoked us directly.
        told: String,
        /// What a caller over HTTP learns: no host names, no versions.
        brief: String,
    },
    /// Anything else.
    Failed(String),
}

/// The function that decides by itself whom it lets in does not let this one in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Unauthorized")]
pub(super) struct Unauthorized;

/// A call that was not answered in its time. What was on its way may have been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not done in time: the same call can be made again")]
pub(super) struct OutOfTime;

impl CallError {
    /// Sorts a failure by what the caller can do about it. The causes go along: none of ours names a secret.
    pub fn new(error: &anyhow::Error) -> Self {
        if let Some(bad) = error.downcast_ref::<BadRequest>() {
            return Self::BadRequest(bad.to_string());
        }
        if error.is::<Unauthorized>() {
            return Self::Unauthorized;
        }
        let told = told(error);
        let brief = error.chain().find_map(|cause| {
            let booting = cause.downcast_ref::<BootError>().map(ToString::to_string);
            let stored = cause.downcast_ref::<StoreError>().filter(|error| {
                matches!(
                    error,
                    StoreError::Unavailable(_)
                        | StoreError::Busy(_)
                        | StoreError::WrongSchema(_)
                        | StoreError::NoPartition(_)
                )
            });
            let late = cause.downcast_ref::<OutOfTime>().map(ToString::to_string);
            booting.or(late).or_else(|| stored.map(ToString::to_string))
        });
        match brief {
            Some(brief) => Self::Unavailable { told, brief },
            None => Self::Failed(told),
        }
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        match self {
            Self::BadRequest(told) | Self::Unavailable { told, .. } | Self::Failed(told) => told,
            Self::Unauthorized => "Unauthorized",
        }
    }

    /// As an error of a function that was invoked directly.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Unavailable { .. } => "Unavailable",
            Self::Failed(_) => "Failed",
        }
    }
}

/// An error and its causes on one line. What the database said of a migration is told as everywhere: without DETAIL, which
/// quotes rows.
pub(super) fn told(error: &anyhow::Error) -> String {
    let mut parts = Vec::new();
    for cause in error.chain() {
        if let Some(said) = cause.downcast_ref().and_then(Said::of) {
            parts.push(said.to_string());
            break;
        }
        parts.push(cause.to_string());
    }
    parts.join(": ")
}

/// The fields of an event that was not HTTP: a schedule's input or a direct invoke, or an EventBridge envelope,
/// whose `detail` is the request and whose `time` is the scheduled one.
pub(super) fn event_fields(event: Value) -> Result<Fields, BadRequest> {
    let mut fields = match event {
        Value::Object(fields) => fields,
        Value::Null => Map::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err(BadRequest("the event must be a JSON object".to_owned()));
        }
    };
    if fields.contains_key("detail-type") && fields.contains_key("source") {
        let time = fields.remove("time");
        let detail = match fields.remove("detail") {
            Some(Value::String(text)) => serde_json::from_str(&text).unwrap_or(Value::Null),
            Some(detail) => detail,
            None => Value::Null,
        };
        let Value::Object(mut detail) = detail else {
            return Err(BadRequest("detail must be a JSON object: the request".to_owned()));
        };
        if let Some(time) = time {
            detail.entry("scheduled_time").or_insert(time);
        }
        fields = detail;
    }
    writable(fields).map(Fields::new)
}

/// Refuses texts with the one character that no database's text can hold.
pub(super) fn writable(fields: Map<String, Value>) -> Result<Map<String, Value>, BadRequest> {
    fn is_writable(value: &Value) -> bool {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
            Value::String(text) => !text.contains('\0'),
            Value::Array(values) => values.iter().all(is_writable),
            Value::Object(fields) => fields.values().all(is_writable),
        }
    }
    match fields.iter().find(|(_, value)| !is_writable(value)) {
        Some((name, _)) => {
            let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
            Err(BadRequest(format!("{name} must not contain the character NUL")))
        }
        None => Ok(fields),
    }
}

/// What is told as a deadline below this is no time of ours: `cargo lambda watch` tells 600,000 of every event, which is how
/// long there is in the place of until when. <https://github.com/cargo-lambda/cargo-lambda>, 1.9.2, read 2026-11-22.
const EARLIEST_DEADLINE_MS: u64 = 24 * 60 * 60 * 1_000;

/// Milliseconds of the epoch, as Lambda tells its deadline, on our clock.
pub(super) fn until(deadline_ms: u64) -> std::time::Duration {
    if deadline_ms < EARLIEST_DEADLINE_MS {
        return std::time::Duration::from_millis(deadline_ms);
    }
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
    std::time::Duration::from_millis(deadline_ms.saturating_sub(now))
}
