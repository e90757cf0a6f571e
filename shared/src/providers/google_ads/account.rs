//! One site's Google Ads account.

use jiff::Timestamp;

use super::GoogleConfig;
use super::credentials::Credentials;
use super::examine::{self, Look};
use super::hex::sha256_hex;
use super::{oauth, request, send};
use crate::providers::{
    AccessToken, Account, Answer, BoxFuture, Budget, Check, Depth, Packed, Request, Row, SendError,
    TokenError,
};

/// An account, opened from its credentials.
pub(crate) struct GoogleAccount {
    config: GoogleConfig,
    client: reqwest::Client,
    credentials: Credentials,
    token_key: String,
    quota_key: String,
}

impl GoogleAccount {
    pub(crate) fn new(config: GoogleConfig, client: reqwest::Client, credentials: Credentials) -> Self {
        let client_id = credentials.client_id.as_str();
        // The zero byte keeps two pairs apart whose texts join to the same.
        let token_key = sha256_hex(&format!("{client_id}\0{}", credentials.refresh_token.expose()));
        let quota_key = credentials.quota_key.clone().unwrap_or_else(|| sha256_hex(client_id));
        Self { config, client, credentials, token_key, quota_key }
    }
}

impl Account for GoogleAccount {
    fn token_key(&self) -> &str {
        &self.token_key
    }

    fn quota_key(&self) -> &str {
        &self.quota_key
    }

    fn budget(&self) -> Budget {
        self.config.budget(self.credentials.transport)
    }

    fn refresh_token(&self) -> BoxFuture<'_, Result<AccessToken, TokenError>> {
        Box::pin(oauth::refresh(&self.client, &self.config.oauth_token_url, &self.credentials))
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
        Box::pin(send::send(&self.client, &self.credentials, request, token, now))
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
        let look =
            Look { client: &self.client, config: &self.config, credentials: &self.credentials, token, now };
        Box::pin(look.examine(depth, action))
    }
}
