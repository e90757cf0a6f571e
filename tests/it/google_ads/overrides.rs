//! What an operator says of a code comes before what the table says.

use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::{Class, ErrorCode, HoldScope, Omitted, OptionalPart, Transient, Verdict, Wait};
use shared::providers::google_ads::taxonomy::{Context, Taxonomy};
use shared::providers::google_ads::{self, read_token};
use shared::providers::{Answer, Memo, Override, Overrides, QuotaScope, Request, SendError, TokenError};

use super::support::{FAILURE, NOW, codes, plain_request, raw, raw_fixture, time, verdicts};

const HOUR: Duration = Duration::from_secs(3_600);

fn plain(class: Class) -> Override {
    Override { class, scope: None, wait: None, max_attempts: None, whole: false }
}

fn table(said: &[(&str, Override)]) -> Taxonomy {
    let overrides: Overrides = said.iter().map(|(code, said)| ((*code).to_owned(), *said)).collect();
    Taxonomy::new(&overrides)
}

fn read(
    said: &[(&str, Override)],
    request: &Request,
    status: u16,
    body: &Value,
) -> Result<Answer, SendError> {
    let raw = raw(status, &Value::Null, body.to_string().as_bytes());
    google_ads::read_answer(&raw, request, &table(said), time(NOW))
}

/// A partial failure of one row with these codes.
fn of_one_row(codes: &[(&str, &str)]) -> Value {
    let error = |(family, code): &(&str, &str)| json!({"errorCode": {*family: code}, "location": {"fieldPathElements": [{"fieldName": "conversions", "index": 0}]}});
    let errors: Vec<_> = codes.iter().map(error).collect();
    json!({"results": [{}], "partialFailureError": {"details": [{"@type": FAILURE, "errors": errors}]}})
}

/// A refusal of a whole request.
fn of_the_request(family: &str, code: &str) -> Value {
    json!({"error": {"details": [{"@type": FAILURE, "errors": [{"errorCode": {family: code}}]}]}})
}

#[test]
fn a_part_that_can_be_left_out_is_left_out_first_whatever_was_said() {
    let part = OptionalPart::CustomVariables;
    let parts = Omitted::only(part);
    let memo = |to_spare: Omitted| Memo { parts, to_spare, ..plain_request("ads_api", 1).memo[0] };
    let check = |said: Override, to_spare: Omitted, expected: Verdict| {
        let context = Context { memo: Some(memo(to_spare)), now: time(NOW), ..Context::default() };
        for code in ["CUSTOM_VARIABLE_NOT_ENABLED", "CUSTOM_VARIABLE_VALUE_CONTAINS_PII"] {
            let table = table(&[(&format!("conversionUploadError.{code}"), said)]);
            assert_eq!(table.classify("conversionUploadError", code, &context), expected, "{code} {said:?}");
        }
    };
    let of_site = Override { scope: Some(HoldScope::Site), ..plain(Class::Config) };

    check(plain(Class::Perm), parts, Verdict::Degraded(part));
    check(of_site, parts, Verdict::Degraded(part));
    check(plain(Class::Transient), parts, Verdict::Degraded(part));
    check(plain(Class::Perm), Omitted::NONE, Verdict::Rejected);
    check(Override { whole: true, ..plain(Class::Perm) }, parts, Verdict::Rejected);
    check(of_site, Omitted::NONE, Verdict::Misconfigured(HoldScope::Site));
    // What was taken is not sent again, and what may have been goes as it was.
    check(plain(Class::Ok), parts, Verdict::Duplicate);
    check(plain(Class::Unmatched), parts, Verdict::Unmatched(None));
    check(plain(Class::Ambiguous), parts, Verdict::Unconfirmed);
}

#[test]
fn one_rows_code_means_what_was_said() {
    let request = plain_request("ads_api", 1);
    let body = of_one_row(&[("conversionUploadError", "UNPARSEABLE_GCLID")]);
    let check = |said: Override, expected: Verdict| {
        let code = "conversionUploadError.UNPARSEABLE_GCLID";
        let answer = read(&[(code, said)], &request, 200, &body).unwrap();
        assert_eq!((verdicts(&answer), codes(&answer)), (vec![expected], vec![code]));
    };

    let three = Transient { wait: Some(HOUR), max_attempts: Some(2) };
    check(plain(Class::Ok), Verdict::Duplicate);
    check(plain(Class::Perm), Verdict::Rejected);
    check(
        Override { scope: Some(HoldScope::Row), ..plain(Class::Config) },
        Verdict::Misconfigured(HoldScope::Row),
    );
    check(Override { wait: Some(HOUR), ..plain(Class::Delay) }, Verdict::Delayed(Wait::For(HOUR)));
    check(plain(Class::Delay), Verdict::Delayed(Wait::For(6 * HOUR)));
    check(
        Override { wait: Some(HOUR), max_attempts: Some(2), ..plain(Class::Transient) },
        Verdict::Failed(three),
    );
    check(plain(Class::Split), Verdict::Resend);
    check(plain(Class::Unmatched), Verdict::Unmatched(None));
    check(plain(Class::Ambiguous), Verdict::Unconfirmed);
}

#[test]
fn the_worst_of_several_errors_is_found_among_what_was_said() {
    let request = plain_request("ads_api", 1);
    let body = of_one_row(&[
        ("conversionUploadError", "NO_CONVERSION_ACTION_FOUND"),
        ("conversionUploadError", "UNPARSEABLE_GCLID"),
    ]);
    let harmless = [("conversionUploadError.NO_CONVERSION_ACTION_FOUND", plain(Class::Unmatched))];

    let usual = read(&[], &request, 200, &body).unwrap();
    let said = read(&harmless, &request, 200, &body).unwrap();

    assert_eq!(verdicts(&usual), [Verdict::Misconfigured(HoldScope::ConversionAction)]);
    assert_eq!(verdicts(&said), [Verdict::Rejected]);
    assert_eq!(codes(&said), ["conversionUploadError.UNPARSEABLE_GCLID"]);
}

#[test]
fn a_code_of_the_whole_request_means_what_was_said_whatever_its_status() {
    let request = plain_request("ads_api", 2);
    let body = of_the_request("authorizationError", "CUSTOMER_NOT_ENABLED");
    let check = |said: Override, fits: fn(&Result<Answer, SendError>) -> bool| {
        for status in [400, 401, 403, 429, 503] {
            let code = "authorizationError.CUSTOMER_NOT_ENABLED";
            let result = read(&[(code, said)], &request, status, &body);
            assert!(fits(&result), "{status}, {said:?}: {result:?}");
        }
    };

    check(plain(Class::Transient), |result| matches!(result, Err(SendError::Unavailable(_))));
    check(plain(Class::Ambiguous), |result| matches!(result, Err(SendError::Unconfirmed(_))));
    check(plain(Class::Perm), |result| matches!(result, Err(SendError::Refused(_))));
    check(plain(Class::Split), |result| matches!(result, Err(SendError::TooLarge(_))));
    check(Override { scope: Some(HoldScope::Client), ..plain(Class::Config) }, |result| {
        matches!(result, Err(SendError::Misconfigured { scope: HoldScope::Client, .. }))
    });
    check(Override { scope: Some(HoldScope::Client), wait: Some(HOUR), ..plain(Class::Delay) }, |result| {
        matches!(result, Err(SendError::Throttled { scope: QuotaScope::QuotaKey, wait: HOUR, .. }))
    });
    check(Override { wait: Some(HOUR), ..plain(Class::Delay) }, |result| {
        result.as_ref().is_ok_and(|answer| verdicts(answer) == [Verdict::Delayed(Wait::For(HOUR)); 2])
    });
}

#[test]
fn a_code_that_names_its_row_means_what_was_said_for_that_row_alone() {
    let code = "notAllowlistedError.CUSTOMER_NOT_ALLOWLISTED_FOR_THIS_FEATURE";
    let error = json!({"errorCode": {"notAllowlistedError": "CUSTOMER_NOT_ALLOWLISTED_FOR_THIS_FEATURE"},
        "location": {"fieldPathElements": [{"fieldName": "conversions", "index": 1}]}});
    let body = json!({"error": {"details": [{"@type": FAILURE, "errors": [error]}]}});
    let request = plain_request("ads_api", 3);

    for status in [400, 403] {
        let answer = read(&[(code, plain(Class::Perm))], &request, status, &body).unwrap();

        assert_eq!(verdicts(&answer), [Verdict::Resend, Verdict::Rejected, Verdict::Resend], "{status}");
    }
}

#[test]
fn nothing_that_is_said_makes_a_delivery_of_a_request_without_an_answer() {
    let check = |code: &str, transport: &str, status: u16, body: &Value| {
        for class in [Class::Ok, Class::Unmatched] {
            let request = plain_request(transport, 2);
            let result = read(&[(code, plain(class))], &request, status, body);
            assert!(matches!(result, Err(SendError::Unconfirmed(_))), "{code}: {result:?}");
        }
    };

    check("HTTP_503", "ads_api", 503, &Value::Null);
    check("HTTP_400", "data_manager", 400, &Value::Null);
    check("UNREADABLE_ANSWER", "ads_api", 200, &Value::Null);
    check("NO_REQUEST_ID", "data_manager", 200, &json!({}));
    check("RESULTS_MISMATCH", "ads_api", 200, &json!({}));
    check(
        "quotaError.RESOURCE_EXHAUSTED",
        "ads_api",
        429,
        &of_the_request("quotaError", "RESOURCE_EXHAUSTED"),
    );
    let no_result = read(
        &[("NO_RESULT", plain(Class::Ok))],
        &plain_request("ads_api", 1),
        200,
        &json!({"results": [{}]}),
    );
    assert_eq!(verdicts(&no_result.unwrap()), [Verdict::Unconfirmed]);
}

#[test]
fn a_status_means_what_was_said_where_the_answer_names_no_code() {
    let request = plain_request("ads_api", 2);
    let held = Override { scope: Some(HoldScope::Site), ..plain(Class::Config) };
    let named = of_the_request("internalError", "INTERNAL_ERROR");

    let bare = read(&[("HTTP_503", held)], &request, 503, &Value::Null).unwrap_err();
    let other = read(&[("HTTP_503", held)], &request, 502, &Value::Null).unwrap_err();
    let named = read(&[("HTTP_503", held)], &request, 503, &named).unwrap_err();

    assert!(matches!(bare, SendError::Misconfigured { scope: HoldScope::Site, .. }), "{bare:?}");
    assert!(matches!(other, SendError::Unconfirmed(_)), "{other:?}");
    assert!(matches!(named, SendError::Unconfirmed(_)), "its own code speaks: {named:?}");
}

#[test]
fn a_code_of_the_token_endpoint_means_what_was_said() {
    let later = Override { wait: Some(HOUR), ..plain(Class::Delay) };

    let error =
        read_token(&raw_fixture("token/invalid_grant"), &table(&[("invalid_grant", later)]), time(NOW));

    assert!(matches!(error, Err(TokenError::Unavailable { wait: HOUR, .. })), "{error:?}");
}

#[test]
fn a_code_that_comes_as_a_number_is_the_one_that_was_named() {
    let request = plain_request("ads_api", 1);
    let body = of_one_row(&[("conversionUploadError", "PLACE")]).to_string().replace("\"PLACE\"", "3");
    let said = [("conversionUploadError.UNPARSEABLE_GCLID", plain(Class::Unmatched))];

    let answer = read(&said, &request, 200, &serde_json::from_str(&body).unwrap()).unwrap();

    assert_eq!(verdicts(&answer), [Verdict::Unmatched(None)]);
}

#[test]
fn what_stays_in_its_class_ends_as_it_did() {
    let retracted = "conversionAdjustmentUploadError.CONVERSION_ALREADY_RETRACTED";
    let expired = "conversionUploadError.EXPIRED_EVENT";
    let table = table(&[(expired, plain(Class::Perm)), (retracted, plain(Class::Perm))]);
    let verdict =
        |family, code| table.classify(family, code, &Context { now: time(NOW), ..Context::default() });

    assert_eq!(verdict("conversionUploadError", "EXPIRED_EVENT"), Verdict::Expired);
    assert_eq!(verdict("conversionAdjustmentUploadError", "CONVERSION_ALREADY_RETRACTED"), Verdict::Rejected);
}

#[test]
fn codes_that_nobody_knows_are_named_until_somebody_says_what_they_mean() {
    let request = plain_request("ads_api", 1);
    let body = of_one_row(&[
        ("conversionUploadError", "ADDED_IN_V27"),
        ("conversionUploadError", "UNKNOWN"),
        ("conversionUploadError", "EXPIRED_EVENT"),
        ("conversionUploadError", "ADDED_IN_V27"),
    ]);
    let unknown = |said: &[(&str, Override)]| {
        let answer = read(said, &request, 200, &body).unwrap();
        answer.reply.unknown.iter().map(ErrorCode::as_str).map(str::to_owned).collect::<Vec<_>>()
    };

    assert_eq!(unknown(&[]), ["conversionUploadError.ADDED_IN_V27", "conversionUploadError.UNKNOWN"]);
    let said = [("conversionUploadError.ADDED_IN_V27", plain(Class::Perm))];
    assert_eq!(unknown(&said), ["conversionUploadError.UNKNOWN"]);
}

#[test]
fn a_request_that_is_refused_with_a_code_that_nobody_knows_is_halved_and_then_tried_three_times() {
    let body = of_the_request("requestError", "ADDED_IN_V27");

    let two = read(&[], &plain_request("ads_api", 2), 400, &body).unwrap_err();
    let one = read(&[], &plain_request("ads_api", 1), 400, &body).unwrap();

    assert!(matches!(two, SendError::Refused(_)), "{two:?}");
    assert_eq!(two.reply().unknown.len(), 1);
    assert_eq!(verdicts(&one), [Verdict::Failed(Transient { wait: None, max_attempts: Some(3) })]);
}
