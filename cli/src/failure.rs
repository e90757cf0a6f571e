//! How a command ends that did not do what it was asked: an exit code, a message, one hint that can be pasted.

use std::fmt;
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use shared::boot::{BootError, ConfigError};
use shared::engine::BadRequest;
use shared::store::{Said, StoreError};
use shared::vault::VaultError;

/// How a command ended, as scripts see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    /// Failed, or done in part.
    Failed,
    Usage,
    /// Refused here: another environment's database.
    Refused,
    Credentials,
    /// A check is red.
    Red,
    /// Stopped by SIGTERM.
    Cancelled,
    /// Stopped by Ctrl-C.
    Interrupted,
    /// The demo's own end by a signal, as shells count it: 128 and the signal's number.
    Signalled(u8),
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Credentials => 4,
            Exit::Red => 5,
            Exit::Cancelled => 6,
            Exit::Interrupted => 130,
            Exit::Signalled(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Why a command failed. Commands make one where they know more than [`Failure::of`] can find out.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
    figures: Map<String, Value>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, figures: Map::new() }
    }

    /// A command that mends it, or shows more.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what had been done until then.
    pub(crate) fn after(mut self, done: &str) -> Self {
        self.message = format!("{}; {done}", self.message);
        self
    }

    /// The same in figures: fields beside `error` in the JSON document.
    pub(crate) fn figures(mut self, figures: Value) -> Self {
        if let Value::Object(figures) = figures {
            self.figures = figures;
        }
        self
    }

    /// What `error` means for the exit code, by the innermost cause that says something about it.
    pub(crate) fn of(error: anyhow::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(failure) => return failure,
            Err(error) => error,
        };
        let (exit, hint) = error.chain().find_map(judge).unwrap_or((Exit::Failed, None));
        Self { exit, message: told(&error), hint, figures: Map::new() }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// For a person: the message, and the hint on a line of its own.
    pub(crate) fn to_text(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!("\nhint: {hint}"));
        format!("error: {}{}", self.message, hint.unwrap_or_default())
    }

    /// For a program.
    pub(crate) fn to_json(&self) -> Value {
        let mut document = self.figures.clone();
        document.insert("ok".to_owned(), json!(false));
        document.insert("error".to_owned(), json!(self.message));
        document.insert("exit_code".to_owned(), json!(self.exit.code()));
        if let Some(hint) = &self.hint {
            document.insert("hint".to_owned(), json!(hint));
        }
        Value::Object(document)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// An error and its causes on one line. Only the first line of each: PostgreSQL's further ones quote rows.
fn told(error: &anyhow::Error) -> String {
    let lines = error.chain().map(|cause| cause.to_string().lines().next().unwrap_or_default().to_owned());
    lines.collect::<Vec<_>>().join(": ")
}

type Judgement = (Exit, Option<String>);

fn judge(cause: &(dyn std::error::Error + 'static)) -> Option<Judgement> {
    if let Some(error) = cause.downcast_ref::<BootError>() {
        return judge_boot(error);
    }
    if let Some(error) = cause.downcast_ref::<ConfigError>() {
        return Some(judge_config(error));
    }
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        return Some(judge_store(error));
    }
    if let Some(error) = cause.downcast_ref::<VaultError>() {
        return judge_vault(error);
    }
    cause.downcast_ref::<BadRequest>().map(|_| (Exit::Usage, Some("relay --help".to_owned())))
}

fn judge_boot(error: &BootError) -> Option<Judgement> {
    match error {
        BootError::Environment { database, .. } => Some((
            Exit::Refused,
            Some(format!("export APP_ENV={database}  # if this is the database you mean")),
        )),
        BootError::Schema(_) => Some((Exit::Failed, Some("relay migrate".to_owned()))),
        BootError::Config(error) => Some(judge_config(error)),
        BootError::Store(error) => Some(judge_store(error)),
        BootError::Program { .. } => Some((Exit::Failed, None)),
        BootError::Http(_) => None,
    }
}

fn judge_config(error: &ConfigError) -> Judgement {
    let hint = match error.setting.as_ref() {
        "DATABASE_URL" => "export DATABASE_URL=postgresql://user:password@host:5432/database".to_owned(),
        "VAULT_KEY" if error.reason.contains("production") => "unset VAULT_KEY".to_owned(),
        "VAULT_KEY" => {
            "export VAULT_KEY=\"$(relay vault-key)\"  # a new key opens nothing sealed before".to_owned()
        }
        setting => format!("unset {setting}"),
    };
    (Exit::Usage, Some(hint))
}

fn judge_store(error: &StoreError) -> Judgement {
    let hint = match error {
        StoreError::Unavailable(cause) => Some(connection_hint(cause.as_ref())),
        StoreError::WrongSchema(_) => Some("relay migrate"),
        StoreError::NoPartition(_) => Some("relay keep-partitions"),
        StoreError::NotPermitted(_) => Some("psql \"$DATABASE_URL\" -c 'select current_user'"),
        StoreError::Busy(_)
        | StoreError::BadArgument(_)
        | StoreError::LockLost
        | StoreError::Refused(_)
        | StoreError::Unexpected(_) => None,
    };
    (Exit::Failed, hint.map(str::to_owned))
}

/// A server that answers, and only refuses this login or has no such database, is ready all the same.
fn connection_hint(cause: &(dyn std::error::Error + 'static)) -> &'static str {
    match cause.downcast_ref::<Said>().map(Said::code) {
        Some("3D000") => "createdb NAME  # on the server and with the login of DATABASE_URL",
        Some(code) if code.starts_with("28") => {
            "psql \"$DATABASE_URL\" -c 'select 1'  # its user, its password"
        }
        Some(_) | None => "pg_isready -d \"$DATABASE_URL\"",
    }
}

fn judge_vault(error: &VaultError) -> Option<Judgement> {
    match error {
        VaultError::KeyRefused { .. } => {
            let hint = "export VAULT_KEY=…  # the one with which this database's credentials were sealed";
            Some((Exit::Credentials, Some(hint.to_owned())))
        }
        VaultError::DoesNotOpen | VaultError::TooLarge { .. } => Some((Exit::Credentials, None)),
        VaultError::KeySource(_) | VaultError::Random(_) => None,
    }
}
