//! What the Google Ads API refuses a whole request for, before it judges a row.

use super::refusal::{self, Failure};
use super::{Call, Head, Service};
use crate::sandbox::account::Fault;
use crate::sandbox::answer::Answer;
use crate::sandbox::server::{Knobs, header_text};
use crate::sandbox::shape;
use crate::sandbox::state::State;
use crate::sandbox::token::Api;
use axum::http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;

/// Rows of one request; more is refused as a whole.
/// <https://developers.google.com/google-ads/api/docs/best-practices/quotas>, read 2026-11-22.
const ROWS_MAX: usize = 2000;
/// Job ids that Google makes itself begin here; smaller ones are the callers'.
pub(super) const OWN_JOB_IDS: i64 = 1 << 31;

/// Version, token, headers, account and quota.
pub(super) fn authorise(
    state: &mut State,
    head: &Head,
    service: Option<Service>,
    headers: &HeaderMap,
    knobs: &Knobs,
    now: Timestamp,
) -> Result<(), Answer> {
    let number = state.number();
    let refuse = |family: &str, code: &str, message: &str| {
        Err(refusal::failure(head, number, &Failure::new(family, code, message)))
    };
    if head.version_number().is_none_or(|version| !knobs.versions.contains(&version)) {
        return refuse("requestError", "UNSUPPORTED_VERSION", "The version of the API was sunset.");
    }
    let client = state
        .tokens
        .check(header_text(headers, "authorization"), Api::GoogleAds, now)
        .map_err(|cause| refusal::unauthorised(head, number, &cause))?;
    if headers.contains_key("login-customer-id")
        && !header_text(headers, "login-customer-id").is_some_and(is_customer_id)
    {
        return refuse("headerError", "INVALID_LOGIN_CUSTOMER_ID", "login-customer-id must be ten digits.");
    }
    if !is_customer_id(&head.customer) {
        return refuse("requestError", "INVALID_CUSTOMER_ID", "The customer id must be ten digits.");
    }
    match state.mended.fault(&head.customer) {
        Some(Fault::NotAllowlisted) if service == Some(Service::Clicks) => {
            let code = "CUSTOMER_NOT_ALLOWLISTED_FOR_THIS_FEATURE";
            let why = "New integrations for uploading click conversions should use the Data Manager API.";
            return refuse("notAllowlistedError", code, why);
        }
        Some(Fault::NoPermission) => {
            let why = "User doesn't have permission to access customer.";
            return refuse("authorizationError", "USER_PERMISSION_DENIED", why);
        }
        Some(Fault::NotEnabled) => {
            let why = "The customer account can't be accessed because it is not yet enabled.";
            return refuse("authorizationError", "CUSTOMER_NOT_ENABLED", why);
        }
        // The data terms are a matter of rows with identifiers.
        None | Some(Fault::NotAllowlisted | Fault::TermsNotAccepted) => {}
    }
    match knobs.requests_per_minute {
        Some(limit) if !state.take_request(&client, limit, now) => {
            let seconds = 60 - u32::try_from(now.as_second().rem_euclid(60)).unwrap_or_default();
            Err(refusal::exhausted(head, number, seconds))
        }
        Some(_) | None => Ok(()),
    }
}

fn is_customer_id(text: &str) -> bool {
    text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What the whole request is refused for, whatever its rows are.
pub(super) fn check_request(call: &Call, body: &Value) -> Option<Failure> {
    let rows = call.service.rows(body).len();
    let job = body.get("jobId").and_then(read_integer);
    if body["partialFailure"] != true {
        let why = "This request can only be used with partial failure.";
        Some(Failure::new("partialFailureError", "PARTIAL_FAILURE_MODE_REQUIRED", why))
    } else if rows == 0 {
        Some(Failure::new("fieldError", "REQUIRED", "The required field was not present."))
    } else if rows > ROWS_MAX {
        let code = match call.service {
            Service::Clicks => "TOO_MANY_CONVERSIONS_IN_REQUEST",
            Service::Adjustments => "TOO_MANY_ADJUSTMENTS_IN_REQUEST",
        };
        Some(call.own_failure(code, "Upload fewer than 2001 events in a single request."))
    } else if shape::has(body, "jobId") && !job.is_some_and(|job| (1..OWN_JOB_IDS).contains(&job)) {
        Some(call.own_failure("INVALID_JOB_ID", "The job id must be between 1 and 2^31-1."))
    } else {
        None
    }
}

/// A 64-bit number, which may come as a string.
pub(super) fn read_integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}
