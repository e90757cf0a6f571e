//! `google.ads.googleads.v26.services`: `googleAds:search`, with the fields that a look at an account asks for. Names as in
//! the published message types (google-ads 34.0.0 on PyPI, read 2026-11-22); enum values are texts, as new ones come.

use serde::{Deserialize, Serialize};

#[derive(Serialize)]
pub(crate) struct SearchRequest {
    pub(crate) query: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SearchResponse {
    #[serde(default)]
    pub(crate) results: Vec<Row>,
}

/// One row has the resource that was asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Row {
    pub(crate) customer: Option<Customer>,
    pub(crate) conversion_action: Option<ConversionAction>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Customer {
    pub(crate) status: String,
    pub(crate) manager: bool,
    pub(crate) test_account: bool,
    pub(crate) conversion_tracking_setting: ConversionTracking,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ConversionTracking {
    /// `customers/<account>`: where conversions are made and managed.
    pub(crate) google_ads_conversion_customer: String,
    pub(crate) accepted_customer_data_terms: bool,
    pub(crate) enhanced_conversions_for_leads_enabled: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ConversionAction {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) counting_type: String,
    /// An int64, which JSON writes as a text.
    pub(crate) click_through_lookback_window_days: String,
    /// `customers/<account>`.
    pub(crate) owner_customer: String,
}
