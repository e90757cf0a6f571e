//! Secrets that AWS Secrets Manager keeps: read when they are first needed, used for a while, and read anew behind the calls.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use tokio::sync::{Mutex as AsyncMutex, OnceCell};
use tracing::warn;

use super::aws::Aws;
use super::config::ConfigError;
use super::context::BootError;
use crate::domain::Secret;

/// A value is used for so long before it is read anew; the old one serves meanwhile, and for as long as Secrets Manager is away.
const LIFETIME: Duration = Duration::from_secs(5 * 60);

/// One answer of Secrets Manager, and all tries together: the caller waits for the first value.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(4);

/// Tries of one read.
const TRIES: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(200);

type Reading<'a> = Pin<Box<dyn Future<Output = Result<Vec<Secret>, BootError>> + Send + 'a>>;

/// Which values of a secret are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// The current one.
    Current,
    /// And the one before, for callers that have not heard of the new one.
    AndPrevious,
}

/// A secret by its id.
pub(super) struct KeptSecret {
    setting: &'static str,
    id: String,
    values: Values,
    aws: Arc<Aws>,
    client: OnceCell<Client>,
    kept: Mutex<Option<Kept>>,
    reading: AsyncMutex<()>,
}

#[derive(Clone)]
struct Kept {
    texts: Arc<Vec<Secret>>,
    read_at: Instant,
    read_at_by_wall: SystemTime,
}

impl Kept {
    /// How old it is at least, by the clock that says more: a frozen process can miss the time on one of them.
    fn age(&self) -> Duration {
        self.read_at.elapsed().max(self.read_at_by_wall.elapsed().unwrap_or_default())
    }
}

impl KeptSecret {
    /// Nothing is asked here. `setting` is the environment variable that named it.
    pub(super) fn new(setting: &'static str, id: String, values: Values, aws: Arc<Aws>) -> Self {
        let (client, kept, reading) = (OnceCell::new(), Mutex::default(), AsyncMutex::default());
        Self { setting, id, values, aws, client, kept, reading }
    }

    /// The setting that names it.
    pub(super) fn setting(&self) -> &'static str {
        self.setting
    }

    /// Its values, the current one first: as they are kept, else as they are read now. What is past its time is read anew
    /// behind the call.
    pub(super) async fn texts(self: &Arc<Self>) -> Result<Arc<Vec<Secret>>, BootError> {
        let Some(kept) = self.kept() else {
            return self.texts_younger_than(LIFETIME).await;
        };
        if kept.age() >= LIFETIME && self.reading.try_lock().is_ok() {
            let this = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(error) = this.texts_younger_than(LIFETIME).await {
                    let error = anyhow::Error::from(error);
                    warn!(
                        setting = this.setting,
                        error = format!("{error:#}"),
                        "a secret could not be read anew: the value before serves"
                    );
                }
            });
        }
        Ok(kept.texts)
    }

    /// Its values, as they were so long ago at most.
    pub(super) async fn texts_younger_than(&self, age: Duration) -> Result<Arc<Vec<Secret>>, BootError> {
        let _reading = self.reading.lock().await;
        // Whoever was here before us may have read them.
        if let Some(kept) = self.kept().filter(|kept| kept.age() < age) {
            return Ok(kept.texts);
        }
        // Boxed: the SDK's futures are deep, and everything that waits for them would be deeper still.
        let read: Reading<'_> = Box::pin(self.read());
        let texts = Arc::new(read.await?);
        let kept =
            Kept { texts: Arc::clone(&texts), read_at: Instant::now(), read_at_by_wall: SystemTime::now() };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(texts)
    }

    fn kept(&self) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self) -> Result<Vec<Secret>, BootError> {
        let client = self.client.get_or_try_init(|| self.client()).await?;
        let current = self.stage(client, "AWSCURRENT");
        let (current, previous) = match self.values {
            Values::Current => (current.await?, None),
            Values::AndPrevious => {
                let (current, previous) = tokio::join!(current, self.stage(client, "AWSPREVIOUS"));
                (current?, previous?)
            }
        };
        let missing = || self.wrong("names a secret without a value");
        let current = current.ok_or_else(missing)?;
        match self.values {
            Values::Current => Ok(vec![current]),
            Values::AndPrevious => {
                let mut texts = both(&current).unwrap_or_else(|| vec![current]);
                // What a secret says of itself comes before what it was.
                let previous =
                    previous.map(|text| both(&text).and_then(|both| both.into_iter().next()).unwrap_or(text));
                texts.extend(previous);
                texts.truncate(2);
                Ok(texts)
            }
        }
    }

    async fn client(&self) -> Result<Client, BootError> {
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        let retries = RetryConfig::standard().with_max_attempts(TRIES).with_initial_backoff(FIRST_WAIT);
        let config = aws_sdk_secretsmanager::config::Builder::from(self.aws.config().await?)
            .timeout_config(timeouts)
            .retry_config(retries)
            .build();
        Ok(Client::from_conf(config))
    }

    /// The value of a stage; nothing where there is none yet.
    async fn stage(&self, client: &Client, stage: &str) -> Result<Option<Secret>, BootError> {
        let asked = client.get_secret_value().secret_id(&self.id).version_stage(stage).send().await;
        match asked {
            Ok(value) => Ok(value.secret_string.map(Secret::new)),
            Err(error) if stage != "AWSCURRENT" && error.code() == Some("ResourceNotFoundException") => {
                Ok(None)
            }
            Err(error) => Err(self.sort(error)),
        }
    }

    /// Whether an operator has to act, and how; else a later call may succeed.
    fn sort(&self, error: SdkError<GetSecretValueError>) -> BootError {
        match error.code() {
            Some("ResourceNotFoundException") => {
                self.wrong("names no secret of this region and account, or one that is to be deleted")
            }
            Some("AccessDeniedException") => {
                self.wrong("names a secret that AWS denies to this role: allow secretsmanager:GetSecretValue")
            }
            Some("DecryptionFailure") => {
                self.wrong("names a secret whose own KMS key does not open it for this role")
            }
            Some("InvalidRequestException" | "InvalidParameterException" | "ValidationException") => {
                self.wrong("must be the name or ARN of a secret")
            }
            Some(_) | None => BootError::SecretAway { setting: self.setting, source: Box::new(error) },
        }
    }

    pub(super) fn wrong(&self, reason: &str) -> BootError {
        ConfigError { setting: self.setting.into(), reason: reason.to_owned() }.into()
    }
}

/// The values of a secret that names both itself: `{"current":"…","previous":"…"}`.
fn both(text: &Secret) -> Option<Vec<Secret>> {
    #[derive(serde::Deserialize)]
    struct Both {
        current: String,
        previous: Option<String>,
    }
    let both: Both = serde_json::from_str(text.expose()).ok()?;
    let values = [Some(both.current), both.previous];
    Some(values.into_iter().flatten().filter(|value| !value.is_empty()).map(Secret::new).collect())
}
