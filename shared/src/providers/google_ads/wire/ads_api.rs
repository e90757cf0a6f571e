//! `google.ads.googleads.v26.services`: `uploadClickConversions` and `uploadConversionAdjustments`. Fields as in the
//! published message types (google-ads 34.0.0 on PyPI, read 2026-11-22). What is sent has no `Debug`: it is personal.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::status::Status;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UploadClickConversionsRequest {
    pub(crate) conversions: Vec<ClickConversion>,
    pub(crate) partial_failure: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) validate_only: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClickConversion {
    pub(crate) conversion_action: String,
    /// `yyyy-mm-dd hh:mm:ss+00:00`; the colon is mandatory.
    pub(crate) conversion_date_time: String,
    pub(crate) order_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) conversion_value: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) currency_code: Option<&'static str>,
    /// At most one of the three click ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gclid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gbraid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wbraid: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) user_identifiers: Vec<UserIdentifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) consent: Option<Consent>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) custom_variables: Vec<CustomVariable>,
}

/// One of the two, named by its variant.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum UserIdentifier {
    HashedEmail(String),
    HashedPhoneNumber(String),
}

/// `adPersonalization` is refused here, so it is no field.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Consent {
    pub(crate) ad_user_data: ConsentStatus,
}

#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ConsentStatus {
    Granted,
    Denied,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CustomVariable {
    /// A resource name.
    pub(crate) conversion_custom_variable: String,
    pub(crate) value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UploadConversionAdjustmentsRequest {
    pub(crate) conversion_adjustments: Vec<ConversionAdjustment>,
    pub(crate) partial_failure: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConversionAdjustment {
    pub(crate) conversion_action: String,
    pub(crate) adjustment_type: AdjustmentType,
    pub(crate) order_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) adjustment_date_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) restatement_value: Option<RestatementValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) user_identifiers: Vec<UserIdentifier>,
}

#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum AdjustmentType {
    Retraction,
    Restatement,
    Enhancement,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RestatementValue {
    pub(crate) adjusted_value: Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) currency_code: Option<&'static str>,
}

/// The answer of both calls. A row that failed has the empty object as its result.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UploadResponse {
    #[serde(default)]
    pub(crate) results: Vec<Option<Map<String, Value>>>,
    #[serde(default)]
    pub(crate) partial_failure_error: Option<Status>,
}
