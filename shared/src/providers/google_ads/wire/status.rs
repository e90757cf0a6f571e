//! `google.rpc.Status`: how both APIs say what is wrong. Read tolerantly, as new values and fields come unannounced;
//! no free text is read at all, because texts echo personal data.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The body of an answer that is not 200.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: Status,
}

/// `google.rpc.Status`.
#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    /// The name of the gRPC code, such as `INVALID_ARGUMENT`.
    pub(crate) status: Option<String>,
    /// Any kinds of detail; only some are known here.
    #[serde(default)]
    pub(crate) details: Vec<Detail>,
}

/// One detail: the fields of every kind that is of interest, whichever it is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Detail {
    /// Of `GoogleAdsFailure`.
    pub(crate) errors: Vec<GoogleAdsError>,
    /// Of `GoogleAdsFailure` and of `google.rpc.RequestInfo`.
    pub(crate) request_id: Option<String>,
    /// Of `google.rpc.ErrorInfo`.
    pub(crate) reason: Option<String>,
    /// Of `google.rpc.ErrorInfo`.
    pub(crate) domain: Option<String>,
    /// Of `google.rpc.BadRequest`.
    pub(crate) field_violations: Vec<FieldViolation>,
    /// Of `google.rpc.RetryInfo`: a duration such as `3.5s`.
    pub(crate) retry_delay: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FieldViolation {
    /// A path such as `events[3].transaction_id`.
    pub(crate) field: String,
    pub(crate) reason: Option<String>,
}

/// `google.ads.googleads.v26.errors.GoogleAdsError`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GoogleAdsError {
    /// One entry: the family, and its value as a name, or as a number where the server knows no name for it.
    pub(crate) error_code: Map<String, Value>,
    pub(crate) location: Location,
    pub(crate) details: ErrorDetails,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Location {
    pub(crate) field_path_elements: Vec<FieldPathElement>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FieldPathElement {
    pub(crate) field_name: String,
    /// A number; absent for 0 from a server that leaves out defaults.
    pub(crate) index: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ErrorDetails {
    /// What `UNKNOWN` stands for.
    pub(crate) unpublished_error_code: Option<String>,
    pub(crate) quota_error_details: Option<QuotaErrorDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct QuotaErrorDetails {
    /// `ACCOUNT` or `DEVELOPER`.
    pub(crate) rate_scope: Option<String>,
    pub(crate) retry_delay: Option<String>,
}
