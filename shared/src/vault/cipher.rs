//! AES-256-GCM and the one layout of everything sealed: version byte, nonce, ciphertext with its tag.

use std::fmt;

use aes_gcm::{AeadInOut, Aes256Gcm, Key, KeyInit, Nonce, Tag, aead::consts::U12};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::VaultError;

/// Length of a data key, in bytes: AES-256.
pub const DATA_KEY_BYTES: usize = 32;

/// The first byte of everything sealed; another layout gets another number.
const LAYOUT: u8 = 1;

/// Domain separation: nothing else that happens to use the same key shares associated data with this layout.
const LABEL: &[u8] = b"conversion-relay/vault/1";

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 1 + NONCE_BYTES;

/// What sealing adds to the length of a plaintext.
pub(super) const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

/// A 256-bit key that seals secrets, wiped when dropped; `Debug` shows nothing of it.
///
/// Good for 2³² seals, after which random nonces may meet (NIST SP 800-38D, 8.3): 10,000 sites that seal a token
/// every hour take 49 years.
// Boxed, because moving an inline array would leave copies behind that nobody wipes.
pub struct DataKey(Box<[u8; DATA_KEY_BYTES]>);

impl DataKey {
    /// A new key from the operating system.
    ///
    /// # Errors
    /// [`VaultError::Random`].
    pub fn random() -> Result<Self, VaultError> {
        let mut key = Self(Box::new([0; DATA_KEY_BYTES]));
        getrandom::fill(&mut key.0[..]).map_err(VaultError::Random)?;
        Ok(key)
    }

    /// A key with these bytes, or nothing if they are not exactly [`DATA_KEY_BYTES`]. Wiping the original is the
    /// caller's.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != DATA_KEY_BYTES {
            return None;
        }
        let mut key = Self(Box::new([0; DATA_KEY_BYTES]));
        key.0.copy_from_slice(bytes);
        Some(key)
    }

    /// The key itself, for wrapping it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0[..]
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(<&Key<Aes256Gcm>>::from(&*self.0))
    }
}

impl Drop for DataKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for DataKey {}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}

/// One encoding for each list of fields: every field is preceded by its length, so none can run into the next.
pub(super) fn associated_data(fields: &[&[u8]]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for field in [LABEL].iter().chain(fields) {
        encoded.extend_from_slice(&(field.len() as u64).to_be_bytes());
        encoded.extend_from_slice(field);
    }
    encoded
}

/// Seals a plaintext under a fresh random nonce.
///
/// # Errors
/// [`VaultError::Random`].
pub(super) fn encrypt(key: &DataKey, associated: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, VaultError> {
    let mut nonce = Nonce::<U12>::default();
    getrandom::fill(&mut nonce).map_err(VaultError::Random)?;

    // Sized once: a buffer that grew would leave plaintext in the memory that it gave back.
    let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD_BYTES);
    sealed.push(LAYOUT);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plaintext);
    let tag = key
        .cipher()
        .encrypt_inout_detached(&nonce, associated, (&mut sealed[HEADER_BYTES..]).into())
        .expect("secrets and keys are far below the 64 GiB that AES-GCM takes");
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

/// The plaintext, or nothing if the sealed bytes are not what [`encrypt`] made with this key and associated data.
pub(super) fn decrypt(key: &DataKey, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (layout, sealed) = sealed.split_first()?;
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let (ciphertext, tag) = sealed.split_last_chunk::<TAG_BYTES>()?;
    if *layout != LAYOUT {
        return None;
    }

    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    let buffer = plaintext.as_mut_slice().into();
    let opened =
        key.cipher().decrypt_inout_detached(&Nonce::from(*nonce), associated, buffer, &Tag::from(*tag));
    opened.ok().map(|()| plaintext)
}
