//! `uploadClickConversions` and `uploadConversionAdjustments` of the Google Ads API.
//!
//! `jobId` is left out: Google makes one, and a request has no number of its own before its ledger row is opened.
//! `conversionEnvironment` too: only accounts on a list may send it.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Batch, Item};
use crate::domain::{ClickIds, ConsentState, Conversion, Kind, User};
use crate::providers::google_ads::{credentials::Credentials, wire::ads_api as wire, wire::json_number};

pub(super) fn click_conversions(
    batch: &Batch<'_>,
    credentials: &Credentials,
) -> wire::UploadClickConversionsRequest {
    wire::UploadClickConversionsRequest {
        conversions: batch.items.iter().map(|item| click_conversion(item, credentials)).collect(),
        partial_failure: true,
    }
}

pub(super) fn adjustments(batch: &Batch<'_>) -> wire::UploadConversionAdjustmentsRequest {
    wire::UploadConversionAdjustmentsRequest {
        conversion_adjustments: batch.items.iter().map(adjustment).collect(),
        partial_failure: true,
    }
}

fn click_conversion(item: &Item<'_>, credentials: &Credentials) -> wire::ClickConversion {
    let conversion = item.conversion.as_ref();
    let ids = best_click_id(&conversion.click_ids);
    wire::ClickConversion {
        conversion_action: item.action.to_string(),
        conversion_date_time: date_time(conversion.occurred_at),
        order_id: item.order_key.clone(),
        conversion_value: conversion.value.map(json_number),
        currency_code: currency_code(conversion),
        gclid: ids.gclid,
        gbraid: ids.gbraid,
        wbraid: ids.wbraid,
        user_identifiers: user_identifiers(&conversion.user),
        consent: conversion.consent.ad_user_data.map(|state| wire::Consent {
            ad_user_data: match state {
                ConsentState::Granted => wire::ConsentStatus::Granted,
                ConsentState::Denied => wire::ConsentStatus::Denied,
            },
        }),
        custom_variables: custom_variables(conversion, credentials),
    }
}

/// `Call::of` sends no conversion here; it would be a restatement of itself.
fn adjustment(item: &Item<'_>) -> wire::ConversionAdjustment {
    let conversion = item.conversion.as_ref();
    let adjusted_at = Some(date_time(conversion.occurred_at));
    let (adjustment_type, adjustment_date_time) = match conversion.kind {
        Kind::Restatement | Kind::Conversion => (wire::AdjustmentType::Restatement, adjusted_at),
        Kind::Retraction => (wire::AdjustmentType::Retraction, adjusted_at),
        // Google's own example sends none.
        Kind::Enhancement => (wire::AdjustmentType::Enhancement, None),
    };
    let restatement_value = match conversion.kind {
        Kind::Restatement | Kind::Conversion => conversion.value.map(|value| wire::RestatementValue {
            adjusted_value: json_number(value),
            currency_code: currency_code(conversion),
        }),
        Kind::Retraction | Kind::Enhancement => None,
    };
    let user_identifiers = match conversion.kind {
        Kind::Enhancement => user_identifiers(&conversion.user),
        Kind::Conversion | Kind::Restatement | Kind::Retraction => Vec::new(),
    };
    wire::ConversionAdjustment {
        conversion_action: item.action.to_string(),
        adjustment_type,
        order_id: item.order_key.clone(),
        adjustment_date_time,
        restatement_value,
        user_identifiers,
    }
}

/// `2019-01-01 12:32:45+00:00`: seconds, and an offset with its colon.
fn date_time(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S+00:00").to_string()
}

fn currency_code(conversion: &Conversion) -> Option<&'static str> {
    conversion.value.and(conversion.currency).map(|currency| currency.code())
}

/// Exactly one, the most exact.
fn best_click_id(ids: &ClickIds) -> ClickIds {
    if ids.gclid.is_some() {
        return ClickIds { gclid: ids.gclid.clone(), ..ClickIds::default() };
    }
    if ids.gbraid.is_some() {
        return ClickIds { gbraid: ids.gbraid.clone(), ..ClickIds::default() };
    }
    ids.clone()
}

fn user_identifiers(user: &User) -> Vec<wire::UserIdentifier> {
    let email = user.hashed_email.clone().map(wire::UserIdentifier::HashedEmail);
    let phone = user.hashed_phone.clone().map(wire::UserIdentifier::HashedPhoneNumber);
    email.into_iter().chain(phone).collect()
}

/// By resource name, or by number. A plain name is one of the other transport, and cannot be told here.
fn custom_variables(conversion: &Conversion, credentials: &Credentials) -> Vec<wire::CustomVariable> {
    let resource = |name: &str| {
        if name.starts_with("customers/") && name.contains("/conversionCustomVariables/") {
            return Some(name.to_owned());
        }
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| format!("customers/{}/conversionCustomVariables/{name}", credentials.customer_id))
    };
    conversion
        .custom_variables
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| {
            Some(wire::CustomVariable { conversion_custom_variable: resource(name)?, value: value.clone() })
        })
        .collect()
}
