//! `google.ads.datamanager.v1`: `events:ingest` and `requestStatus:retrieve`. Fields as in the published message types (google-ads-datamanager
//! 0.9.4 on PyPI, read 2026-11-22). What is sent has no `Debug`: it is personal.

use serde::{Deserialize, Serialize};
use serde_json::Number;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IngestEventsRequest {
    pub(crate) destinations: Vec<Destination>,
    pub(crate) events: Vec<Event>,
    pub(crate) encoding: Encoding,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) validate_only: Option<bool>,
}

/// How hashes are written.
#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Encoding {
    Hex,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Destination {
    pub(crate) reference: String,
    pub(crate) operating_account: ProductAccount,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) login_account: Option<ProductAccount>,
    pub(crate) product_destination_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProductAccount {
    pub(crate) account_type: AccountType,
    pub(crate) account_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum AccountType {
    GoogleAds,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    pub(crate) destination_references: Vec<String>,
    pub(crate) transaction_id: String,
    /// RFC 3339.
    pub(crate) event_timestamp: String,
    pub(crate) event_source: EventSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) conversion_value: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) currency: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ad_identifiers: Option<AdIdentifiers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_data: Option<UserData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) consent: Option<Consent>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) custom_variables: Vec<CustomVariable>,
}

#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum EventSource {
    Web,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AdIdentifiers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gclid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gbraid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wbraid: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserData {
    pub(crate) user_identifiers: Vec<UserIdentifier>,
}

/// One of the two, named by its variant.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum UserIdentifier {
    EmailAddress(String),
    PhoneNumber(String),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Consent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ad_user_data: Option<ConsentStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ad_personalization: Option<ConsentStatus>,
}

#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ConsentStatus {
    ConsentGranted,
    ConsentDenied,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CustomVariable {
    pub(crate) variable: String,
    pub(crate) value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IngestEventsResponse {
    pub(crate) request_id: Option<String>,
}

/// The answer of `requestStatus:retrieve`. Read tolerantly: new values come unannounced.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RetrieveRequestStatusResponse {
    #[serde(default)]
    pub(crate) request_status_per_destination: Vec<RequestStatusPerDestination>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RequestStatusPerDestination {
    pub(crate) destination: StatusDestination,
    /// `PROCESSING`, `SUCCESS`, `PARTIAL_SUCCESS`, `FAILED`.
    pub(crate) request_status: String,
    pub(crate) events_ingestion_status: EventsIngestionStatus,
    pub(crate) error_info: ErrorInfo,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct EventsIngestionStatus {
    /// Of all events of the request, taken or not: an int64, as in [`ErrorCount`].
    /// <https://developers.google.com/data-manager/api/reference/rest/v1/requestStatus/retrieve>, read 2026-11-22.
    pub(crate) record_count: serde_json::Value,
}

/// The destination as it was sent; only what says which one it was.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StatusDestination {
    pub(crate) operating_account: StatusAccount,
    pub(crate) product_destination_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StatusAccount {
    pub(crate) account_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ErrorInfo {
    pub(crate) error_counts: Vec<ErrorCount>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ErrorCount {
    /// An int64: a text in JSON, and a number from some servers.
    pub(crate) record_count: serde_json::Value,
    pub(crate) reason: String,
}
