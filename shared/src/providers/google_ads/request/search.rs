//! `googleAds:search`: what the Google Ads API tells of an account and of one of its conversion actions.
//! Fields: <https://developers.google.com/google-ads/api/fields/v26/customer> and `…/conversion_action`, read 2026-11-22.

use super::to_json;
use crate::providers::google_ads::{GoogleConfig, customer_id::CustomerId, wire::search::SearchRequest};

/// An address and a body.
pub(crate) type Search = (String, Vec<u8>);

/// Asks for the account itself.
pub(crate) fn search_customer(config: &GoogleConfig, customer: &CustomerId) -> Search {
    let query = "SELECT customer.id, customer.status, customer.manager, customer.test_account, \
                 customer.conversion_tracking_setting.google_ads_conversion_customer, \
                 customer.conversion_tracking_setting.accepted_customer_data_terms, \
                 customer.conversion_tracking_setting.enhanced_conversions_for_leads_enabled \
                 FROM customer LIMIT 1";
    search(config, customer, query.to_owned())
}

/// Asks for a conversion action by its number, which is digits alone.
pub(crate) fn search_action(config: &GoogleConfig, customer: &CustomerId, id: &str) -> Search {
    let query = format!(
        "SELECT conversion_action.id, conversion_action.type, conversion_action.status, \
         conversion_action.counting_type, conversion_action.click_through_lookback_window_days, \
         conversion_action.owner_customer FROM conversion_action WHERE conversion_action.id IN ({id})"
    );
    search(config, customer, query)
}

fn search(config: &GoogleConfig, customer: &CustomerId, query: String) -> Search {
    let url =
        format!("{}/{}/customers/{customer}/googleAds:search", config.ads_base_url, config.ads_api_version);
    (url, to_json(&SearchRequest { query }))
}
