//! What can go wrong in the vault, one variant for each thing that a caller does about it.

use super::SECRET_BYTES_MAX;
use crate::domain::KeyVersion;

/// Why something was not sealed or not opened. No message holds any part of a secret or of a key.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The value was changed, or sealed for another site, provider, purpose or key version, or in a layout that
    /// this program does not know. Asking again does not help; new credentials do.
    #[error("the sealed value was changed, or was sealed for another site, provider, purpose or key version")]
    DoesNotOpen,

    /// The secret is longer than [`SECRET_BYTES_MAX`].
    #[error("the secret has {bytes} bytes, at most {SECRET_BYTES_MAX} can be sealed")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },

    /// The key source answered that it does not open this version: nothing under it opens until an operator acts.
    #[error("{setting} does not open key version {version}: {remedy}")]
    KeyRefused {
        /// The setting that names the key: `VAULT_KEY`, `KMS_KEY_ID`.
        setting: &'static str,
        /// The version that stays closed.
        version: KeyVersion,
        /// What the operator does about it.
        remedy: &'static str,
    },

    /// The key source gave no answer; a later call may get one.
    #[error("the key source gave no answer")]
    KeySource(#[source] Box<dyn std::error::Error + Send + Sync>),

    /// The operating system gave no random bytes, so nothing can be sealed safely.
    #[error("the operating system gave no random bytes")]
    Random(#[source] getrandom::Error),
}
