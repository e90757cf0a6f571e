//! The door over HTTP: the keys with which sites sign, and what is read of a site before its conversions come in.

use jiff::Timestamp;
use tokio_postgres::types::Type;

use super::site::read_defaults;
use super::{SiteDefaults, Store, StoreError, StoredKey};
use crate::domain::{KeyVersion, SiteId};

/// A key with which a site signs, sealed.
#[derive(Debug, Clone)]
pub struct SealedIngestKey {
    /// What opens it.
    pub key: StoredKey,
    /// The key.
    pub sealed: Vec<u8>,
}

/// What is read of a site before its conversions come in.
#[derive(Debug)]
pub struct IngestSite {
    /// The database's clock.
    pub database_time: Timestamp,
    /// What holds where a conversion says nothing itself.
    pub defaults: SiteDefaults,
    /// Its keys; none of an unknown site.
    pub keys: Vec<SealedIngestKey>,
}

/// What may be told of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestKey {
    /// Its id.
    pub key_id: i32,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Store {
    /// Reads a site's keys, its defaults, and the clock. A site that nobody knows has none of the first two.
    pub async fn read_ingest_site(&self, site: SiteId) -> Result<IngestSite, StoreError> {
        let row = self
            .query_one(
                "select database_time, default_country, ad_user_data, ad_personalization, provider_keys, \
                 conversion_actions, key_versions, sources, wrapped, sealed from relay.read_ingest_site($1)",
                &[(&site.0, Type::UUID)],
            )
            .await?;
        let versions: Vec<i32> = row.get("key_versions");
        let sources: Vec<String> = row.get("sources");
        let wrapped: Vec<Vec<u8>> = row.get("wrapped");
        let sealed: Vec<Vec<u8>> = row.get("sealed");
        let keys = versions.into_iter().zip(sources).zip(wrapped).zip(sealed);
        Ok(IngestSite {
            database_time: row.get("database_time"),
            defaults: read_defaults(site, &row)?,
            keys: keys
                .map(|(((version, source), wrapped), sealed)| SealedIngestKey {
                    key: StoredKey { version: KeyVersion(version), source, wrapped },
                    sealed,
                })
                .collect(),
        })
    }

    /// Keeps a sealed key of a site; its id, or nothing where the site has two already.
    pub async fn add_ingest_key(
        &self,
        site: SiteId,
        version: KeyVersion,
        sealed: &[u8],
    ) -> Result<Option<i32>, StoreError> {
        let rows = self
            .query(
                "select key_id from relay.add_ingest_key($1, $2, $3)",
                &[(&site.0, Type::UUID), (&version.0, Type::INT4), (&sealed, Type::BYTEA)],
            )
            .await?;
        Ok(rows.first().map(|row| row.get("key_id")))
    }

    /// Takes a key of a site away; whether there was one.
    pub async fn retire_ingest_key(&self, site: SiteId, key_id: i32) -> Result<bool, StoreError> {
        let row = self
            .query_one(
                "select retired from relay.retire_ingest_key($1, $2)",
                &[(&site.0, Type::UUID), (&key_id, Type::INT4)],
            )
            .await?;
        Ok(row.get("retired"))
    }

    /// A site's keys, the oldest first.
    pub async fn list_ingest_keys(&self, site: SiteId) -> Result<Vec<IngestKey>, StoreError> {
        let rows = self
            .query("select key_id, created_at from relay.list_ingest_keys($1)", &[(&site.0, Type::UUID)])
            .await?;
        Ok(rows
            .iter()
            .map(|row| IngestKey { key_id: row.get("key_id"), created_at: row.get("created_at") })
            .collect())
    }
}
