//! `events:ingest` of the Data Manager API.

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{Batch, Item};
use crate::domain::{ClickIds, Consent, ConsentState, Conversion, Kind, User};
use crate::providers::google_ads::{
    conversion_action::ActionName, credentials::Credentials, wire::data_manager as wire, wire::json_number,
};

pub(super) fn ingest_events(
    batch: &Batch<'_>,
    credentials: &Credentials,
    now: Timestamp,
) -> wire::IngestEventsRequest {
    wire::IngestEventsRequest {
        destinations: batch.actions.iter().map(|action| destination(action, credentials)).collect(),
        events: batch.items.iter().map(|item| event(item, now)).collect(),
        encoding: wire::Encoding::Hex,
    }
}

/// The operating account is the action's owner; this API takes events for the owner only.
fn destination(action: &ActionName, credentials: &Credentials) -> wire::Destination {
    let account = |id: &str| wire::ProductAccount {
        account_type: wire::AccountType::GoogleAds,
        account_id: id.to_owned(),
    };
    wire::Destination {
        reference: reference(action),
        operating_account: account(action.owner.as_str()),
        login_account: credentials.login_customer_id.as_ref().map(|id| account(id.as_str())),
        product_destination_id: action.id.clone(),
    }
}

/// Made of the action and not of its place in the request, so that a row's bytes do not depend on its neighbours.
fn reference(action: &ActionName) -> String {
    format!("{}-{}", action.owner, action.id)
}

fn event(item: &Item<'_>, now: Timestamp) -> wire::Event {
    let conversion = item.conversion.as_ref();
    let value = value(conversion);
    wire::Event {
        destination_references: vec![reference(&item.action)],
        transaction_id: item.order_key.clone(),
        // A time in the future is refused with a message that does not say so; clocks differ by seconds.
        event_timestamp: conversion.occurred_at.min(now).to_string(),
        // Required for offline events, and nothing in a conversion says where it happened. A click id comes from a
        // web page; PHONE and IN_STORE are for other kinds of conversion action, and every public integration that
        // was found sends WEB for uploaded clicks (searched 2026-11-22).
        event_source: wire::EventSource::Web,
        currency: value.and(conversion.currency).map(|currency| currency.code()),
        conversion_value: value.map(json_number),
        ad_identifiers: ad_identifiers(&conversion.click_ids),
        user_data: user_data(&conversion.user),
        consent: consent(conversion.consent),
        custom_variables: custom_variables(conversion),
    }
}

/// This API has no adjustment types: an event with the transaction id of a known conversion overwrites its value. It
/// has no retraction either, so one is sent as the value 0: the revenue goes, the count stays. Refusing it would keep
/// a refunded sale's revenue in bidding. An enhancement says nothing of the value, which would be overwritten.
/// <https://developers.google.com/data-manager/api/devguides/events/google-ads/conversion-adjustments>, read 2026-11-22.
fn value(conversion: &Conversion) -> Option<Decimal> {
    match conversion.kind {
        Kind::Conversion | Kind::Restatement => conversion.value,
        Kind::Retraction => Some(Decimal::ZERO),
        Kind::Enhancement => None,
    }
}

/// gclid and gbraid may go together, a wbraid only alone (`GBRAID_WBRAID_BOTH_SET`).
fn ad_identifiers(ids: &ClickIds) -> Option<wire::AdIdentifiers> {
    if ids.is_empty() {
        return None;
    }
    let has_better = ids.gclid.is_some() || ids.gbraid.is_some();
    Some(wire::AdIdentifiers {
        gclid: ids.gclid.clone(),
        gbraid: ids.gbraid.clone(),
        wbraid: ids.wbraid.clone().filter(|_| !has_better),
    })
}

fn user_data(user: &User) -> Option<wire::UserData> {
    let email = user.hashed_email.clone().map(wire::UserIdentifier::EmailAddress);
    let phone = user.hashed_phone.clone().map(wire::UserIdentifier::PhoneNumber);
    let user_identifiers: Vec<_> = email.into_iter().chain(phone).collect();
    (!user_identifiers.is_empty()).then_some(wire::UserData { user_identifiers })
}

fn consent(consent: Consent) -> Option<wire::Consent> {
    let status = |state| match state {
        ConsentState::Granted => wire::ConsentStatus::ConsentGranted,
        ConsentState::Denied => wire::ConsentStatus::ConsentDenied,
    };
    (!consent.is_empty()).then(|| wire::Consent {
        ad_user_data: consent.ad_user_data.map(status),
        ad_personalization: consent.ad_personalization.map(status),
    })
}

/// By name. A resource name is one of the other transport, and would refuse the whole request here.
fn custom_variables(conversion: &Conversion) -> Vec<wire::CustomVariable> {
    conversion
        .custom_variables
        .iter()
        .filter(|(name, value)| !name.starts_with("customers/") && !value.is_empty())
        .map(|(name, value)| wire::CustomVariable { variable: name.clone(), value: value.clone() })
        .collect()
}
