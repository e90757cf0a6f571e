//! The data keys that a vault holds open, each for a bounded time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::OnceCell;

use super::{DataKey, KEY_LIFETIME, OPEN_KEYS_MAX, WrappedKey};
use crate::domain::KeyVersion;

/// One data key, opened by whoever needs it first while the others wait for it.
///
/// A version alone does not name a key: two processes can create it at the same time, and one of them loses.
pub(super) struct OpenKey {
    version: KeyVersion,
    wrapped: WrappedKey,
    since: Instant,
    pub(super) key: OnceCell<DataKey>,
}

/// The open keys, oldest first.
pub(super) struct OpenKeys(Mutex<Vec<Arc<OpenKey>>>);

impl OpenKeys {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Keeps a key that is open already.
    pub(super) fn add(&self, version: KeyVersion, wrapped: WrappedKey, key: DataKey, now: Instant) {
        let key = OnceCell::new_with(Some(key));
        self.with_living(now, |keys| keys.push(Arc::new(OpenKey { version, wrapped, since: now, key })));
    }

    /// The place of a key, open or not yet.
    pub(super) fn place(&self, version: KeyVersion, wrapped: &WrappedKey, now: Instant) -> Arc<OpenKey> {
        self.with_living(now, |keys| {
            let known = keys.iter().find(|open| open.version == version && open.wrapped == *wrapped);
            if let Some(known) = known {
                return Arc::clone(known);
            }
            let new = OpenKey { version, wrapped: wrapped.clone(), since: now, key: OnceCell::new() };
            let new = Arc::new(new);
            keys.push(Arc::clone(&new));
            new
        })
    }

    /// Drops what has outlived its time, does the work, and drops the oldest if there are too many.
    fn with_living<T>(&self, now: Instant, work: impl FnOnce(&mut Vec<Arc<OpenKey>>) -> T) -> T {
        // The list is whole after every step of the work, so a panic elsewhere does not spoil it.
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|open| now.saturating_duration_since(open.since) < KEY_LIFETIME);
        let answer = work(&mut keys);
        let excess = keys.len().saturating_sub(OPEN_KEYS_MAX);
        keys.drain(..excess);
        answer
    }
}
