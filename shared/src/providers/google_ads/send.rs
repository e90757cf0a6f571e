//! Sends a request that was packed, with the headers of its transport.

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use super::credentials::Credentials;
use super::response::{read_answer, read_fault};
use super::taxonomy::Taxonomy;
use super::transport::Transport;
use crate::providers::{AccessToken, Answer, Request, SendError, http::exchange};

const LOGIN_CUSTOMER_ID: HeaderName = HeaderName::from_static("login-customer-id");
const DEVELOPER_TOKEN: HeaderName = HeaderName::from_static("developer-token");

pub(crate) async fn send(
    client: &reqwest::Client,
    credentials: &Credentials,
    taxonomy: &Taxonomy,
    request: &Request,
    token: &AccessToken,
    now: Timestamp,
) -> Result<Answer, SendError> {
    let mut post = client
        .post(&request.url)
        .bearer_auth(token.secret.expose())
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .body(request.body.clone());
    // The Data Manager API ignores headers: who logs in stands in its destinations.
    if request.transport == Transport::AdsApi.as_str() {
        if let Some(manager) = &credentials.login_customer_id {
            post = post.header(LOGIN_CUSTOMER_ID, manager.as_str());
        }
        if let Some(developer_token) = &credentials.developer_token {
            post = post.header(DEVELOPER_TOKEN, sensitive(developer_token.expose()));
        }
    }
    match exchange(post).await {
        Ok(raw) => read_answer(&raw, request, taxonomy, now),
        Err(fault) => read_fault(fault, request, taxonomy, now),
    }
}

/// A header that no `Debug` shows.
fn sensitive(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).expect("credentials are checked to be printable");
    value.set_sensitive(true);
    value
}
