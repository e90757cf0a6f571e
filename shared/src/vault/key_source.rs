//! Where data keys come from: the seam between the vault and what guards its keys.

use std::future::Future;
use std::pin::Pin;

use super::{DataKey, VaultError};
use crate::domain::KeyVersion;

/// The program's name in every encryption context and every associated data.
///
/// Keys and sealed values outlive the program that made them: renaming this closes them all.
pub const APP: &str = "conversion-relay";

/// A data key as it is stored: sealed by its source, which alone can open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey(pub Vec<u8>);

/// What a data key is wrapped with; it unwraps only with the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyContext<'a> {
    /// The environment that the key belongs to.
    pub environment: &'a str,
    /// The version that the key is.
    pub key_version: KeyVersion,
}

impl KeyContext<'_> {
    /// The context as names and values: exactly what goes into the encryption context of KMS.
    pub fn entries(&self) -> [(&'static str, String); 3] {
        [
            ("app", APP.to_owned()),
            ("environment", self.environment.to_owned()),
            ("key_version", self.key_version.to_string()),
        ]
    }
}

/// What a [`KeySource`] answers, later. Boxed, so that the vault can hold any source.
pub type KeyFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, VaultError>> + Send + 'a>>;

/// Makes and unwraps data keys.
///
/// A source answers within a timeout of its own, and reports [`VaultError::KeyRefused`] where an operator has to
/// act and [`VaultError::KeySource`] where a later call may succeed. It may be dropped while it waits.
pub trait KeySource: Send + Sync {
    /// Makes a data key, and the same key wrapped with this context.
    fn generate_data_key<'a>(&'a self, context: KeyContext<'a>) -> KeyFuture<'a, (DataKey, WrappedKey)>;

    /// Opens a wrapped key that was made with the same context.
    fn unwrap_data_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: KeyContext<'a>,
    ) -> KeyFuture<'a, DataKey>;
}
