//! The keys with which sites sign: made, retired, and known to this process for a moment.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use tracing::error;
use zeroize::Zeroizing;

use super::Signature;
use crate::delivery::{Access, AccessError};
use crate::domain::{KeyVersion, Secret, SiteId};
use crate::store::{IngestKey, IngestSite, SiteDefaults};
use crate::vault::{Binding, Purpose, VaultError};

/// How long a process goes by what it read of a site: so late does it hear of a retired key, of new credentials and of new
/// defaults.
pub(super) const LIFETIME: Duration = Duration::from_secs(10);

/// What does not open by what is known is looked up again after so long: a key that was made a moment ago is good at once, and
/// whoever guesses costs one read a second.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Sites that are kept, and as many that nobody knows. Beyond, what is stale goes, else all: each is a read away.
const SITES_MAX: usize = 10_000;

/// Our two clocks may drift so far apart. Further, and the process was asleep, or somebody set the host's clock.
const DRIFT_MAX: Duration = Duration::from_secs(1);

/// How a key begins, so that people and scanners know it for what it is.
const KEY_PREFIX: &str = "relay_ingest_";

/// A site as this process knows it.
pub struct KnownSite {
    keys: Vec<Secret>,
    defaults: SiteDefaults,
    database_time: Timestamp,
    read_at: Instant,
    read_at_by_wall: SystemTime,
}

/// The sites that this process knows.
#[derive(Default)]
pub(in crate::delivery) struct KnownSites(Mutex<Shelves>);

/// Apart, so that a flood of made-up sites drives out none that exists.
#[derive(Default)]
struct Shelves {
    with_keys: HashMap<SiteId, Arc<KnownSite>>,
    without: HashMap<SiteId, Arc<KnownSite>>,
    /// When what is stale was last dropped, keys wiped.
    swept_at: Option<Instant>,
}

impl KnownSite {
    /// Which one, and what holds where its conversions say nothing themselves.
    pub fn defaults(&self) -> &SiteDefaults {
        &self.defaults
    }

    /// What time it is, by the database.
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.read_at.elapsed()).unwrap_or(SignedDuration::MAX);
        self.database_time.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// Whether the site signed this body, a moment ago.
    fn signed(&self, signature: &Signature<'_>, body: &[u8]) -> bool {
        /// Compared with where there is no key, so that a site without any takes as long as one with.
        static NOBODY: LazyLock<Secret> = LazyLock::new(|| Secret::new(KEY_PREFIX.to_owned()));
        if self.keys.is_empty() {
            signature.is_made_with(&NOBODY, body);
            return false;
        }
        let made = self.keys.iter().fold(false, |made, key| made | signature.is_made_with(key, body));
        made && signature.is_timely(self.now())
    }

    fn is_younger_than(&self, age: Duration) -> bool {
        let elapsed = self.read_at.elapsed();
        // A frozen process can miss the time on one of its clocks; a wall clock that was set misleads the other.
        let by_wall = self.read_at_by_wall.elapsed();
        elapsed < age && by_wall.is_ok_and(|by_wall| by_wall.abs_diff(elapsed) < DRIFT_MAX)
    }
}

impl KnownSites {
    fn find(&self, site: SiteId, age: Duration) -> Option<Arc<KnownSite>> {
        let shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shelves.with_keys.get(&site).or_else(|| shelves.without.get(&site))?;
        Some(Arc::clone(known)).filter(|known| known.is_younger_than(age))
    }

    fn keep(&self, site: SiteId, known: &Arc<KnownSite>) {
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Shelves { with_keys, without, swept_at } = &mut *shelves;
        let is_full = if known.keys.is_empty() { without.len() } else { with_keys.len() } >= SITES_MAX;
        // Keys that nobody uses any more are not kept in memory, and a look at all of them is rare.
        if is_full || swept_at.is_none_or(|swept_at| swept_at.elapsed() >= LIFETIME) {
            with_keys.retain(|_, known| known.is_younger_than(LIFETIME));
            without.retain(|_, known| known.is_younger_than(LIFETIME));
            *swept_at = Some(Instant::now());
        }
        let (shelf, other) = if known.keys.is_empty() { (without, with_keys) } else { (with_keys, without) };
        other.remove(&site);
        if shelf.len() >= SITES_MAX {
            shelf.clear();
        }
        shelf.insert(site, Arc::clone(known));
    }
}

impl Access {
    /// The site, where it signed this body a moment ago; nothing for whoever did not, without saying what was wrong.
    ///
    /// # Errors
    /// The database's, or the vault's where it opens no key at all.
    pub async fn authenticate_site(
        &self,
        site: SiteId,
        signature: &Signature<'_>,
        body: &[u8],
    ) -> Result<Option<Arc<KnownSite>>, AccessError> {
        for age in [LIFETIME, SECOND_LOOK] {
            let known = self.known_site(site, age).await?;
            if known.signed(signature, body) {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    /// A site as it was at most [`LIFETIME`] ago.
    ///
    /// # Errors
    /// As [`Access::authenticate_site`].
    pub async fn ingest_site(&self, site: SiteId) -> Result<Arc<KnownSite>, AccessError> {
        self.known_site(site, LIFETIME).await
    }

    async fn known_site(&self, site: SiteId, age: Duration) -> Result<Arc<KnownSite>, AccessError> {
        if let Some(known) = self.known_sites().find(site, age) {
            return Ok(known);
        }
        let IngestSite { database_time, defaults, keys: sealed } =
            self.store().read_ingest_site(site).await?;
        let (read_at, read_at_by_wall) = (Instant::now(), SystemTime::now());
        let mut keys = Vec::with_capacity(sealed.len());
        let mut refused = None;
        for sealed in sealed {
            let binding = ingest_key_binding(site, sealed.key.version);
            match self.open_sealed(&sealed.key, binding, &sealed.sealed).await {
                Ok(key) => keys.push(key),
                // This one is none of the site's: another may be.
                Err(VaultError::DoesNotOpen) => error!(site.id = %site, "a sealed ingest key does not open"),
                // Another may be sealed with another.
                Err(error @ VaultError::KeyRefused { .. }) => refused = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(error) = refused.filter(|_| keys.is_empty()) {
            return Err(error.into());
        }
        let known = Arc::new(KnownSite { keys, defaults, database_time, read_at, read_at_by_wall });
        self.known_sites().keep(site, &known);
        Ok(known)
    }

    /// Makes a key with which a site signs, seals and stores it: its id and the key, which nobody can read again. Nothing
    /// where the site has two already.
    ///
    /// # Errors
    /// The vault's or the database's.
    pub async fn add_ingest_key(&self, site: SiteId) -> Result<Option<(i32, Secret)>, AccessError> {
        let key = new_key()?;
        let sealed_with = self.newest_key().await?;
        let binding = ingest_key_binding(site, sealed_with.version);
        let sealed = self.vault().seal(&self.wrapped(&sealed_with)?, binding, &key).await?;
        let key_id = self.store().add_ingest_key(site, sealed_with.version, &sealed).await?;
        Ok(key_id.map(|key_id| (key_id, key)))
    }

    /// Takes a key of a site away, which processes hear of within [`LIFETIME`]; whether there was one.
    ///
    /// # Errors
    /// The database's.
    pub async fn retire_ingest_key(&self, site: SiteId, key_id: i32) -> Result<bool, AccessError> {
        Ok(self.store().retire_ingest_key(site, key_id).await?)
    }

    /// What may be told of a site's keys, the oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_ingest_keys(&self, site: SiteId) -> Result<Vec<IngestKey>, AccessError> {
        Ok(self.store().list_ingest_keys(site).await?)
    }
}

/// Where such a key belongs.
pub(in crate::delivery) fn ingest_key_binding(site: SiteId, key_version: KeyVersion) -> Binding<'static> {
    Binding { purpose: Purpose::IngestKey, site: site.0, provider: "", key_version }
}

/// 32 random bytes as text, which is the key as it stands.
fn new_key() -> Result<Secret, VaultError> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    getrandom::fill(&mut bytes[..]).map_err(VaultError::Random)?;
    // Sized once: a text that grew would leave copies behind.
    let mut text = String::with_capacity(KEY_PREFIX.len() + 44);
    text.push_str(KEY_PREFIX);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_string(&bytes[..], &mut text);
    Ok(Secret::new(text))
}
