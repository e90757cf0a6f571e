//! The key source for production: AWS KMS wraps and unwraps data keys, and never hands out the key that does it.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use zeroize::Zeroizing;

use super::{DataKey, KeyContext, KeyFuture, KeySource, VaultError, WrappedKey};

const SETTING: &str = "KMS_KEY_ID";

/// One answer of KMS, which takes milliseconds within a region.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// All tries together: a run has a deadline, and its next one asks again.
const TIMEOUT: Duration = Duration::from_secs(6);

/// Tries of one call, where KMS throttles or does not answer.
const TRIES: u32 = 3;

/// The wait before the second try, at most; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Wraps data keys by AWS KMS, under one symmetric key.
pub struct KmsKey {
    key_id: String,
    config: SdkConfig,
    client: OnceLock<Client>,
}

impl KmsKey {
    /// `key_id` is what `KMS_KEY_ID` takes: an id, an ARN or an alias. Nothing is asked here.
    pub fn new(key_id: String, config: SdkConfig) -> Self {
        Self { key_id, config, client: OnceLock::new() }
    }

    /// Made when the first key is needed: a process that opens no credentials never asks for its own.
    fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            let timeouts = TimeoutConfig::builder()
                .operation_timeout(TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .build();
            let retries = RetryConfig::standard().with_max_attempts(TRIES).with_initial_backoff(FIRST_WAIT);
            let config = aws_sdk_kms::config::Builder::from(&self.config)
                .timeout_config(timeouts)
                .retry_config(retries)
                .build();
            Client::from_conf(config)
        })
    }

    async fn generate(&self, context: KeyContext<'_>) -> Result<(DataKey, WrappedKey), VaultError> {
        let made = self
            .client()
            .generate_data_key()
            .key_id(&self.key_id)
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(Some(encryption_context(context)))
            .send()
            .await
            .map_err(|error| sort(error, context))?;
        let wrapped = made.ciphertext_blob.ok_or_else(|| unexpected("KMS answered no wrapped key"))?;
        Ok((data_key(made.plaintext)?, WrappedKey(wrapped.into_inner())))
    }

    async fn decrypt(&self, wrapped: &WrappedKey, context: KeyContext<'_>) -> Result<DataKey, VaultError> {
        let opened = self
            .client()
            .decrypt()
            // Named, so that a key that somebody else wrapped into our table does not open.
            .key_id(&self.key_id)
            .ciphertext_blob(Blob::new(wrapped.0.clone()))
            .set_encryption_context(Some(encryption_context(context)))
            .send()
            .await
            .map_err(|error| sort(error, context))?;
        data_key(opened.plaintext)
    }
}

impl KeySource for KmsKey {
    fn generate_data_key<'a>(&'a self, context: KeyContext<'a>) -> KeyFuture<'a, (DataKey, WrappedKey)> {
        Box::pin(self.generate(context))
    }

    fn unwrap_data_key<'a>(
        &'a self,
        wrapped: &'a WrappedKey,
        context: KeyContext<'a>,
    ) -> KeyFuture<'a, DataKey> {
        Box::pin(self.decrypt(wrapped, context))
    }
}

fn encryption_context(context: KeyContext<'_>) -> HashMap<String, String> {
    context.entries().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn data_key(plaintext: Option<Blob>) -> Result<DataKey, VaultError> {
    let bytes = Zeroizing::new(plaintext.map(Blob::into_inner).unwrap_or_default());
    DataKey::from_slice(&bytes).ok_or_else(|| unexpected("KMS answered a key of another length"))
}

fn unexpected(told: &'static str) -> VaultError {
    VaultError::KeySource(told.into())
}

/// Whether an operator has to act, and how; else a later call may succeed.
fn sort<E>(error: SdkError<E>, context: KeyContext<'_>) -> VaultError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error.code().and_then(remedy) {
        Some(remedy) => VaultError::KeyRefused { setting: SETTING, version: context.key_version, remedy },
        None => VaultError::KeySource(Box::new(error)),
    }
}

/// What an operator does about an answer of KMS; nothing where he has nothing to do with it.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html>, read 2026-11-22.
fn remedy(code: &str) -> Option<&'static str> {
    Some(match code {
        "DisabledException" => "the KMS key that KMS_KEY_ID names is disabled: enable it",
        "KMSInvalidStateException" => {
            "the KMS key that KMS_KEY_ID names cannot be used in its state: cancel its deletion and enable it"
        }
        "AccessDeniedException" => {
            "AWS denies it: let this role use the KMS key that KMS_KEY_ID names, with the encryption context \
             app, environment and key_version, by its own policy and the key's"
        }
        "NotFoundException" => "there is no KMS key as KMS_KEY_ID names it, in this region and account",
        "InvalidCiphertextException" => {
            "it was made under another APP_ENV or key version, or was changed: set the APP_ENV and KMS_KEY_ID \
             that it was made under"
        }
        "IncorrectKeyException" => {
            "it was made under another KMS key: set the KMS_KEY_ID that it was made under"
        }
        "InvalidKeyUsageException" => "KMS_KEY_ID must name a symmetric KMS key for encryption",
        "InvalidArnException" | "ValidationException" => {
            "KMS_KEY_ID must be the id, ARN or alias of a KMS key"
        }
        _ => return None,
    })
}
