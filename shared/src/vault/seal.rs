//! Seals a secret for one place and purpose, so that it opens nowhere else.

use uuid::Uuid;
use zeroize::Zeroizing;

use super::cipher::{OVERHEAD_BYTES, associated_data, decrypt, encrypt};
use super::{APP, DataKey, VaultError};
use crate::domain::{KeyVersion, Secret};

/// Longest secret that is sealed, in bytes. Credentials take 1 to 4 KiB; more is a wrong file.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;

/// What a sealed value is for. A value sealed for one purpose does not open for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A site's credentials at a provider.
    Credentials,
    /// A short-lived token that was got with them, shared between processes.
    AccessToken,
    /// The key with which a site signs what it sends to us.
    IngestKey,
}

/// Where a sealed value belongs. All of it is authenticated and none of it is stored with the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding<'a> {
    /// What the value is for.
    pub purpose: Purpose,
    /// The site that it belongs to.
    pub site: Uuid,
    /// The key of the provider that it is for; empty where it is for none.
    pub provider: &'a str,
    /// The version of the data key that seals it.
    pub key_version: KeyVersion,
}

impl Binding<'_> {
    fn associated_data(&self) -> Vec<u8> {
        let purpose: &[u8] = match self.purpose {
            Purpose::Credentials => b"credentials",
            Purpose::AccessToken => b"access_token",
            Purpose::IngestKey => b"ingest_key",
        };
        let version = self.key_version.0.to_be_bytes();
        associated_data(&[purpose, APP.as_bytes(), self.site.as_bytes(), self.provider.as_bytes(), &version])
    }
}

/// Seals a secret of at most [`SECRET_BYTES_MAX`] bytes. The result is 29 bytes longer, and new each time.
///
/// # Errors
/// [`VaultError::TooLarge`], [`VaultError::Random`].
pub fn seal(key: &DataKey, binding: Binding<'_>, secret: &Secret) -> Result<Vec<u8>, VaultError> {
    let bytes = secret.expose().len();
    if bytes > SECRET_BYTES_MAX {
        return Err(VaultError::TooLarge { bytes });
    }
    encrypt(key, &binding.associated_data(), secret.expose().as_bytes())
}

/// Opens what [`seal`] made with the same key and binding.
///
/// # Errors
/// [`VaultError::DoesNotOpen`] for anything else, without saying which part differs: it cannot be known.
pub fn open(key: &DataKey, binding: Binding<'_>, sealed: &[u8]) -> Result<Secret, VaultError> {
    // Refused before it is copied: whoever can write the row chooses its length.
    if sealed.len() > SECRET_BYTES_MAX + OVERHEAD_BYTES {
        return Err(VaultError::DoesNotOpen);
    }
    let mut plaintext = decrypt(key, &binding.associated_data(), sealed).ok_or(VaultError::DoesNotOpen)?;
    match String::from_utf8(std::mem::take(&mut *plaintext)) {
        Ok(text) => Ok(Secret::from(text)),
        Err(not_text) => {
            drop(Zeroizing::new(not_text.into_bytes()));
            Err(VaultError::DoesNotOpen)
        }
    }
}
