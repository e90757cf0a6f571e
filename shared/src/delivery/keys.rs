//! Data keys over their lives: looked at before uploads begin, replaced by newer ones, and what older ones sealed is re-sealed.

use serde::Serialize;
use tracing::{info, warn};

use super::access::{Access, AccessError, FIRST_VERSION, credentials_binding};
use super::ingest::ingest_key_binding;
use crate::domain::{KeyVersion, ProviderKey, Secret, SiteId};
use crate::store::{HoldFilter, OldSecret, Resealed, SecretKind, Store, StoreError, StoredKey};
use crate::vault::{Binding, VaultError, WrappedKey};

/// How often a new key is made where another process makes one at the same time.
const ROTATE_TRIES: i32 = 5;

/// A new data key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rotated {
    /// New secrets are sealed with it.
    pub key_version: KeyVersion,
}

/// What became of secrets under older data keys.
#[derive(Debug, Default)]
pub struct Resealing {
    /// How many are sealed with the newest key now.
    pub resealed: u64,
    /// How many somebody put anew meanwhile.
    pub passed_over: u64,
    /// What does not open, so that it has to be put anew: whose it is, and why.
    pub closed: Vec<(SiteId, String)>,
}

impl Access {
    /// Makes sure that the newest data key opens, before anything is claimed. Where KMS refuses it, or where it refused an older
    /// one, uploads to these providers are held with the reason for as long as it does; what opens again lets them go on.
    ///
    /// # Errors
    /// The database's; [`VaultError::KeySource`] where there is no answer; [`VaultError::KeyRefused`] of a local key: whoever has
    /// the wrong one must touch nothing.
    pub async fn check_keys(&self, providers: &[ProviderKey]) -> Result<Option<VaultError>, AccessError> {
        let mut refused = None;
        for standing in self.store().read_vault_standing(providers).await? {
            match self.unlock(&standing.key).await {
                Ok(()) => self.let_go(&standing.holds).await?,
                Err(error @ VaultError::KeyRefused { .. }) if standing.is_newest => {
                    if !(self.key_source() == "kms" && standing.key.source == "kms") {
                        return Err(error.into());
                    }
                    self.hold_key(self.store(), providers, standing.key.version, &error).await?;
                    refused = Some(error);
                }
                Err(error) if standing.is_newest => return Err(error.into()),
                // Held already, and the reason stands.
                Err(_) => {}
            }
        }
        Ok(refused)
    }

    /// Puts uploads on hold whose credentials are sealed with a data key that does not open.
    pub(super) async fn hold_key(
        &self,
        store: &Store,
        providers: &[ProviderKey],
        version: KeyVersion,
        why: &VaultError,
    ) -> Result<(), StoreError> {
        for provider in providers {
            let (is_new, sites) = store.hold_vault_key(*provider, version).await?;
            if is_new {
                warn!(
                    provider = %provider, code = "KEY_REFUSED", event = "hold_opened", error = %why,
                    "conversions of {sites} sites wait for a data key to open"
                );
            }
        }
        Ok(())
    }

    async fn let_go(&self, holds: &[i64]) -> Result<(), StoreError> {
        for hold in holds {
            let filter = HoldFilter { hold_id: Some(*hold), ..HoldFilter::default() };
            // It parks nothing, so that one step is all there is.
            let released = self.store().release_some_holds(&filter, 1).await?;
            info!(sites = released.sites, event = "hold_lifted", "a data key opens again: its sites go on");
        }
        Ok(())
    }

    /// Makes a new data key, which new secrets are sealed with from now on; also where no older one opens any more.
    ///
    /// # Errors
    /// The vault's or the database's.
    pub async fn rotate_key(&self) -> Result<Rotated, AccessError> {
        let mut tries = 0;
        loop {
            let newest = self.store().read_newest_vault_key().await?;
            let key_version =
                newest.map_or(FIRST_VERSION, |newest| KeyVersion(newest.version.0.saturating_add(1)));
            let wrapped = self.vault().create_key(key_version).await?;
            let key =
                StoredKey { version: key_version, source: self.key_source().to_owned(), wrapped: wrapped.0 };
            tries += 1;
            // Where another process was first, its key is not ours to tell of.
            if self.store().add_vault_key(&key).await? == key {
                return Ok(Rotated { key_version });
            }
            if tries >= ROTATE_TRIES {
                return Err(StoreError::Unexpected("another key of each version that was made").into());
            }
        }
    }

    /// Seals these secrets with the newest data key, and puts them in the place of what was read.
    ///
    /// # Errors
    /// The database's; the vault's of the newest key. What does not open is told of, and stays.
    pub async fn reseal(
        &self,
        store: &Store,
        kind: SecretKind,
        old: Vec<OldSecret>,
    ) -> Result<Resealing, AccessError> {
        let newest = self.newest_key().await?;
        let wrapped = self.wrapped(&newest)?;
        let mut done = Resealing::default();
        let mut resealed: Vec<Resealed> = Vec::with_capacity(old.len());
        // A version that its source refused is not asked for again, site by site.
        let mut refused: Vec<(KeyVersion, String)> = Vec::new();
        for secret in old {
            let version = secret.key.version;
            if let Some((_, why)) = refused.iter().find(|(refused, _)| *refused == version) {
                done.closed.push((secret.site, why.clone()));
                continue;
            }
            let opened = match binding(kind, &secret, version) {
                Some(binding) => self.open_sealed(&secret.key, binding, &secret.sealed).await,
                None => Err(VaultError::DoesNotOpen),
            };
            let text: Secret = match opened {
                Ok(text) => text,
                Err(error @ (VaultError::DoesNotOpen | VaultError::TooLarge { .. })) => {
                    done.closed.push((secret.site, error.to_string()));
                    continue;
                }
                Err(error @ VaultError::KeyRefused { .. }) => {
                    refused.push((version, error.to_string()));
                    done.closed.push((secret.site, error.to_string()));
                    continue;
                }
                Err(error @ (VaultError::KeySource(_) | VaultError::Random(_))) => return Err(error.into()),
            };
            let Some(binding) = binding(kind, &secret, newest.version) else { continue };
            let after = self.vault().seal(&wrapped, binding, &text).await?;
            resealed.push(Resealed { id: secret.id, before: secret.sealed, after });
        }
        done.resealed = store.reseal_secrets(kind, newest.version, &resealed).await?;
        done.passed_over = (resealed.len() as u64).saturating_sub(done.resealed);
        Ok(done)
    }

    async fn unlock(&self, key: &StoredKey) -> Result<(), VaultError> {
        self.vault().unlock(key.version, &self.wrapped(key)?).await
    }

    /// Opens what a stored key sealed.
    pub(super) async fn open_sealed(
        &self,
        key: &StoredKey,
        binding: Binding<'_>,
        sealed: &[u8],
    ) -> Result<Secret, VaultError> {
        self.vault().open(&self.wrapped(key)?, binding, sealed).await
    }

    /// A stored key for its source; one of another source is refused by name, for it cannot open.
    pub(super) fn wrapped(&self, key: &StoredKey) -> Result<WrappedKey, VaultError> {
        let (setting, remedy) = match (key.source.as_str(), self.key_source()) {
            ("kms", "local") => (
                "VAULT_KEY",
                "it is a key of KMS: set KMS_KEY_ID in the place of VAULT_KEY, or put the credentials anew after \
                 `relay credentials rotate`",
            ),
            ("local", "kms") => (
                "KMS_KEY_ID",
                "it was made under a VAULT_KEY: put the credentials anew after `relay credentials rotate`",
            ),
            _ => return Ok(WrappedKey(key.wrapped.clone())),
        };
        Err(VaultError::KeyRefused { setting, version: key.version, remedy })
    }
}

fn binding(kind: SecretKind, secret: &OldSecret, version: KeyVersion) -> Option<Binding<'static>> {
    Some(match kind {
        SecretKind::Credentials => {
            credentials_binding(secret.site, secret.provider_key.parse::<ProviderKey>().ok()?, version)
        }
        SecretKind::IngestKey => ingest_key_binding(secret.site, version),
    })
}
