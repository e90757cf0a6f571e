//! What answers mean that are not 200: refusals, used-up budgets, doubt.

use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::{HoldScope, Verdict};
use shared::providers::{QuotaScope, SendError};

use super::support::{
    FAILURE, NOW, account, assert_unconfirmed, code, codes, conversion, one_request, plain_request, raw,
    raw_fixture, read, read_answer, read_body, time, verdicts,
};

const SECOND: Duration = Duration::from_secs(1);

fn data_manager_error(status: u16, violations: Value) -> Value {
    json!({"error": {"code": status, "status": "INVALID_ARGUMENT", "details": [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "INVALID_ARGUMENT",
            "domain": "datamanager.googleapis.com"},
        {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}]}})
}

#[test]
fn a_named_row_is_refused_alone_and_the_others_go_again() {
    let refused = read("data_manager", "ingest_events/one_row_refused").unwrap();
    let numeric = read("data_manager", "ingest_events/numeric_transaction_id").unwrap();

    assert_eq!(verdicts(&refused), [Verdict::Resend, Verdict::Rejected, Verdict::Resend]);
    assert_eq!(codes(&refused), ["", "dataManager.ErrorReason.INVALID_SHA256_FORMAT", ""]);
    assert_eq!(refused.reply.request_id.as_deref(), Some("t-refused"));
    assert_eq!(verdicts(&numeric), [Verdict::Rejected, Verdict::Resend, Verdict::Resend]);
}

#[test]
fn a_named_destination_holds_its_rows_and_only_them() {
    let rows: Vec<_> = ["7001", "8", "7001", "8", "9"]
        .iter()
        .enumerate()
        .map(|(n, action)| conversion(json!({"external_id": format!("s-{n}"), "conversion_action": action})))
        .collect();
    let request = one_request(account("data_manager").as_ref(), &rows);

    let answer = read_answer(&raw_fixture("ingest_events/destination_refused"), &request, time(NOW)).unwrap();

    let held = Verdict::Misconfigured(HoldScope::ConversionAction);
    assert_eq!(verdicts(&answer), [Verdict::Resend, held, Verdict::Resend, held, Verdict::Resend]);
}

#[test]
fn a_refusal_that_names_no_row_has_to_be_found_by_halves() {
    let beyond = json!([{"field": "events[7].currency", "reason": "INVALID_CURRENCY_CODE"}]);

    let error = read("data_manager", "ingest_events/no_row_named").unwrap_err();
    let beyond =
        read_body(&plain_request("data_manager", 3), 400, &data_manager_error(400, beyond)).unwrap_err();

    assert!(matches!(error, SendError::Refused(_)), "{error:?}");
    assert_eq!(code(&error), "dataManager.ErrorReason.INVALID_ARGUMENT");
    assert!(matches!(beyond, SendError::Refused(_)), "{beyond:?}");
}

#[test]
fn a_request_that_is_too_large_is_halved() {
    let all_again = json!([{"field": "destinations[0]", "reason": "DUPLICATE_DESTINATION_REFERENCE"}]);

    let by_reason = read("data_manager", "ingest_events/too_many_events").unwrap_err();
    let by_status = read_body(&plain_request("ads_api", 2), 413, &Value::Null).unwrap_err();
    let all_again =
        read_body(&plain_request("data_manager", 2), 400, &data_manager_error(400, all_again)).unwrap_err();

    for error in [by_reason, by_status, all_again] {
        assert!(matches!(error, SendError::TooLarge(_)), "{error:?}");
    }
}

#[test]
fn what_has_to_be_mended_holds_the_smallest_thing_that_covers_it() {
    let check = |name: &str, expected: HoldScope, expected_code: &str| {
        let transport = if name.starts_with("ingest") { "data_manager" } else { "ads_api" };
        let error = read(transport, name).unwrap_err();
        assert_eq!(code(&error), expected_code, "{name}");
        assert!(
            matches!(error, SendError::Misconfigured { scope, .. } if scope == expected),
            "{name}: {error:?}"
        );
    };

    check(
        "ingest_events/terms_not_signed",
        HoldScope::Site,
        "dataManager.ErrorReason.DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED",
    );
    check(
        "ingest_events/scope_insufficient",
        HoldScope::Site,
        "rpc.ErrorInfo.ACCESS_TOKEN_SCOPE_INSUFFICIENT",
    );
    check("ingest_events/service_disabled", HoldScope::Client, "rpc.ErrorInfo.SERVICE_DISABLED");
    check(
        "upload_click_conversions/token_revoked",
        HoldScope::Site,
        "authenticationError.OAUTH_TOKEN_REVOKED",
    );
}

#[test]
fn an_api_that_is_closed_to_the_site_names_the_one_that_is_open() {
    let error = read("ads_api", "upload_click_conversions/not_allowlisted").unwrap_err();

    assert_eq!(code(&error), "notAllowlistedError.CUSTOMER_NOT_ALLOWLISTED_FOR_THIS_FEATURE");
    assert!(matches!(error, SendError::Rerouted { to: "data_manager", .. }), "{error:?}");
}

#[test]
fn a_fault_of_one_action_is_not_laid_on_a_request_with_several() {
    let not_found = json!({"error": {"code": 404, "status": "NOT_FOUND", "details": [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "NOT_FOUND",
            "domain": "datamanager.googleapis.com"}]}});
    let rows = [conversion(json!({})), conversion(json!({"external_id": "b", "conversion_action": "8"}))];
    let two_actions = one_request(account("data_manager").as_ref(), &rows);

    let one = read_body(&plain_request("data_manager", 2), 404, &not_found).unwrap_err();
    let several = read_body(&two_actions, 404, &not_found).unwrap_err();

    assert!(matches!(one, SendError::Misconfigured { scope: HoldScope::ConversionAction, .. }), "{one:?}");
    assert!(matches!(several, SendError::Refused(_)), "{several:?}");
}

#[test]
fn a_wait_of_one_action_is_each_rows_own_where_the_request_has_no_other() {
    let too_new = json!([{"field": "", "reason": "CONVERSION_ACTION_TOO_RECENTLY_CREATED"}]);

    let answer =
        read_body(&plain_request("data_manager", 2), 400, &data_manager_error(400, too_new)).unwrap();

    assert!(answer.rows.iter().all(|row| matches!(row.verdict, Verdict::ActionDelayed(_))), "{answer:?}");
    assert_eq!(answer.rows.len(), 2);
}

#[test]
fn a_page_in_place_of_the_api_is_a_wrong_address_for_all() {
    let page = raw(404, &Value::Null, b"<!DOCTYPE html><title>Error 404</title>");

    let error = read_answer(&page, &plain_request("ads_api", 2), time(NOW)).unwrap_err();

    assert!(matches!(error, SendError::Misconfigured { scope: HoldScope::Provider, .. }), "{error:?}");
    assert_eq!(code(&error), "HTTP_404");
}

#[test]
fn a_version_that_is_gone_is_one_hold_for_all() {
    let body = json!({"error": {"details": [{"@type": FAILURE, "errors": [
        {"errorCode": {"requestError": "UNSUPPORTED_VERSION"}}]}]}});

    let error = read_body(&plain_request("ads_api", 2), 400, &body).unwrap_err();

    assert!(matches!(error, SendError::Misconfigured { scope: HoldScope::Provider, .. }), "{error:?}");
}

#[test]
fn a_refused_token_is_fetched_anew() {
    let expired = read("ads_api", "upload_click_conversions/token_expired").unwrap_err();
    let bare = read_body(&plain_request("data_manager", 1), 401, &Value::Null).unwrap_err();

    for error in [&expired, &bare] {
        assert!(matches!(error, SendError::Unauthorised(_)), "{error:?}");
    }
    assert_eq!(code(&expired), "authenticationError.OAUTH_TOKEN_EXPIRED");
    assert_eq!(code(&bare), "HTTP_401");
}

#[test]
fn a_used_up_budget_waits_as_long_as_the_longest_that_was_named() {
    let check = |transport: &str, name: &str, seconds: u32, expected: QuotaScope| {
        let error = read(transport, name).unwrap_err();
        let SendError::Throttled { wait, scope, .. } = error else { panic!("{name}: {error:?}") };
        assert_eq!((wait, scope), (seconds * SECOND, expected), "{name}");
    };

    check("ads_api", "upload_click_conversions/quota_account", 61, QuotaScope::Account);
    check("data_manager", "ingest_events/quota", 90, QuotaScope::QuotaKey);
}

#[test]
fn waits_have_a_least_and_a_most() {
    let check = |headers: Value, body: Value, seconds: u32| {
        let raw = raw(429, &headers, body.to_string().as_bytes());
        let error = read_answer(&raw, &plain_request("ads_api", 1), time(NOW)).unwrap_err();
        let SendError::Throttled { wait, .. } = error else { panic!("{error:?}") };
        assert_eq!(wait, seconds * SECOND, "{headers} {body}");
    };
    let quota = |code: &str, details: Value| {
        json!({"error": {"details": [{"@type": FAILURE, "errors": [
            {"errorCode": {"quotaError": code}, "details": {"quotaErrorDetails": details}}]}]}})
    };

    check(Value::Null, Value::Null, 30);
    check(json!({"retry-after": "5"}), Value::Null, 30);
    check(json!({"retry-after": "31"}), Value::Null, 31);
    check(json!({"retry-after": "Sun, 22 Nov 2026 12:05:00 GMT"}), Value::Null, 300);
    check(json!({"retry-after": "soon"}), Value::Null, 30);
    check(json!({"retry-after": "99999999999999999999"}), Value::Null, 24 * 3_600);
    // The daily budget: until midnight in Pacific time, 20 hours away, unless another wait is named.
    check(Value::Null, quota("RESOURCE_EXHAUSTED", json!({})), 20 * 3_600);
    check(Value::Null, quota("RESOURCE_EXHAUSTED", json!({"retryDelay": "7200s"})), 7_200);
}

#[test]
fn a_budget_that_stops_the_developer_stops_all_of_the_client() {
    let errors: Vec<_> = ["ACCOUNT", "DEVELOPER"]
        .iter()
        .map(|scope| {
            json!({"errorCode": {"quotaError": "RESOURCE_TEMPORARILY_EXHAUSTED"},
                "details": {"quotaErrorDetails": {"rateScope": scope, "retryDelay": "40s"}}})
        })
        .collect();
    let body = json!({"error": {"details": [{"@type": FAILURE, "errors": errors}]}});

    let error = read_body(&plain_request("ads_api", 1), 429, &body).unwrap_err();

    assert!(matches!(error, SendError::Throttled { scope: QuotaScope::QuotaKey, .. }), "{error:?}");
}

#[test]
fn a_budget_that_is_forbidden_is_no_wait() {
    let body = json!({"error": {"details": [{"@type": FAILURE, "errors": [
        {"errorCode": {"quotaError": "ACCESS_PROHIBITED"}}]}]}});

    let error = read_body(&plain_request("ads_api", 1), 429, &body).unwrap_err();

    assert!(matches!(error, SendError::Misconfigured { scope: HoldScope::Client, .. }), "{error:?}");
}

#[test]
fn every_status_that_leaves_doubt_is_unconfirmed() {
    for transport in ["ads_api", "data_manager"] {
        for status in [204, 302, 409, 499, 500, 502, 503, 504, 599] {
            let result = read_body(&plain_request(transport, 1), status, &Value::Null);

            assert_unconfirmed(result, &format!("HTTP_{status}"));
        }
    }
}

#[test]
fn a_fault_inside_google_leaves_doubt_whatever_its_status() {
    let body = json!({"error": {"details": [{"@type": FAILURE, "errors": [
        {"errorCode": {"internalError": "INTERNAL_ERROR"}}]}]}});

    for status in [400, 500] {
        let result = read_body(&plain_request("ads_api", 1), status, &body);

        assert_unconfirmed(result, "internalError.INTERNAL_ERROR");
    }
}

#[test]
fn certain_refusals_of_the_moment_leave_no_doubt() {
    let concurrent = read("ads_api", "upload_click_conversions/concurrent_modification").unwrap_err();

    assert!(matches!(concurrent, SendError::Unavailable(_)), "{concurrent:?}");
    assert_eq!(code(&concurrent), "databaseError.CONCURRENT_MODIFICATION");
    for status in [408, 425] {
        let error = read_body(&plain_request("ads_api", 1), status, &Value::Null).unwrap_err();
        assert!(matches!(error, SendError::Unavailable(_)), "{error:?}");
    }
}
