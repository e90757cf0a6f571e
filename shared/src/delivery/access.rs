//! Access to a site's account: credentials opened for the moment of use, tokens kept until they expire.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::Mutex as AsyncMutex;
use tracing::warn;
use uuid::Uuid;

use super::ingest::KnownSites;
use crate::domain::{FieldError, KeyVersion, ProviderKey, Secret, SiteId};
use crate::providers::{AccessToken, Account, AccountOptions, Provider, Registry, TokenError};
use crate::store::{AccountFacts, SealedCredentials, Store, StoreError, StoredKey};
use crate::vault::{Binding, Purpose, Vault, VaultError};

/// Token places that one process keeps; beyond it all are dropped, and each is a read away.
const TOKENS_MAX: usize = 10_000;

/// The first data key's version.
pub(super) const FIRST_VERSION: KeyVersion = KeyVersion(1);

/// Opens credentials and keeps access tokens.
pub struct Access {
    store: Store,
    vault: Vault,
    registry: Registry,
    key_source: &'static str,
    tokens: Mutex<HashMap<String, TokenPlace>>,
    known_sites: KnownSites,
}

/// One token, behind a lock that is held while it is fetched: those who come meanwhile wait for the same one.
type TokenPlace = Arc<AsyncMutex<LastToken>>;

/// What the last fetch of a token gave.
#[derive(Default)]
struct LastToken {
    token: Option<Arc<AccessToken>>,
    /// When this process fetched it; `None` of one that another process shared.
    fetched: Option<Instant>,
    /// And when it gave none. Those who waited for it take it as their own: ten that asked a dead endpoint one after the
    /// other would hold their claims for longer than their leases.
    failure: Option<(Instant, TokenError)>,
}

/// Why there is no access.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The credentials are not what the provider takes; the fields say why.
    #[error("the credentials are wrong: {}", list(.0))]
    Credentials(Vec<FieldError>),
    /// The vault did not open or seal them.
    #[error("the vault did not open")]
    Vault(#[from] VaultError),
    /// The database did not answer.
    #[error("the database did not answer")]
    Store(#[from] StoreError),
    /// This program has no adapter for the provider.
    #[error("this program does not know the provider {0}")]
    UnknownProvider(ProviderKey),
}

fn list(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Access {
    /// `key_source` names what wraps data keys (`kms` or `local`), as it is kept beside each key.
    pub fn new(store: Store, vault: Vault, registry: Registry, key_source: &'static str) -> Self {
        let (tokens, known_sites) = (Mutex::default(), KnownSites::default());
        Self { store, vault, registry, key_source, tokens, known_sites }
    }

    /// The database that they are kept in.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// What opens and seals.
    pub(super) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// What wraps data keys: `kms`, `local` or `none`.
    pub(super) fn key_source(&self) -> &'static str {
        self.key_source
    }

    /// The sites that sign what they send, as they were seconds ago.
    pub(super) fn known_sites(&self) -> &KnownSites {
        &self.known_sites
    }

    /// The platforms of this process.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Makes sure that the newest data key opens, before anything is claimed: a wrong key must touch nothing.
    pub async fn check_key(&self) -> Result<(), AccessError> {
        if let Some(key) = self.store.read_newest_vault_key().await? {
            self.vault.unlock(key.version, &self.wrapped(&key)?).await?;
        }
        Ok(())
    }

    /// Checks a site's credentials, seals them with the newest data key, stores them, and lifts the site's holds. A quota key
    /// that nobody had yet gets what its platform allows. Answers the version of that key.
    pub async fn put_credentials(
        &self,
        site: SiteId,
        provider: ProviderKey,
        credentials: &Secret,
    ) -> Result<KeyVersion, AccessError> {
        let adapter = self.adapter(provider)?;
        let account = adapter
            .open_account(credentials, &AccountOptions::default())
            .map_err(AccessError::Credentials)?;
        let key = self.newest_key().await?;
        let binding = credentials_binding(site, provider, key.version);
        let sealed = self.vault.seal(&self.wrapped(&key)?, binding, credentials).await?;
        let facts = AccountFacts {
            quota_key: account.quota_key(),
            client_key: account.client_key(),
            transport: account.transport(),
            conversion_action: &account.conversion_action(),
            per_minute: account.budget().per_minute,
            per_day: account.budget().per_day,
        };
        self.store.keep_provider_account(site, provider, key.version, &sealed, &facts).await?;
        Ok(key.version)
    }

    /// Opens a site's account from its sealed credentials; its platform's codes mean what `overrides` say.
    pub async fn open_account(
        &self,
        site: SiteId,
        provider: ProviderKey,
        sealed: &SealedCredentials,
        options: &AccountOptions,
    ) -> Result<Box<dyn Account>, AccessError> {
        let adapter = self.adapter(provider)?;
        let binding = credentials_binding(site, provider, sealed.key.version);
        let credentials = self.open_sealed(&sealed.key, binding, &sealed.sealed).await?;
        adapter.open_account(&credentials, options).map_err(AccessError::Credentials)
    }

    /// Forgets the shared access token of a site's account, so that none outlives its credentials; whether there was one. A
    /// site that shares the grant has its token fetched again.
    pub async fn forget_token(
        &self,
        site: SiteId,
        provider: ProviderKey,
        sealed: &SealedCredentials,
    ) -> Result<bool, AccessError> {
        let account = self.open_account(site, provider, sealed, &AccountOptions::default()).await?;
        Ok(self.store.delete_access_token(account.token_key()).await?)
    }

    /// The account's access token: this process's, else the shared one, else a new one, which is then shared.
    /// A token equal to `refused` is passed over.
    pub async fn token(
        &self,
        provider: ProviderKey,
        account: &dyn Account,
        refused: Option<&AccessToken>,
    ) -> Result<Arc<AccessToken>, TokenError> {
        let now = Timestamp::now();
        let good = |token: &AccessToken| {
            token.expires_at > now
                && refused.is_none_or(|refused| !token.secret.matches(refused.secret.expose()))
        };
        let asked = Instant::now();
        let place = self.token_place(account.token_key());
        let mut place = place.lock().await;
        if let Some(token) = place.token.as_ref().filter(|token| good(token)) {
            return Ok(Arc::clone(token));
        }
        if let Some((_, failure)) = place.failure.as_ref().filter(|(failed, _)| *failed >= asked) {
            return Err(failure.clone());
        }
        // Sharing saves requests; where it fails, the token endpoint is still there.
        let shared = self.shared_token(provider, account.token_key()).await.unwrap_or_else(|error| {
            warn!(provider = %provider, error = format!("{error:#}"), "the shared access token could not be read");
            None
        });
        let Some(token) = shared.filter(good) else {
            return self.fetch_token(provider, account, &mut place).await;
        };
        let token = Arc::new(token);
        place.token = Some(Arc::clone(&token));
        place.fetched = None;
        Ok(token)
    }

    /// A token that this process fetched at `since` or later, else one that it fetches now: one that is kept is good for an
    /// hour after its grant was revoked.
    pub async fn fresh_token(
        &self,
        provider: ProviderKey,
        account: &dyn Account,
        since: Instant,
    ) -> Result<Arc<AccessToken>, TokenError> {
        let place = self.token_place(account.token_key());
        let mut place = place.lock().await;
        if let Some((_, failure)) = place.failure.as_ref().filter(|(failed, _)| *failed >= since) {
            return Err(failure.clone());
        }
        let fetched = place.fetched.is_some_and(|fetched| fetched >= since);
        if let Some(token) =
            place.token.as_ref().filter(|token| fetched && token.expires_at > Timestamp::now())
        {
            return Ok(Arc::clone(token));
        }
        self.fetch_token(provider, account, &mut place).await
    }

    async fn fetch_token(
        &self,
        provider: ProviderKey,
        account: &dyn Account,
        place: &mut LastToken,
    ) -> Result<Arc<AccessToken>, TokenError> {
        let token = match account.refresh_token().await {
            Ok(token) => token,
            Err(failure) => {
                place.failure = Some((Instant::now(), failure.clone()));
                return Err(failure);
            }
        };
        if let Err(error) = self.share_token(provider, account.token_key(), &token).await {
            warn!(provider = %provider, error = format!("{error:#}"), "the access token could not be shared");
        }
        let token = Arc::new(token);
        *place = LastToken { token: Some(Arc::clone(&token)), fetched: Some(Instant::now()), failure: None };
        Ok(token)
    }

    fn adapter(&self, provider: ProviderKey) -> Result<&Arc<dyn Provider>, AccessError> {
        self.registry.get(provider).ok_or(AccessError::UnknownProvider(provider))
    }

    fn token_place(&self, token_key: &str) -> TokenPlace {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_MAX {
            tokens.clear();
        }
        Arc::clone(tokens.entry(token_key.to_owned()).or_default())
    }

    /// The newest data key; the first one is made where there is none.
    pub(super) async fn newest_key(&self) -> Result<StoredKey, AccessError> {
        if let Some(key) = self.store.read_newest_vault_key().await? {
            return Ok(key);
        }
        let wrapped = self.vault.create_key(FIRST_VERSION).await?;
        let key =
            StoredKey { version: FIRST_VERSION, source: self.key_source.to_owned(), wrapped: wrapped.0 };
        Ok(self.store.add_vault_key(&key).await?)
    }

    async fn shared_token(
        &self,
        provider: ProviderKey,
        token_key: &str,
    ) -> Result<Option<AccessToken>, AccessError> {
        let Some(sealed) = self.store.read_access_token(token_key).await? else {
            return Ok(None);
        };
        let binding = token_binding(token_key, provider, sealed.key.version);
        let secret = self.open_sealed(&sealed.key, binding, &sealed.sealed).await?;
        Ok(Some(AccessToken { secret, expires_at: sealed.expires_at, scopes: None }))
    }

    async fn share_token(
        &self,
        provider: ProviderKey,
        token_key: &str,
        token: &AccessToken,
    ) -> Result<(), AccessError> {
        let key = self.newest_key().await?;
        let binding = token_binding(token_key, provider, key.version);
        let sealed = self.vault.seal(&self.wrapped(&key)?, binding, &token.secret).await?;
        Ok(self.store.put_access_token(token_key, key.version, &sealed, token.expires_at).await?)
    }
}

pub(super) fn credentials_binding(
    site: SiteId,
    provider: ProviderKey,
    key_version: KeyVersion,
) -> Binding<'static> {
    Binding { purpose: Purpose::Credentials, site: site.0, provider: provider.as_str(), key_version }
}

/// A token belongs to a grant and not to a site: the place of the site is taken by the grant's key.
fn token_binding(token_key: &str, provider: ProviderKey, key_version: KeyVersion) -> Binding<'static> {
    let mut place = [0; 16];
    for (byte, text) in place.iter_mut().zip(token_key.as_bytes().chunks(2)) {
        *byte =
            std::str::from_utf8(text).ok().and_then(|text| u8::from_str_radix(text, 16).ok()).unwrap_or(0);
    }
    Binding {
        purpose: Purpose::AccessToken,
        site: Uuid::from_bytes(place),
        provider: provider.as_str(),
        key_version,
    }
}
