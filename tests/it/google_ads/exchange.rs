//! Requests over a real connection: headers, timeouts, broken connections.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use shared::domain::{Secret, Verdict};
use shared::providers::{AccessToken, Account, AccountOptions, Answer, Provider, SendError, TokenError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::support::{
    NOW, account_at, adapter, adapter_within, code, conversions, credentials, fixture, one_request, time,
    verdicts,
};

/// What the platform saw of one request.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(HeaderMap, Bytes)>>>);

/// A platform that gives one answer to everything.
async fn platform(status: u16, headers: &[(&'static str, &'static str)], body: Vec<u8>) -> (String, Seen) {
    let seen = Seen::default();
    let (record, headers) = (seen.clone(), headers.to_vec());
    let answer = move |request: HeaderMap, sent: Bytes| async move {
        record.0.lock().unwrap().push((request, sent));
        let headers: HeaderMap = headers
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        (StatusCode::from_u16(status).unwrap(), headers, body)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
    (base, seen)
}

async fn platform_of(name: &str) -> (String, Seen) {
    let fixture = fixture(name);
    let status = u16::try_from(fixture["status"].as_u64().unwrap()).unwrap();
    platform(status, &[("request-id", "R-1")], fixture["body"].to_string().into_bytes()).await
}

fn token() -> AccessToken {
    AccessToken {
        secret: Secret::new("ya29.token-in-test".to_owned()),
        expires_at: time("2026-11-22T13:00:00Z"),
        scopes: None,
    }
}

async fn send(base: &str, transport: &str) -> Result<Answer, SendError> {
    let account = account_at(base, transport);
    let request = one_request(account.as_ref(), &conversions(3));
    account.send(&request, &token(), time(NOW)).await
}

#[tokio::test]
async fn an_ads_api_request_carries_its_headers_and_its_very_bytes() {
    let (base, seen) = platform_of("upload_click_conversions/all_delivered").await;
    let account = account_at(&base, "ads_api");
    let request = one_request(account.as_ref(), &conversions(3));

    let answer = account.send(&request, &token(), time(NOW)).await.unwrap();

    let seen = seen.0.lock().unwrap();
    let (headers, body) = &seen[0];
    assert_eq!(headers["authorization"], "Bearer ya29.token-in-test");
    assert_eq!(headers["login-customer-id"], "9876543210");
    assert_eq!(headers["developer-token"], "developer-token-in-test");
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("conversion-relay/"));
    assert_eq!(body.to_vec(), request.body);
    assert_eq!(verdicts(&answer), [Verdict::Delivered; 3]);
    assert_eq!(answer.reply.request_id.as_deref(), Some("R-1"));
}

#[tokio::test]
async fn a_developer_token_that_is_not_there_is_not_sent() {
    let (base, seen) = platform_of("upload_click_conversions/all_delivered").await;
    let mut credentials = credentials("ads_api");
    credentials["developer_token"] = Value::String(String::new());
    let account = adapter(&base)
        .open_account(&Secret::new(credentials.to_string()), &AccountOptions::default())
        .unwrap();
    let request = one_request(account.as_ref(), &conversions(3));

    account.send(&request, &token(), time(NOW)).await.unwrap();

    assert!(!seen.0.lock().unwrap()[0].0.contains_key("developer-token"));
}

#[tokio::test]
async fn the_data_manager_gets_no_headers_that_it_ignores() {
    let (base, seen) = platform_of("ingest_events/accepted").await;

    let answer = send(&base, "data_manager").await.unwrap();

    let seen = seen.0.lock().unwrap();
    assert!(!seen[0].0.contains_key("login-customer-id") && !seen[0].0.contains_key("developer-token"));
    assert_eq!(verdicts(&answer), [Verdict::Submitted; 3]);
}

#[tokio::test]
async fn an_unreachable_platform_certainly_got_nothing() {
    // No port that another test could be given meanwhile.
    let error = send("http://127.0.0.1:1", "ads_api").await.unwrap_err();

    assert!(matches!(error, SendError::Unavailable(_)), "{error:?}");
    assert_eq!(code(&error), "CONNECT_FAILED");
}

#[tokio::test]
async fn a_name_or_a_certificate_that_is_wrong_sends_nothing() {
    let (base, seen) = platform_of("upload_click_conversions/all_delivered").await;
    let over_tls = base.replace("http:", "https:");

    for base in ["https://no-such-host.invalid", &over_tls] {
        let error = send(base, "ads_api").await.unwrap_err();

        assert!(matches!(error, SendError::Unavailable(_)), "{base}: {error:?}");
    }
    assert!(seen.0.lock().unwrap().is_empty());
}

/// Reads the beginning of a request, then does what `end` says.
async fn rude_platform(answer: &'static [u8], holds_on: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut buffer = [0; 64 * 1024];
            let _ = socket.read(&mut buffer).await;
            let _ = socket.write_all(answer).await;
            if holds_on {
                kept.push(socket);
            }
        }
    });
    base
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_leaves_doubt() {
    let silent = rude_platform(b"", false).await;
    let halfway = rude_platform(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"resu", false).await;

    for base in [silent, halfway] {
        let error = send(&base, "ads_api").await.unwrap_err();

        assert!(matches!(error, SendError::Unconfirmed(_)), "{error:?}");
        assert_eq!(code(&error), "CONNECTION_LOST");
    }
}

#[tokio::test]
async fn a_platform_that_never_answers_leaves_doubt() {
    let base = rude_platform(b"", true).await;
    let account = adapter_within(Duration::from_secs(2), &base)
        .open_account(&Secret::new(credentials("data_manager").to_string()), &AccountOptions::default())
        .unwrap();
    let request = one_request(account.as_ref(), &conversions(3));

    let error = account.send(&request, &token(), time(NOW)).await.unwrap_err();

    assert!(matches!(error, SendError::Unconfirmed(_)), "{error:?}");
    assert_eq!(code(&error), "TIMEOUT");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let (base, _) = platform(200, &[], vec![b' '; 9 * 1024 * 1024]).await;

    let error = send(&base, "ads_api").await.unwrap_err();

    assert!(matches!(error, SendError::Unconfirmed(_)), "{error:?}");
    assert_eq!(code(&error), "ANSWER_TOO_LARGE");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, seen) = platform_of("upload_click_conversions/all_delivered").await;
    let location: &'static str = Box::leak(elsewhere.into_boxed_str());
    let (base, _) = platform(307, &[("location", location)], Vec::new()).await;

    let error = send(&base, "ads_api").await.unwrap_err();

    assert_eq!(code(&error), "HTTP_307");
    assert!(seen.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_token_is_fetched_with_the_sites_grant() {
    let (base, seen) = platform_of("token/granted").await;

    let token = account_at(&base, "data_manager").refresh_token().await.unwrap();

    let seen = seen.0.lock().unwrap();
    let form = String::from_utf8(seen[0].1.to_vec()).unwrap();
    assert_eq!(token.secret.expose(), "ya29.granted");
    assert_eq!(seen[0].0["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(
        form,
        "grant_type=refresh_token&client_id=client-in-test.apps.googleusercontent.com\
         &client_secret=GOCSPX-secret-in-test&refresh_token=1%2F%2Frefresh-token-in-test"
    );
}

#[tokio::test]
async fn a_token_endpoint_that_is_away_is_nobodys_fault() {
    let base = rude_platform(b"", false).await;

    for base in ["http://127.0.0.1:1", &base] {
        let error = account_at(base, "data_manager").refresh_token().await.unwrap_err();

        assert!(
            matches!(error, TokenError::Unavailable { wait, .. } if wait >= Duration::from_secs(30)),
            "{error:?}"
        );
    }
}

/// Every credential of the test, the token, and what goes with them.
const SECRETS: [&str; 6] = [
    "client-in-test",
    "GOCSPX-secret-in-test",
    "refresh-token-in-test",
    "developer-token-in-test",
    "ya29",
    "click-1",
];

async fn whatever_can_be_shown(base: &str, transport: &str) -> Vec<String> {
    let account: Box<dyn Account> = account_at(base, transport);
    let request = one_request(account.as_ref(), &conversions(3));
    let sent = account.send(&request, &token(), time(NOW)).await;
    let fetched = account.refresh_token().await;
    let displayed =
        [sent.as_ref().err().map(ToString::to_string), fetched.as_ref().err().map(ToString::to_string)];
    let mut shown =
        vec![format!("{request:?}"), format!("{sent:?}"), format!("{fetched:?}"), format!("{:?}", token())];
    shown.extend(displayed.into_iter().flatten());
    shown
}

#[tokio::test]
async fn no_error_and_no_debug_shows_a_credential() {
    let echo = format!("{}", credentials("ads_api"));
    let mut bases = vec!["http://127.0.0.1:1".to_owned(), "https://no-such-host.invalid".to_owned()];
    for status in [200, 400, 401, 403, 404, 429, 500] {
        bases.push(platform(status, &[], echo.clone().into_bytes()).await.0);
        let error =
            format!("{{\"error\": \"GOCSPX-secret-in-test\", \"requestId\": \"t\", \"echo\": {echo}}}");
        bases.push(platform(status, &[], error.into_bytes()).await.0);
    }

    for base in bases {
        for transport in ["ads_api", "data_manager"] {
            for shown in whatever_can_be_shown(&base, transport).await {
                for secret in SECRETS {
                    assert!(!shown.contains(secret), "{base}: {shown}");
                }
            }
        }
    }
}
