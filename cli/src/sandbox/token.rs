//! The OAuth token endpoint: what a refresh token becomes is written in the refresh token itself.

use super::answer::Answer;
use super::state::State;
use axum::extract::Query;
use axum::http::Uri;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::{HashMap, HashSet, VecDeque};
use uuid::Uuid;

/// Seconds that an access token lives, as Google answers them.
const LIFETIME_SECONDS: i64 = 3599;
/// Live tokens; the oldest goes first. A process that caches its tokens needs one per site and hour.
const TOKENS_MAX: usize = 50_000;
/// Refresh tokens remembered as having had their spoiled access token.
const SPOILED_MAX: usize = 50_000;

const ADWORDS: &str = "https://www.googleapis.com/auth/adwords";
const DATA_MANAGER: &str = "https://www.googleapis.com/auth/datamanager";

/// The access tokens that are out there.
#[derive(Default)]
pub(super) struct Tokens {
    live: HashMap<String, Token>,
    oldest_first: VecDeque<String>,
    spoiled: HashSet<String>,
}

struct Token {
    expires_at: Timestamp,
    lacks: Option<Api>,
    spoiled: bool,
    client: String,
}

/// An API that a token may be good for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    /// `googleads.googleapis.com`
    GoogleAds,
    /// `datamanager.googleapis.com`
    DataManager,
}

/// Why a token is no good.
pub(super) enum Unauthorised {
    /// There is no `Authorization: Bearer` header.
    Missing,
    /// The token was never issued here, or not since the sandbox started.
    Unknown,
    /// The token was good once.
    Expired,
    /// The token is good, but not for this API.
    Scope,
}

impl Tokens {
    /// The OAuth client for which a token is good at an API.
    pub(super) fn check(
        &self,
        header: Option<&str>,
        api: Api,
        now: Timestamp,
    ) -> Result<String, Unauthorised> {
        let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or(Unauthorised::Missing)?;
        let token = self.live.get(token).ok_or(Unauthorised::Unknown)?;
        if token.spoiled || token.expires_at <= now {
            return Err(Unauthorised::Expired);
        }
        if token.lacks == Some(api) {
            return Err(Unauthorised::Scope);
        }
        Ok(token.client.clone())
    }

    /// Lets every `expired_once` have its spoiled token again.
    pub(super) fn forget_spoiled(&mut self) {
        self.spoiled.clear();
    }

    fn issue(&mut self, refresh_token: &str, client: &str, now: Timestamp) -> (String, Option<Api>) {
        let lacks = [("scope_missing", Api::DataManager), ("adwords_missing", Api::GoogleAds)]
            .into_iter()
            .find_map(|(word, api)| refresh_token.contains(word).then_some(api));
        let spoiled = refresh_token.contains("expired_once")
            && self.spoiled.len() < SPOILED_MAX
            && self.spoiled.insert(refresh_token.to_owned());
        if self.oldest_first.len() >= TOKENS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.live.remove(&oldest);
        }
        let text = format!("ya29.sandbox-{}", Uuid::new_v4().simple());
        let expires_at = now.saturating_add(SignedDuration::from_secs(LIFETIME_SECONDS)).unwrap_or(now);
        let token = Token { expires_at, lacks, spoiled, client: client.to_owned() };
        self.live.insert(text.clone(), token);
        self.oldest_first.push_back(text.clone());
        (text, lacks)
    }
}

/// Answers `POST /token`.
pub(super) fn answer(state: &mut State, content_type: Option<&str>, body: &[u8], now: Timestamp) -> Answer {
    let form = match read_form(content_type, body) {
        Ok(form) => form,
        Err(description) => return refusal(400, "invalid_request", description),
    };
    let field = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    match field("grant_type") {
        Some("refresh_token") => {}
        Some(_) => return refusal(400, "unsupported_grant_type", "Invalid grant_type."),
        None => return refusal(400, "invalid_request", "Required parameter is missing: grant_type"),
    }
    let Some(client) = field("client_id") else {
        return refusal(400, "invalid_request", "Could not determine client ID from request.");
    };
    if field("client_secret").is_none() {
        return refusal(400, "invalid_request", "client_secret is missing.");
    }
    let Some(refresh_token) = field("refresh_token") else {
        return refusal(400, "invalid_request", "Missing required parameter: refresh_token");
    };
    if refresh_token.contains("invalid_grant") {
        return refusal(400, "invalid_grant", "Token has been expired or revoked.");
    }
    if refresh_token.contains("invalid_client") {
        return refusal(401, "invalid_client", "The OAuth client was not found.");
    }
    if refresh_token.contains("token_503") {
        return refusal(503, "temporarily_unavailable", "The service is currently unavailable.");
    }

    let (token, lacks) = state.tokens.issue(refresh_token, client, now);
    state.totals.tokens_issued += 1;
    let scope = match lacks {
        None => format!("{ADWORDS} {DATA_MANAGER}"),
        Some(Api::DataManager) => ADWORDS.to_owned(),
        Some(Api::GoogleAds) => DATA_MANAGER.to_owned(),
    };
    let body = json!({
        "access_token": token, "expires_in": LIFETIME_SECONDS, "scope": scope, "token_type": "Bearer",
    });
    Answer::json(200, &body).with_header("cache-control", "no-cache, no-store, max-age=0, must-revalidate")
}

fn read_form(content_type: Option<&str>, body: &[u8]) -> Result<HashMap<String, String>, &'static str> {
    if !content_type.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return Err("Content-Type must be application/x-www-form-urlencoded.");
    }
    // A form in a body is written like a query, so the query reader reads it.
    let malformed = "The request body is not a form.";
    let text = std::str::from_utf8(body).map_err(|_| malformed)?;
    let uri: Uri = format!("/token?{text}").parse().map_err(|_| malformed)?;
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&uri).map_err(|_| malformed)?;
    let count = pairs.len();
    let form: HashMap<_, _> = pairs.into_iter().collect();
    if form.len() < count { Err("OAuth 2 parameters can only have a single value.") } else { Ok(form) }
}

fn refusal(status: u16, error: &str, description: &str) -> Answer {
    Answer::json(status, &json!({"error": error, "error_description": description}))
}
