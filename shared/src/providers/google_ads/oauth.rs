//! Access tokens from a refresh token.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::credentials::Credentials;
use super::taxonomy::{Context, Taxonomy};
use crate::domain::{Class, ErrorCode, HoldScope, Secret};
use crate::providers::{
    AccessToken, TokenError,
    http::{Fault, RawAnswer, exchange},
    retry_after::parse_retry_after,
};

/// Taken off a token's life, so that none expires on its way.
const SAFETY_MARGIN: Duration = Duration::from_secs(120);

/// A token's life where the answer names none; Google's live for 3,599 s. Ours, and short.
const USUAL_LIFE: Duration = Duration::from_secs(1_800);

/// The longest life that is believed.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3_600);

/// The wait after the endpoint failed, where it names none.
const USUAL_WAIT: Duration = Duration::from_secs(30);

/// Longest access token. Google's stay below 2,048 bytes
/// (<https://developers.google.com/identity/protocols/oauth2>, read 2026-11-22).
const MAX_TOKEN: usize = 4_096;

#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    expires_in: Option<Value>,
}

#[derive(Deserialize)]
struct ErrorResponse {
    error: String,
}

/// One request to the token endpoint.
pub(crate) async fn refresh(
    client: &reqwest::Client,
    token_url: &str,
    credentials: &Credentials,
    taxonomy: &Taxonomy,
) -> Result<AccessToken, TokenError> {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", credentials.client_id.as_str()),
        ("client_secret", credentials.client_secret.expose()),
        ("refresh_token", credentials.refresh_token.expose()),
    ];
    match exchange(client.post(token_url).form(&form)).await {
        Ok(raw) => read_token(&raw, taxonomy, Timestamp::now()),
        Err(fault) => Err(unavailable(fault)),
    }
}

/// What the token endpoint's answer means.
pub fn read_token(raw: &RawAnswer, taxonomy: &Taxonomy, now: Timestamp) -> Result<AccessToken, TokenError> {
    let status = ErrorCode::foreign(&format!("HTTP_{}", raw.status));
    let wait = raw.header("retry-after").and_then(|header| parse_retry_after(header, now));
    let wait_for = |code, usual| TokenError::Unavailable { code, wait: wait.unwrap_or(usual) };
    let not_now = |code| wait_for(code, USUAL_WAIT);
    match raw.status {
        200 => read_success(raw, now).ok_or_else(|| not_now(ErrorCode::own("UNREADABLE_ANSWER"))),
        408 | 425 | 429 | 500..=599 => Err(not_now(status)),
        400..=499 => Err(match read_refusal(raw, taxonomy, now) {
            Some(Refusal { code, scope: Some(scope), .. }) => TokenError::Misconfigured { code, scope },
            Some(Refusal { code, scope: None, wait }) => wait_for(code, wait.unwrap_or(USUAL_WAIT)),
            // Not an answer of OAuth: something on the way there.
            None => not_now(status),
        }),
        _ => Err(not_now(status)),
    }
}

fn read_success(raw: &RawAnswer, now: Timestamp) -> Option<AccessToken> {
    let response = serde_json::from_slice::<TokenResponse>(&raw.body).ok()?;
    let token = Secret::new(response.access_token);
    let fits_a_header = (1..=MAX_TOKEN).contains(&token.expose().len())
        && token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if !fits_a_header {
        return None;
    }
    let life = match response.expires_in {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
    };
    let life = life.map_or(USUAL_LIFE, Duration::from_secs).min(LONGEST_LIFE).saturating_sub(SAFETY_MARGIN);
    Some(AccessToken { secret: token, expires_at: now.checked_add(life).ok()? })
}

struct Refusal {
    code: ErrorCode,
    /// What has to be mended; nothing where it may pass by itself.
    scope: Option<HoldScope>,
    /// How long that takes, where the table says it.
    wait: Option<Duration>,
}

fn read_refusal(raw: &RawAnswer, taxonomy: &Taxonomy, now: Timestamp) -> Option<Refusal> {
    let error = serde_json::from_slice::<ErrorResponse>(&raw.body).ok()?.error;
    let is_code = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let code = if is_code(&error) { error } else { "unknown_error".to_owned() };
    let rule = taxonomy.find("oauth", &code, &Context { now, ..Context::default() })?;
    let scope = rule.scope.filter(|_| rule.class == Class::Config);
    Some(Refusal { code: ErrorCode::foreign(&code), scope, wait: rule.wait_seconds.map(Duration::from_secs) })
}

fn unavailable(fault: Fault) -> TokenError {
    TokenError::Unavailable { code: ErrorCode::own(fault.code()), wait: USUAL_WAIT }
}
