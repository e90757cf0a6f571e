//! The key source for development and staging: one key in the environment, in the place of KMS.

use std::future::ready;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::cipher::{associated_data, decrypt, encrypt};
use super::{DATA_KEY_BYTES, DataKey, KeyContext, KeyFuture, KeySource, VaultError, WrappedKey};
use crate::domain::Secret;

const SETTING: &str = "VAULT_KEY";
const REMEDY: &str = "set the VAULT_KEY and APP_ENV that it was made under; \
    where that key is lost, what it sealed is lost too: `relay credentials rotate` makes a new one, to put it anew";

/// Why a text is not a `VAULT_KEY`, as the rest of a sentence that begins with that name. No message holds any part of
/// the text.
#[derive(Debug, thiserror::Error)]
pub enum InvalidVaultKey {
    /// It has a character or an ending that standard base64 does not.
    #[error(
        "is not padded base64 of the standard alphabet (A-Z a-z 0-9 + /), \
        it must be that of exactly {DATA_KEY_BYTES} bytes, such as `openssl rand -base64 32` prints"
    )]
    NotBase64,

    /// It is base64 of another number of bytes.
    #[error(
        "is base64 of {bytes} bytes, \
        it must be that of exactly {DATA_KEY_BYTES} bytes, such as `openssl rand -base64 32` prints"
    )]
    WrongLength {
        /// How many bytes it is base64 of.
        bytes: usize,
    },
}

/// Wraps data keys under `VAULT_KEY`. Whether an environment may use it is decided where configuration is read.
#[derive(Debug)]
pub struct LocalKey(DataKey);

impl LocalKey {
    /// Reads `VAULT_KEY`: padded base64, standard alphabet, of exactly 32 bytes. White space around it is
    /// ignored, because files and secret stores end in a line break.
    ///
    /// # Errors
    /// [`InvalidVaultKey`].
    pub fn new(vault_key: &Secret) -> Result<Self, InvalidVaultKey> {
        // Decoded into a buffer of ours, so that a part decoded before an error is wiped too. The decoder's own
        // error is dropped because it quotes the offending character.
        let mut bytes = Zeroizing::new(Vec::new());
        STANDARD
            .decode_vec(vault_key.expose().trim_ascii(), &mut bytes)
            .map_err(|_| InvalidVaultKey::NotBase64)?;
        DataKey::from_slice(&bytes).map(Self).ok_or(InvalidVaultKey::WrongLength { bytes: bytes.len() })
    }

    fn wrap(&self, context: KeyContext<'_>) -> Result<(DataKey, WrappedKey), VaultError> {
        let key = DataKey::random()?;
        let wrapped = encrypt(&self.0, &context_data(context), key.bytes())?;
        Ok((key, WrappedKey(wrapped)))
    }

    fn unwrap(&self, wrapped: &WrappedKey, context: KeyContext<'_>) -> Result<DataKey, VaultError> {
        decrypt(&self.0, &context_data(context), &wrapped.0)
            .and_then(|bytes| DataKey::from_slice(&bytes))
            .ok_or(VaultError::KeyRefused { setting: SETTING, version: context.key_version, remedy: REMEDY })
    }
}

impl KeySource for LocalKey {
    fn generate_data_key<'a>(&'a self, context: KeyContext<'a>) -> KeyFuture<'a, (DataKey, WrappedKey)> {
        Box::pin(ready(self.wrap(context)))
    }

    fn unwrap_data_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: KeyContext<'a>,
    ) -> KeyFuture<'a, DataKey> {
        Box::pin(ready(self.unwrap(wrapped, context)))
    }
}

fn context_data(context: KeyContext<'_>) -> Vec<u8> {
    let entries = context.entries();
    let mut fields: Vec<&[u8]> = vec![b"data_key"];
    for (name, value) in &entries {
        fields.extend([name.as_bytes(), value.as_bytes()]);
    }
    associated_data(&fields)
}
