//! What the token endpoint's answers mean.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::domain::HoldScope;
use shared::providers::google_ads::{self, taxonomy::Taxonomy};
use shared::providers::{AccessToken, TokenError, http::RawAnswer};

use super::support::{NOW, raw, raw_fixture, time};

fn read_token(raw: &RawAnswer, now: Timestamp) -> Result<AccessToken, TokenError> {
    google_ads::read_token(raw, &Taxonomy::default(), now)
}

fn read(status: u16, body: &Value) -> Result<AccessToken, TokenError> {
    read_token(&raw(status, &Value::Null, body.to_string().as_bytes()), time(NOW))
}

#[test]
fn a_token_is_good_for_two_minutes_less_than_it_says() {
    let lives = |expires_in: Value| {
        let token = read(200, &json!({"access_token": "ya29.a", "expires_in": expires_in})).unwrap();
        token.expires_at.duration_since(time(NOW))
    };

    assert_eq!(lives(json!(3_599)), SignedDuration::from_secs(3_479));
    assert_eq!(lives(json!("3599")), SignedDuration::from_secs(3_479));
    assert_eq!(lives(json!(60)), SignedDuration::ZERO);
    assert_eq!(lives(json!(999_999_999)), SignedDuration::from_secs(24 * 3_600 - 120));
    assert_eq!(lives(Value::Null), SignedDuration::from_secs(1_680));
}

#[test]
fn a_revoked_grant_holds_the_site_and_a_bad_client_all_of_its_sites() {
    let check =
        |result: Result<AccessToken, TokenError>, expected: HoldScope, expected_code: &str| match result {
            Err(TokenError::Misconfigured { code, scope }) => {
                assert_eq!((scope, code.as_str()), (expected, expected_code));
            }
            other => panic!("{other:?}"),
        };

    check(read_token(&raw_fixture("token/invalid_grant"), time(NOW)), HoldScope::Site, "invalid_grant");
    check(read_token(&raw_fixture("token/invalid_client"), time(NOW)), HoldScope::Client, "invalid_client");
    for code in ["unauthorized_client", "invalid_scope"] {
        check(read(400, &json!({"error": code})), HoldScope::Client, code);
    }
    check(read(400, &json!({"error": "Some Text"})), HoldScope::Site, "unknown_error");
}

#[test]
fn everything_else_is_of_the_moment() {
    let check = |result: Result<AccessToken, TokenError>, expected_code: &str| match result {
        Err(TokenError::Unavailable { code, wait }) => {
            assert_eq!((code.as_str(), wait), (expected_code, Duration::from_secs(30)));
        }
        other => panic!("{other:?}"),
    };

    for status in [429, 500, 503, 302, 404] {
        check(read(status, &Value::Null), &format!("HTTP_{status}"));
    }
    check(read(400, &json!({"error": "temporarily_unavailable"})), "temporarily_unavailable");
    check(read(200, &json!({})), "UNREADABLE_ANSWER");
    check(read(200, &json!({"access_token": ""})), "UNREADABLE_ANSWER");
    check(read(200, &json!({"access_token": "two words"})), "UNREADABLE_ANSWER");
}

#[test]
fn the_endpoints_own_wait_counts() {
    let answer = raw(503, &json!({"retry-after": "77"}), b"");

    let error = read_token(&answer, time(NOW)).unwrap_err();

    assert!(
        matches!(error, TokenError::Unavailable { wait, .. } if wait == Duration::from_secs(77)),
        "{error:?}"
    );
}
