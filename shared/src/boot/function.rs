//! What a function is: its name, its doors, who may come in, and what it does. The same table stands behind Lambda and
//! `relay serve`.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::authentication::Secrets;
use super::aws::Aws;
use super::call::Call;
use super::config::{AppEnv, Config};
use super::context::{BootError, open_context_with};
use super::health::Health;
use crate::engine::{Context, Pulse};

/// What a function is.
#[derive(Clone, Copy)]
pub struct Function {
    /// Its name: folder, crate, binary and resource.
    pub name: &'static str,
    /// Where it can be called over HTTP; none, where it cannot.
    pub doors: &'static [Door],
    /// Whether it is refused in production, before anything is read.
    pub production: InProduction,
    /// Who may come in over HTTP. A direct invoke is authenticated by IAM.
    pub callers: Callers,
    /// What it does. A pointer, so that a binary links the functions that it names and no other.
    pub handler: Handler,
}

/// Does what a function does.
pub type Handler = for<'a> fn(&'a Boot, Call) -> Handling<'a>;

/// A call that is being answered.
pub type Handling<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Answer>> + Send + 'a>>;

/// Whether a function may run in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InProduction {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
}

/// Who may come in over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// Whoever shows the cron secret or the internal one.
    WithSecret,
    /// Whom the function itself lets in: it gets the call as it came, without fields.
    OfItsOwnChoice,
    /// Anybody. Such a function reads nothing of the call but what its path says.
    Anybody,
}

/// A path that leads to a function.
#[derive(Debug, Clone, Copy)]
pub struct Door {
    /// In capitals.
    pub method: &'static str,
    /// The whole path.
    pub path: &'static str,
    /// Fields that the path itself says, beside those of the call.
    pub says: &'static [(&'static str, &'static str)],
}

/// What a function answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status over HTTP; who invoked directly gets the document alone.
    pub status: u16,
    /// The document.
    pub body: Value,
}

impl Answer {
    /// 200: the job ran.
    pub fn done(body: &impl Serialize) -> anyhow::Result<Self> {
        Self::with(200, body)
    }

    /// Another status.
    pub fn with(status: u16, body: &impl Serialize) -> anyhow::Result<Self> {
        let body = serde_json::to_value(body).context("the answer cannot be written as JSON")?;
        Ok(Self { status, body })
    }
}

impl Function {
    /// Whether it is refused in this environment.
    pub(super) fn is_forbidden(&self, app_env: AppEnv) -> bool {
        self.production == InProduction::Refused && app_env == AppEnv::Production
    }

    /// What whoever calls it there is told.
    pub(super) fn forbidden(&self) -> String {
        format!("{} is refused in production: use `relay credentials put`", self.name)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a function has at hand, opened when it is first needed.
pub struct Boot {
    /// The settings.
    pub config: Config,
    pub(super) secrets: Secrets,
    pub(super) health: Health,
    pub(super) aws: Arc<Aws>,
    context: OnceCell<Context>,
    /// Why the context did not open beside a call that has not asked for it yet.
    failed_beside: Mutex<Option<BootError>>,
}

impl Boot {
    /// With these settings, and nothing open yet.
    pub fn new(config: Config) -> Self {
        let aws = Arc::default();
        let secrets = Secrets::read(&config, &aws);
        let (health, context, failed_beside) = (Health::default(), OnceCell::new(), Mutex::default());
        Self { config, secrets, health, aws, context, failed_beside }
    }

    /// The same for a process that lives for a loop: it is ready only while that lives.
    #[must_use]
    pub fn with_pulse(mut self, pulse: Arc<Pulse>) -> Self {
        self.health.pulse = Some(pulse);
        self
    }

    /// What tasks work with; opened once, and again on the next call where that failed.
    ///
    /// # Errors
    /// A [`BootError`](super::BootError).
    pub async fn context(&self) -> anyhow::Result<&Context> {
        let open = || async {
            match self.replace_failure(None) {
                Some(failure) => Err(failure),
                None => open_context_with(&self.config, &self.aws).await,
            }
        };
        Ok(self.context.get_or_try_init(open).await?)
    }

    fn replace_failure(&self, failure: Option<BootError>) -> Option<BootError> {
        std::mem::replace(&mut *self.failed_beside.lock().unwrap_or_else(PoisonError::into_inner), failure)
    }

    /// Sees a call through, and opens the context while the call waits for something else: on a cold start the secret of the door
    /// and that of the database are asked for at the same time. A call that is over opens nothing any more, and one that was
    /// beside a failure is told of it and does not open again: a database that is silent twice outlasts API Gateway's patience.
    /// One such call at a time.
    pub(super) async fn open_beside<T>(&self, call: impl Future<Output = T>) -> T {
        let open = || open_context_with(&self.config, &self.aws);
        let (mut call, opening) = (pin!(call), pin!(self.context.get_or_try_init(open)));
        let answer = tokio::select! {
            biased;
            answer = &mut call => answer,
            opened = opening => {
                self.replace_failure(opened.err());
                call.await
            }
        };
        // The next call opens anew.
        self.replace_failure(None);
        answer
    }
}
