//! One site's Google Ads account.

use jiff::Timestamp;

use super::GoogleConfig;
use super::conversion_action;
use super::credentials::Credentials;
use super::examine::{self, Look};
use super::hex::sha256_hex;
use super::taxonomy::Taxonomy;
use super::{oauth, poll, request, response, send};
use crate::domain::ErrorCode;
use crate::providers::{
    AccessToken, Account, Answer, BoxFuture, Budget, Check, Depth, Packed, Receipt, Request, Row, RowAnswer,
    SendError, TokenError, http::Fault,
};

/// An account, opened from its credentials.
pub(crate) struct GoogleAccount {
    config: GoogleConfig,
    client: reqwest::Client,
    credentials: Credentials,
    taxonomy: Taxonomy,
    token_key: String,
    client_key: String,
    quota_key: String,
}

impl GoogleAccount {
    pub(crate) fn new(
        config: GoogleConfig,
        client: reqwest::Client,
        credentials: Credentials,
        taxonomy: Taxonomy,
    ) -> Self {
        let client_id = credentials.client_id.as_str();
        // The zero byte keeps two pairs apart whose texts join to the same.
        let token_key = sha256_hex(&format!("{client_id}\0{}", credentials.refresh_token.expose()));
        let client_key = sha256_hex(client_id);
        let quota_key = credentials.quota_key.clone().unwrap_or_else(|| client_key.clone());
        Self { config, client, credentials, taxonomy, token_key, client_key, quota_key }
    }
}

impl Account for GoogleAccount {
    fn token_key(&self) -> &str {
        &self.token_key
    }

    fn quota_key(&self) -> &str {
        &self.quota_key
    }

    fn client_key(&self) -> &str {
        &self.client_key
    }

    fn transport(&self) -> &'static str {
        self.credentials.transport.as_str()
    }

    fn conversion_action(&self) -> String {
        self.credentials.conversion_action.to_string()
    }

    fn action_key(&self, action: Option<&str>) -> String {
        let own = &self.credentials.conversion_action;
        action.map_or_else(String::new, |action| conversion_action::key(action, Some(own)))
    }

    fn budget(&self) -> Budget {
        self.config.budget(self.credentials.transport)
    }

    fn refresh_token(&self) -> BoxFuture<'_, Result<AccessToken, TokenError>> {
        let url = &self.config.oauth_token_url;
        Box::pin(oauth::refresh(&self.client, url, &self.credentials, &self.taxonomy))
    }

    fn pack(&self, rows: &[Row<'_>], now: Timestamp) -> Packed {
        request::pack(&self.config, &self.credentials, rows, now)
    }

    fn send<'a>(
        &'a self,
        request: &'a Request,
        token: &'a AccessToken,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Answer, SendError>> {
        Box::pin(send::send(&self.client, &self.credentials, &self.taxonomy, request, token, now))
    }
    fn read_silence(&self, request: &Request, now: Timestamp) -> Result<Answer, SendError> {
        response::read_fault(Fault::TimedOut, request, &self.taxonomy, now)
    }

    fn poll<'a>(
        &'a self,
        request_id: &'a str,
        token: &'a AccessToken,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Receipt, SendError>> {
        Box::pin(poll::poll(
            &self.client,
            &self.config,
            &self.credentials,
            &self.taxonomy,
            request_id,
            token,
            now,
        ))
    }

    fn judge(&self, reason: &ErrorCode, row: Row<'_>, now: Timestamp) -> RowAnswer {
        poll::judge(&self.taxonomy, reason, row, now)
    }

    fn could_mean(&self, reason: &ErrorCode, row: Row<'_>) -> bool {
        poll::could_mean(reason, row)
    }

    fn examine_requests(&self, depth: Depth) -> u32 {
        examine::requests(depth)
    }

    fn examine<'a>(
        &'a self,
        depth: Depth,
        token: &'a AccessToken,
        action: Option<&'a str>,
        now: Timestamp,
    ) -> BoxFuture<'a, Vec<Check>> {
        let look = Look {
            client: &self.client,
            config: &self.config,
            credentials: &self.credentials,
            taxonomy: &self.taxonomy,
            token,
            now,
        };
        Box::pin(look.examine(depth, action))
    }
}
