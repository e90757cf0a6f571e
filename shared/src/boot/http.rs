//! HTTP in the shape of API Gateway's payload 2.0, which function URLs share.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>, read 2026-11-22.

use std::collections::HashMap;

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::call::writable;
use crate::domain::read_json;
use crate::engine::{BadRequest, Fields};
use crate::providers::trace::{TRACEPARENT, Trace};

/// Largest body: 1 MiB.
pub const BODY_MAX: usize = 1024 * 1024;

/// A call over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpCall {
    /// In capitals.
    pub method: String,
    /// Without the query string.
    pub path: String,
    /// Without the question mark.
    pub query: String,
    /// By their names in lower case.
    pub headers: HashMap<String, String>,
    /// As it came, decoded.
    pub body: Vec<u8>,
}

/// An answer over HTTP: always JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The document.
    pub body: Value,
    /// By their names in lower case; what every answer carries is among them.
    pub headers: Vec<(&'static str, String)>,
}

impl HttpAnswer {
    /// A document.
    pub fn new(status: u16, body: Value) -> Self {
        let headers = [("content-type", "application/json"), ("cache-control", "no-store")];
        Self { status, body, headers: headers.map(|(name, value)| (name, value.to_owned())).to_vec() }
    }

    /// A fault: `{"error":"…"}`.
    pub fn error(status: u16, message: impl Into<String>) -> Self {
        Self::new(status, json!({ "error": message.into() }))
    }

    /// 413: more than [`BODY_MAX`].
    pub fn too_large() -> Self {
        Self::error(413, format!("the body must be at most {BODY_MAX} bytes"))
    }

    /// 401, in the same words whatever was wrong.
    pub(super) fn unauthorized() -> Self {
        Self::error(401, "Unauthorized")
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// As API Gateway takes it.
    pub(super) fn into_event(self) -> Value {
        let headers: Map<_, _> =
            self.headers.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
        json!({
            "statusCode": self.status,
            "headers": headers,
            "body": self.body.to_string(),
            "isBase64Encoded": false,
        })
    }
}

impl HttpCall {
    /// The trace that its caller, or AWS on the way, says it belongs to.
    pub fn trace(&self) -> Option<Trace> {
        let caller = self.headers.get(TRACEPARENT).and_then(|header| Trace::from_traceparent(header));
        caller.or_else(|| Trace::from_xray(self.headers.get("x-amzn-trace-id")?))
    }

    /// Reads an event, if it is one of HTTP.
    pub(super) fn from_event(event: &Value) -> Option<Self> {
        let http = event.get("requestContext")?.get("http")?;
        let text = |value: &Value, name: &str| {
            value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let headers = event.get("headers").and_then(Value::as_object);
        let headers = headers
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned())));
        let body = text(event, "body");
        let encoded = event.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or(false);
        let body = if encoded {
            // What is no base64 stays as it is, and is no JSON either: an empty body would be a call without fields.
            base64::engine::general_purpose::STANDARD.decode(&body).unwrap_or_else(|_| body.into_bytes())
        } else {
            body.into_bytes()
        };
        Some(Self {
            method: text(http, "method").to_ascii_uppercase(),
            path: event
                .get("rawPath")
                .and_then(Value::as_str)
                .map_or_else(|| text(http, "path"), str::to_owned),
            query: text(event, "rawQueryString"),
            headers: headers.collect(),
            body,
        })
    }

    /// The fields of the body and of the query string, which may carry the same ones but not twice.
    pub(super) fn fields(&self) -> Result<Fields, BadRequest> {
        let mut fields = if self.body.is_empty() {
            Map::new()
        } else {
            match read_json(&self.body) {
                Ok((_, twice)) if !twice.is_empty() => {
                    return Err(BadRequest(format!("{} is given twice", twice[0])));
                }
                Ok((Value::Object(fields), _)) => fields,
                Ok(_) | Err(_) => return Err(BadRequest("the body must be a JSON object".to_owned())),
            }
        };
        // A base is needed to parse with; nothing of it is used.
        let url = reqwest::Url::parse(&format!("http://localhost/?{}", self.query));
        let url = url.map_err(|_| BadRequest("the query string cannot be read".to_owned()))?;
        for (name, value) in url.query_pairs().filter(|(_, value)| !value.is_empty()) {
            let twice = fields.insert(name.to_string(), Value::String(value.into_owned()));
            if twice.is_some() {
                return Err(BadRequest(format!("{name} is given twice")));
            }
        }
        writable(fields).map(Fields::new)
    }
}
