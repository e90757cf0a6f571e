//! A look at an account: what is asked, and what each answer says of the account.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};
use shared::domain::Secret;
use shared::providers::{AccessToken, Check, CheckResult, Depth};
use tokio::net::TcpListener;

use super::support::{FAILURE, NOW, account_at, time};

const ADWORDS: &str = "https://www.googleapis.com/auth/adwords";
const DATA_MANAGER: &str = "https://www.googleapis.com/auth/datamanager";

/// What a platform answers: status and body by the end of the path and the body that came.
type Answers = fn(&str, &Value) -> (u16, Value);

/// A platform with these answers, and the path and body of each request.
struct Platform {
    base: String,
    seen: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Platform {
    async fn of(answers: Answers) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let answer = move |uri: Uri, body: Bytes| async move {
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let (status, said) = answers(uri.path(), &body);
            record.lock().unwrap().push((uri.path().to_owned(), body));
            let said = if let Value::String(text) = said { text } else { said.to_string() };
            (StatusCode::from_u16(status).unwrap(), said)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
        Self { base, seen }
    }

    async fn examine(&self, transport: &str, depth: Depth, scopes: Option<&[&str]>) -> Vec<Check> {
        let token = AccessToken {
            secret: Secret::new("ya29.token-in-test".to_owned()),
            expires_at: time("2026-11-22T13:00:00Z"),
            scopes: scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect()),
        };
        account_at(&self.base, transport).examine(depth, &token, None, time(NOW)).await
    }

    fn seen(&self) -> Vec<(String, Value)> {
        self.seen.lock().unwrap().clone()
    }
}

fn customer(changes: &Value) -> Value {
    let mut customer = json!({
        "resourceName": "customers/1234567890", "id": "1234567890", "status": "ENABLED", "manager": false,
        "testAccount": false, "conversionTrackingSetting": {
            "googleAdsConversionCustomer": "customers/1234567890", "acceptedCustomerDataTerms": true,
            "enhancedConversionsForLeadsEnabled": true,
        },
    });
    customer.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    json!({ "results": [{ "customer": customer }] })
}

fn action(changes: &Value) -> Value {
    let mut action = json!({
        "resourceName": "customers/1234567890/conversionActions/7001", "id": "7001", "type": "UPLOAD_CLICKS",
        "status": "ENABLED", "countingType": "MANY_PER_CLICK", "clickThroughLookbackWindowDays": "30",
        "ownerCustomer": "customers/1234567890",
    });
    action.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    json!({ "conversionAction": action })
}

fn is_customer(body: &Value) -> bool {
    body["query"].as_str().is_some_and(|query| query.contains("FROM customer"))
}

/// An account as it has to be.
fn healthy(path: &str, body: &Value) -> (u16, Value) {
    match path {
        _ if path.ends_with("googleAds:search") && is_customer(body) => (200, customer(&json!({}))),
        _ if path.ends_with("googleAds:search") => (200, json!({ "results": [action(&json!({}))] })),
        _ if path.ends_with("events:ingest") => (200, json!({ "requestId": "r-1" })),
        _ => (200, json!({ "jobId": "1" })),
    }
}

/// One of Google's errors, as a request is refused with it.
fn refusal(status: u16, family: &str, code: &str) -> (u16, Value) {
    let failure =
        json!({ "@type": FAILURE, "errors": [{ "errorCode": { family: code } }], "requestId": "r" });
    (status, json!({ "error": { "code": status, "status": "X", "message": "m", "details": [failure] } }))
}

/// The same inside a 200.
fn partial_failure(code: &str) -> (u16, Value) {
    let place = json!([{ "fieldName": "conversions", "index": 0 }]);
    let error =
        json!({ "errorCode": { "conversionUploadError": code }, "location": { "fieldPathElements": place } });
    let failure = json!({ "@type": FAILURE, "errors": [error], "requestId": "r" });
    (200, json!({ "partialFailureError": { "code": 3, "message": "m", "details": [failure] } }))
}

#[track_caller]
fn result_of(checks: &[Check], name: &str) -> (CheckResult, String) {
    let check =
        checks.iter().find(|check| check.check == name).unwrap_or_else(|| panic!("{name}: {checks:?}"));
    let code = check.code.as_ref().map(ToString::to_string).unwrap_or_default();
    assert!(!check.is_red() || check.mend.is_some(), "{check:?}");
    (check.result, code)
}

fn names(checks: &[Check]) -> Vec<&str> {
    checks.iter().map(|check| check.check).collect()
}

#[tokio::test]
async fn what_is_asked_is_googles_own_message() {
    let search = "google.ads.googleads.v26.services.SearchGoogleAdsRequest";
    for (transport, message) in [
        ("data_manager", "google.ads.datamanager.v1.IngestEventsRequest"),
        ("ads_api", "google.ads.googleads.v26.services.UploadClickConversionsRequest"),
    ] {
        let platform = Platform::of(healthy).await;
        platform.examine(transport, Depth::Full, Some(&[ADWORDS, DATA_MANAGER])).await;

        let seen = platform.seen();
        let documents: Vec<_> = seen
            .iter()
            .map(|(path, body)| {
                (path.as_str(), if path.ends_with("search") { search } else { message }, body.clone())
            })
            .collect();
        let checked = tests::proto::check(&documents).unwrap();

        assert_eq!(checked.len(), 3, "{transport}");
        let understood: Vec<_> = checked.into_iter().map(|checked| checked.understood.unwrap()).collect();
        assert_eq!(understood[2]["validateOnly"], true, "{transport}");
        assert!(!understood[2].to_string().contains("customVariables"), "{transport}");
    }
}

#[tokio::test]
async fn an_account_that_is_well_is_green_from_end_to_end() {
    let expected =
        ["scope", "access", "account", "tracking", "terms", "leads", "action", "request", "identifiers"];
    for transport in ["data_manager", "ads_api"] {
        let platform = Platform::of(healthy).await;

        let checks = platform.examine(transport, Depth::Full, Some(&[ADWORDS, DATA_MANAGER])).await;

        assert_eq!(names(&checks), expected, "{transport}");
        assert!(checks.iter().all(|check| check.result == CheckResult::Passed), "{checks:?}");
    }
}

#[tokio::test]
async fn a_cheap_look_sends_nothing() {
    let platform = Platform::of(healthy).await;

    let known = platform.examine("data_manager", Depth::Cheap, Some(&[DATA_MANAGER])).await;
    let unknown = platform.examine("data_manager", Depth::Cheap, None).await;

    assert_eq!(result_of(&known, "scope").0, CheckResult::Passed);
    assert_eq!(result_of(&unknown, "scope").0, CheckResult::Unknown);
    assert_eq!(platform.seen(), []);
}

#[tokio::test]
async fn without_the_scope_of_its_transport_nothing_is_sent() {
    for (transport, other) in [("data_manager", ADWORDS), ("ads_api", DATA_MANAGER)] {
        let platform = Platform::of(healthy).await;

        let checks = platform.examine(transport, Depth::Full, Some(&[other])).await;

        let code = "rpc.ErrorInfo.ACCESS_TOKEN_SCOPE_INSUFFICIENT".to_owned();
        assert_eq!(result_of(&checks, "scope"), (CheckResult::Failed, code), "{transport}");
        assert_eq!(platform.seen(), [], "{transport}");
    }
}

#[tokio::test]
async fn what_only_the_other_api_tells_is_skipped_where_it_is_closed() {
    let platform = Platform::of(healthy).await;
    let uncovered = platform.examine("data_manager", Depth::Full, Some(&[DATA_MANAGER])).await;
    let disabled = Platform::of(|path, body| match path {
        _ if path.ends_with("search") => {
            let info = json!({ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED",
                               "domain": "googleapis.com" });
            (403, json!({ "error": { "code": 403, "status": "PERMISSION_DENIED", "details": [info] } }))
        }
        _ => healthy(path, body),
    })
    .await;
    let disabled = disabled.examine("data_manager", Depth::Full, None).await;

    for checks in [uncovered, disabled] {
        for name in ["access", "account", "terms", "action"] {
            assert_eq!(result_of(&checks, name).0, CheckResult::Skipped, "{checks:?}");
        }
        assert_eq!(result_of(&checks, "request").0, CheckResult::Passed);
    }
}

/// What the account says of itself, and which check that makes red under which code.
#[tokio::test]
async fn each_setting_of_an_account_that_stops_conversions_is_named() {
    let check = async |answers: Answers, name: &str, expected: &str| {
        let checks = Platform::of(answers).await.examine("data_manager", Depth::Full, None).await;
        let (result, code) = result_of(&checks, name);
        assert_eq!((result, code.rsplit('.').next()), (CheckResult::Failed, Some(expected)), "{checks:?}");
    };

    check(
        |path, body| match is_customer(body) {
            true => (200, customer(&json!({ "status": "SUSPENDED" }))),
            false => healthy(path, body),
        },
        "account",
        "CUSTOMER_NOT_ENABLED",
    )
    .await;
    let settings: [(Answers, &str, &str); 3] = [
        (
            |path, body| match is_customer(body) {
                true => (200, with_tracking("acceptedCustomerDataTerms", json!(false))),
                false => healthy(path, body),
            },
            "terms",
            "CUSTOMER_NOT_ACCEPTED_CUSTOMER_DATA_TERMS",
        ),
        (
            |path, body| match is_customer(body) {
                true => (200, with_tracking("enhancedConversionsForLeadsEnabled", json!(false))),
                false => healthy(path, body),
            },
            "leads",
            "CUSTOMER_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS",
        ),
        (
            |path, body| match is_customer(body) {
                true => (200, with_tracking("googleAdsConversionCustomer", json!("customers/5550000000"))),
                false => healthy(path, body),
            },
            "tracking",
            "INVALID_CUSTOMER_FOR_CLICK",
        ),
    ];
    for (answers, name, code) in settings {
        check(answers, name, code).await;
    }
    check(
        |path, body| match path.ends_with("search") {
            true => refusal(403, "authorizationError", "USER_PERMISSION_DENIED"),
            false => healthy(path, body),
        },
        "access",
        "USER_PERMISSION_DENIED",
    )
    .await;
}

fn with_tracking(name: &str, value: Value) -> Value {
    let mut answer = customer(&json!({}));
    answer["results"][0]["customer"]["conversionTrackingSetting"][name] = value;
    answer
}

/// The rows that a search for the action finds, by what the made-up base address says.
fn with_actions(path: &str, body: &Value, actions: &[Value]) -> (u16, Value) {
    match path.ends_with("search") && !is_customer(body) {
        true => (200, json!({ "results": actions })),
        false => healthy(path, body),
    }
}

#[tokio::test]
async fn each_fault_of_a_conversion_action_is_named() {
    let faults: [(Answers, &str); 4] = [
        (|path, body| with_actions(path, body, &[]), "NO_CONVERSION_ACTION_FOUND"),
        (
            |path, body| with_actions(path, body, &[action(&json!({ "type": "WEBPAGE" }))]),
            "INVALID_CONVERSION_ACTION_TYPE",
        ),
        (
            |path, body| with_actions(path, body, &[action(&json!({ "status": "REMOVED" }))]),
            "NO_CONVERSION_ACTION_FOUND",
        ),
        (
            |path, body| {
                with_actions(path, body, &[action(&json!({ "ownerCustomer": "customers/5550000000" }))])
            },
            "INVALID_CONVERSION_ACTION_ID",
        ),
    ];
    for (answers, expected) in faults {
        let checks = Platform::of(answers).await.examine("data_manager", Depth::Full, None).await;

        let (result, code) = result_of(&checks, "action");
        assert_eq!((result, code.rsplit('.').next()), (CheckResult::Failed, Some(expected)), "{checks:?}");
    }
}

#[tokio::test]
async fn of_two_actions_of_one_number_the_accounts_own_counts() {
    let platform = Platform::of(|path, body| {
        let managers = action(&json!({ "ownerCustomer": "customers/5550000000", "type": "WEBPAGE" }));
        with_actions(path, body, &[managers, action(&json!({}))])
    })
    .await;

    let checks = platform.examine("data_manager", Depth::Full, None).await;

    assert_eq!(result_of(&checks, "action").0, CheckResult::Passed);
}

#[tokio::test]
async fn one_conversion_per_click_is_a_hint_and_no_fault() {
    let platform = Platform::of(|path, body| {
        with_actions(path, body, &[action(&json!({ "countingType": "ONE_PER_CLICK" }))])
    })
    .await;

    let checks = platform.examine("ads_api", Depth::Full, None).await;

    let action = checks.iter().find(|check| check.check == "action").unwrap();
    assert_eq!(action.result, CheckResult::Passed);
    assert!(action.mend.as_deref().is_some_and(|mend| mend.contains("gbraid")), "{action:?}");
}

/// Whatever is said of the made-up row alone proves that the account takes uploads.
#[tokio::test]
async fn what_a_validated_request_says_is_read_by_the_tables_of_uploads() {
    let check = async |answers: Answers, expected: (CheckResult, &str)| {
        let checks = Platform::of(answers).await.examine("ads_api", Depth::Probe, None).await;
        let (result, code) = result_of(&checks, "request");
        assert_eq!((result, code.as_str()), expected, "{checks:?}");
    };

    check(|_, _| partial_failure("UNPARSEABLE_GCLID"), (CheckResult::Passed, "")).await;
    check(|_, _| partial_failure("EVENT_NOT_FOUND"), (CheckResult::Passed, "")).await;
    let code = "conversionUploadError.NO_CONVERSION_ACTION_FOUND";
    check(|_, _| partial_failure("NO_CONVERSION_ACTION_FOUND"), (CheckResult::Failed, code)).await;
    let code = "notAllowlistedError.CUSTOMER_NOT_ALLOWLISTED_FOR_THIS_FEATURE";
    let closed: Answers =
        |_, _| refusal(403, "notAllowlistedError", "CUSTOMER_NOT_ALLOWLISTED_FOR_THIS_FEATURE");
    check(closed, (CheckResult::Failed, code)).await;
    let code = "requestError.UNSUPPORTED_VERSION";
    check(|_, _| refusal(400, "requestError", "UNSUPPORTED_VERSION"), (CheckResult::Failed, code)).await;
    check(|_, _| (404, json!("<!DOCTYPE html>")), (CheckResult::Failed, "HTTP_404")).await;
    check(|_, _| (503, json!({})), (CheckResult::Unknown, "HTTP_503")).await;
    check(|_, _| (200, json!("garbage")), (CheckResult::Unknown, "UNREADABLE_ANSWER")).await;
    let code = "internalError.INTERNAL_ERROR";
    check(|_, _| refusal(500, "internalError", "INTERNAL_ERROR"), (CheckResult::Unknown, code)).await;
}

#[tokio::test]
async fn where_identifiers_alone_are_refused_the_rest_is_still_proven() {
    let platform = Platform::of(|_, body| match body["conversions"][0].get("userIdentifiers") {
        Some(_) => partial_failure("CUSTOMER_NOT_ACCEPTED_CUSTOMER_DATA_TERMS"),
        None => (200, json!({ "jobId": "1" })),
    })
    .await;

    let checks = platform.examine("ads_api", Depth::Probe, None).await;

    assert_eq!(result_of(&checks, "request").0, CheckResult::Passed);
    let code = "conversionUploadError.CUSTOMER_NOT_ACCEPTED_CUSTOMER_DATA_TERMS".to_owned();
    assert_eq!(result_of(&checks, "identifiers"), (CheckResult::Failed, code));
}

#[tokio::test]
async fn no_look_sends_more_than_it_booked() {
    let refuses: Answers = |_, body| match body["conversions"][0].get("userIdentifiers") {
        Some(_) => partial_failure("CUSTOMER_NOT_ACCEPTED_CUSTOMER_DATA_TERMS"),
        None => healthy("googleAds:search", body),
    };
    for depth in [Depth::Cheap, Depth::Probe, Depth::Full] {
        let platform = Platform::of(refuses).await;

        platform.examine("ads_api", depth, None).await;

        let booked = account_at(&platform.base, "ads_api").examine_requests(depth);
        assert_eq!(platform.seen().len(), usize::try_from(booked).unwrap(), "{depth:?}");
    }
}
