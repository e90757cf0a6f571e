//! Sealed credentials, their wrapped keys, and shared access tokens. This room sees nothing in the clear.

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::{Store, StoreError};
use crate::domain::{GroupId, KeyVersion, ProviderKey, SiteId};

/// A wrapped data key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Which one.
    pub version: KeyVersion,
    /// What wrapped it: `kms` or `local`.
    pub source: String,
    /// The key, wrapped.
    pub wrapped: Vec<u8>,
}

/// A group's credentials, sealed.
#[derive(Debug, Clone)]
pub struct SealedCredentials {
    /// Whose.
    pub group: GroupId,
    /// What opens them.
    pub key: StoredKey,
    /// The credentials.
    pub sealed: Vec<u8>,
}

/// What is known of credentials unsealed.
#[derive(Debug, Clone, Copy)]
pub struct AccountFacts<'a> {
    /// What shares one request budget.
    pub quota_key: &'a str,
    /// A digest of the OAuth client.
    pub client_key: &'a str,
    /// The transport that the credentials name.
    pub transport: &'a str,
    /// Where conversions go that name no conversion action, as the adapter writes it.
    pub conversion_action: &'a str,
    /// Requests in any 60 s of a quota key that nobody had yet; `None`: no limit.
    pub per_minute: Option<u32>,
    /// In any 24 h.
    pub per_day: Option<u32>,
}

/// A shared access token, sealed.
#[derive(Debug, Clone)]
pub struct SealedToken {
    /// What opens it.
    pub key: StoredKey,
    /// The token.
    pub sealed: Vec<u8>,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

pub(super) fn stored_key(row: &Row) -> StoredKey {
    StoredKey {
        version: KeyVersion(row.get("key_version")),
        source: row.get("source"),
        wrapped: row.get("wrapped"),
    }
}

impl Store {
    /// The data key that new secrets are sealed with; `None` before the first.
    pub async fn read_newest_vault_key(&self) -> Result<Option<StoredKey>, StoreError> {
        let rows =
            self.query("select key_version, source, wrapped from relay.read_newest_vault_key()", &[]).await?;
        Ok(rows.first().map(stored_key))
    }

    /// Keeps a wrapped data key; where two come at once the first stays. Answers the one that is kept.
    pub async fn add_vault_key(&self, key: &StoredKey) -> Result<StoredKey, StoreError> {
        let row = self
            .query_one(
                "select key_version, source, wrapped from relay.add_vault_key($1, $2, $3)",
                &[(&key.version.0, Type::INT4), (&key.source, Type::TEXT), (&key.wrapped, Type::BYTEA)],
            )
            .await?;
        Ok(stored_key(&row))
    }

    /// Stores a site's sealed credentials and lifts its holds; the group, and how many holds. A quota key that nobody had
    /// yet gets its budget.
    pub async fn keep_provider_account(
        &self,
        site: SiteId,
        provider: ProviderKey,
        version: KeyVersion,
        sealed: &[u8],
        facts: &AccountFacts<'_>,
    ) -> Result<(GroupId, u64), StoreError> {
        let limit = |requests: Option<u32>| requests.and_then(|requests| i32::try_from(requests).ok());
        let row = self
            .query_one(
                "select group_id, holds_lifted \
                 from relay.keep_provider_account($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                &[
                    (&site.0, Type::UUID),
                    (&provider.as_str(), Type::TEXT),
                    (&version.0, Type::INT4),
                    (&sealed, Type::BYTEA),
                    (&facts.quota_key, Type::TEXT),
                    (&facts.client_key, Type::TEXT),
                    (&facts.transport, Type::TEXT),
                    (&limit(facts.per_minute), Type::INT4),
                    (&limit(facts.per_day), Type::INT4),
                    (&facts.conversion_action, Type::TEXT),
                ],
            )
            .await?;
        let lifted = u64::try_from(row.get::<_, i32>("holds_lifted")).unwrap_or(0);
        Ok((GroupId(row.get("group_id")), lifted))
    }

    /// The sealed credentials of groups, in one round trip; groups without any are left out.
    pub async fn read_provider_credentials(
        &self,
        groups: &[GroupId],
    ) -> Result<Vec<SealedCredentials>, StoreError> {
        let groups: Vec<i32> = groups.iter().map(|group| group.0).collect();
        let rows = self
            .query(
                "select group_id, key_version, source, wrapped, sealed from relay.read_provider_credentials($1)",
                &[(&groups, Type::INT4_ARRAY)],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| SealedCredentials {
                group: GroupId(row.get("group_id")),
                key: stored_key(row),
                sealed: row.get("sealed"),
            })
            .collect())
    }

    /// Shares a sealed access token until it expires.
    pub async fn put_access_token(
        &self,
        token_key: &str,
        version: KeyVersion,
        sealed: &[u8],
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.query(
            "select from relay.put_access_token($1, $2, $3, $4)",
            &[
                (&token_key, Type::TEXT),
                (&version.0, Type::INT4),
                (&sealed, Type::BYTEA),
                (&expires_at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
        Ok(())
    }

    /// The shared access token of a client and grant, while it is good.
    pub async fn read_access_token(&self, token_key: &str) -> Result<Option<SealedToken>, StoreError> {
        let rows = self
            .query(
                "select key_version, source, wrapped, sealed, expires_at from relay.read_access_token($1)",
                &[(&token_key, Type::TEXT)],
            )
            .await?;
        Ok(rows.first().map(|row| SealedToken {
            key: stored_key(row),
            sealed: row.get("sealed"),
            expires_at: row.get("expires_at"),
        }))
    }

    /// Forgets the shared access token of a client and grant; whether there was one. Whoever shares it fetches another.
    pub async fn delete_access_token(&self, token_key: &str) -> Result<bool, StoreError> {
        let row = self
            .query_one(
                "select deleted from relay.delete_access_token($1) as deleted",
                &[(&token_key, Type::TEXT)],
            )
            .await?;
        Ok(row.get("deleted"))
    }
}
