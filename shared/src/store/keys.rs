//! Data keys over their lives: whether uploads are held for one, what is still sealed with an older one, and its end.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::credentials::stored_key;
use super::{Store, StoreError, StoredKey};
use crate::domain::{KeyVersion, ProviderKey, SiteId};

/// A data key, and the holds that stand because it did not open.
#[derive(Debug, Clone)]
pub struct VaultStanding {
    /// The key.
    pub key: StoredKey,
    /// Whether new secrets are sealed with it.
    pub is_newest: bool,
    /// Holds that end when it opens.
    pub holds: Vec<i64>,
}

/// What a secret is, as re-sealing tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// A site's credentials at a provider.
    Credentials,
    /// A key with which a site signs.
    IngestKey,
}

impl SecretKind {
    /// Every kind, in the order in which they are re-sealed.
    pub const ALL: [SecretKind; 2] = [SecretKind::Credentials, SecretKind::IngestKey];

    /// The word in calls and checkpoints.
    pub fn as_str(self) -> &'static str {
        match self {
            SecretKind::Credentials => "credentials",
            SecretKind::IngestKey => "ingest_key",
        }
    }
}

/// What is sealed with an older data key than the newest.
#[derive(Debug, Clone)]
pub struct OldSecret {
    /// Its number among those of its kind.
    pub id: i32,
    /// Whose.
    pub site: SiteId,
    /// For which provider; empty of what is for none.
    pub provider_key: String,
    /// What opens it.
    pub key: StoredKey,
    /// The secret.
    pub sealed: Vec<u8>,
}

/// The same secret, sealed with a newer data key.
#[derive(Debug, Clone)]
pub struct Resealed {
    /// Its number among those of its kind.
    pub id: i32,
    /// As it was read.
    pub before: Vec<u8>,
    /// As it is to be.
    pub after: Vec<u8>,
}

impl Store {
    /// The newest data key first, then those for which uploads to these providers are held.
    pub async fn read_vault_standing(
        &self,
        providers: &[ProviderKey],
    ) -> Result<Vec<VaultStanding>, StoreError> {
        let providers: Vec<&str> = providers.iter().map(|provider| provider.as_str()).collect();
        let rows = self
            .query(
                "select key_version, source, wrapped, is_newest, hold_ids from relay.read_vault_standing($1)",
                &[(&providers, Type::TEXT_ARRAY)],
            )
            .await?;
        let standing = rows.iter().map(|row| VaultStanding {
            key: stored_key(row),
            is_newest: row.get("is_newest"),
            holds: row.get("hold_ids"),
        });
        Ok(standing.collect())
    }

    /// Stops every group of a provider whose credentials are sealed with this data key, until it opens; whether that is news,
    /// and how many groups it stopped now.
    pub async fn hold_vault_key(
        &self,
        provider: ProviderKey,
        version: KeyVersion,
    ) -> Result<(bool, i32), StoreError> {
        let row = self
            .query_one(
                "select is_new, sites from relay.hold_vault_key($1, $2)",
                &[(&provider.as_str(), Type::TEXT), (&version.0, Type::INT4)],
            )
            .await?;
        Ok((row.get("is_new"), row.get("sites")))
    }

    /// What is sealed with an older data key than the newest, by number from `after` on, at most `limit`.
    pub async fn read_secrets_to_reseal(
        &self,
        kind: SecretKind,
        after: i32,
        limit: i32,
    ) -> Result<Vec<OldSecret>, StoreError> {
        let rows = self
            .query(
                "select secret_id, site_id, provider_key, key_version, source, wrapped, sealed \
                 from relay.read_secrets_to_reseal($1, $2, $3)",
                &[(&kind.as_str(), Type::TEXT), (&after, Type::INT4), (&limit, Type::INT4)],
            )
            .await?;
        let secrets = rows.iter().map(|row| OldSecret {
            id: row.get("secret_id"),
            site: SiteId(row.get::<_, Uuid>("site_id")),
            provider_key: row.get("provider_key"),
            key: stored_key(row),
            sealed: row.get("sealed"),
        });
        Ok(secrets.collect())
    }

    /// Puts secrets in the place of the same ones under an older data key; how many. One that was put anew since it was read
    /// stays as it is.
    pub async fn reseal_secrets(
        &self,
        kind: SecretKind,
        version: KeyVersion,
        resealed: &[Resealed],
    ) -> Result<u64, StoreError> {
        let ids: Vec<i32> = resealed.iter().map(|secret| secret.id).collect();
        let before: Vec<&[u8]> = resealed.iter().map(|secret| secret.before.as_slice()).collect();
        let after: Vec<&[u8]> = resealed.iter().map(|secret| secret.after.as_slice()).collect();
        let row = self
            .query_one(
                "select resealed from relay.reseal_secrets($1, $2, $3, $4, $5) as resealed",
                &[
                    (&kind.as_str(), Type::TEXT),
                    (&ids, Type::INT4_ARRAY),
                    (&before, Type::BYTEA_ARRAY),
                    (&version.0, Type::INT4),
                    (&after, Type::BYTEA_ARRAY),
                ],
            )
            .await?;
        Ok(u64::try_from(row.get::<_, i32>("resealed")).unwrap_or(0))
    }

    /// Deletes shared access tokens under older data keys than the newest; how many.
    pub async fn drop_old_access_tokens(&self) -> Result<u64, StoreError> {
        let row =
            self.query_one("select dropped from relay.drop_old_access_tokens() as dropped", &[]).await?;
        Ok(u64::try_from(row.get::<_, i32>("dropped")).unwrap_or(0))
    }

    /// Deletes data keys that nothing is sealed with any more, a day after another took their place; how many.
    pub async fn prune_vault_keys(&self) -> Result<u64, StoreError> {
        let row = self.query_one("select pruned from relay.prune_vault_keys() as pruned", &[]).await?;
        Ok(u64::try_from(row.get::<_, i32>("pruned")).unwrap_or(0))
    }
}
