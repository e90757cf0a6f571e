//! Seals and opens credentials and access tokens, under one data key per key version.

mod cipher;
mod error;
mod key_source;
mod kms;
mod local_key;
mod open_keys;
mod seal;

use std::time::{Duration, Instant};

pub use cipher::{DATA_KEY_BYTES, DataKey};
pub use error::VaultError;
pub use key_source::{APP, KeyContext, KeyFuture, KeySource, WrappedKey};
pub use kms::KmsKey;
pub use local_key::{InvalidVaultKey, LocalKey};
pub use seal::{Binding, Purpose, SECRET_BYTES_MAX, open, seal};

use crate::domain::{KeyVersion, Secret};
use open_keys::OpenKeys;

/// How long an unwrapped data key is used before its source is asked again.
///
/// Long enough that asking costs nothing, short enough that a key which is disabled at its source opens nothing
/// an hour later.
pub const KEY_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Unwrapped data keys that one vault holds at once; beyond it the oldest goes.
///
/// A rotation needs two. The rest is room for a re-sealing task that meets older versions.
pub const OPEN_KEYS_MAX: usize = 8;

/// Seals and opens secrets, and asks its [`KeySource`] once per key version and [`KEY_LIFETIME`].
///
/// A data key is wiped at the first use of the vault after its lifetime, or when the vault is dropped: there is
/// no background task, since a frozen Lambda would not run one.
pub struct Vault {
    source: Box<dyn KeySource>,
    environment: String,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    keys: OpenKeys,
}

impl Vault {
    /// A vault for one environment (`production`, `staging`, `development`), with no key open.
    ///
    /// The environment is part of what a data key is wrapped with, so a staging key does not open elsewhere.
    /// The clock is `Instant::now`; only tests pass another.
    pub fn new(
        source: Box<dyn KeySource>,
        environment: impl Into<String>,
        clock: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Self {
        Self { source, environment: environment.into(), clock: Box::new(clock), keys: OpenKeys::new() }
    }

    /// Makes a new data key, keeps it open, and returns it wrapped, for the caller to store.
    ///
    /// Where two processes do this for one version, store the first and use what is stored: the key that lost is
    /// never used, because an open key serves only the wrapped key that it came from.
    ///
    /// # Errors
    /// [`VaultError::KeySource`] and [`VaultError::KeyRefused`] from the source, [`VaultError::Random`].
    pub async fn create_key(&self, version: KeyVersion) -> Result<WrappedKey, VaultError> {
        let (key, wrapped) = self.source.generate_data_key(self.context(version)).await?;
        self.keys.add(version, wrapped.clone(), key, (self.clock)());
        Ok(wrapped)
    }

    /// Opens a data key ahead of its first use, or finds out that it does not open.
    ///
    /// # Errors
    /// [`VaultError::KeyRefused`] where the source does not open this version, [`VaultError::KeySource`] where it
    /// gave no answer. Neither is remembered: the next call asks the source again.
    pub async fn unlock(&self, version: KeyVersion, wrapped: &WrappedKey) -> Result<(), VaultError> {
        self.with_key(version, wrapped, |_| Ok(())).await
    }

    /// Seals a secret for one place and purpose, under the data key of the binding's key version.
    ///
    /// # Errors
    /// As [`Vault::unlock`], and as [`seal()`].
    pub async fn seal(
        &self,
        wrapped: &WrappedKey,
        binding: Binding<'_>,
        secret: &Secret,
    ) -> Result<Vec<u8>, VaultError> {
        self.with_key(binding.key_version, wrapped, |key| seal(key, binding, secret)).await
    }

    /// Opens what [`Vault::seal`] made, if the binding is the one that it was sealed with.
    ///
    /// # Errors
    /// As [`Vault::unlock`], and as [`open()`].
    pub async fn open(
        &self,
        wrapped: &WrappedKey,
        binding: Binding<'_>,
        sealed: &[u8],
    ) -> Result<Secret, VaultError> {
        self.with_key(binding.key_version, wrapped, |key| open(key, binding, sealed)).await
    }

    /// Unwraps the key if it is not open yet. Calls that come meanwhile wait, and ask again only if that failed.
    async fn with_key<T>(
        &self,
        version: KeyVersion,
        wrapped: &WrappedKey,
        work: impl FnOnce(&DataKey) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let place = self.keys.place(version, wrapped, (self.clock)());
        let unwrap = || self.source.unwrap_data_key(wrapped, self.context(version));
        work(place.key.get_or_try_init(unwrap).await?)
    }

    fn context(&self, key_version: KeyVersion) -> KeyContext<'_> {
        KeyContext { environment: &self.environment, key_version }
    }
}
