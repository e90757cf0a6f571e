//! Why a call to the database failed, one variant for each thing that a caller does about it.
//!
//! SQLSTATEs of our own: `CR001` an argument out of its range, `CR002` arrays that do not fit the claim, `CR005` a
//! change to the ledger that is none of its one closing, `CR006` a week that has no partition, `CR007` a lock that has
//! another owner.

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

/// Why a call to the database failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, or it broke: a later call may succeed.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Somebody else had it locked, or both waited for each other: nothing was done, and a later call may succeed.
    #[error("the database was busy with the same rows")]
    Busy(#[source] Said),
    /// The schema is not there, or is older than this program.
    #[error("the schema does not serve this program: run `relay migrate`")]
    WrongSchema(#[source] Said),
    /// This week has no partition, and none could be made: nothing was taken in.
    #[error("the database has no room for this week: run `relay keep-partitions`")]
    NoPartition(#[source] Said),
    /// This login may not do that.
    #[error("the database does not permit this to the login of DATABASE_URL")]
    NotPermitted(#[source] Said),
    /// The lock of an exclusive task has another owner by now: nothing was written.
    #[error("the task's lock has another owner by now")]
    LockLost,
    /// We called a function with what it does not take.
    #[error("the database refused an argument")]
    BadArgument(#[source] Said),
    /// Anything else that the database said.
    #[error("the database refused the call")]
    Refused(#[source] Said),
    /// An answer that no version of ours gives.
    #[error("the database answered what it should not: {0}")]
    Unexpected(&'static str),
}

/// What PostgreSQL said, without the values of rows: its `DETAIL` quotes whole ones, and so do its messages about values.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Said {
    code: String,
    message: String,
}

impl Said {
    fn new(error: &tokio_postgres::error::DbError) -> Self {
        let code = error.code().code().to_owned();
        // Class 22 is about values, and names them.
        let message = if code.starts_with("22") { "a value was refused" } else { error.message() };
        Self { message: message.to_owned(), code }
    }

    /// What the database said, where it was the database that failed the call.
    pub fn of(error: &tokio_postgres::Error) -> Option<Self> {
        error.as_db_error().map(Self::new)
    }

    /// The SQLSTATE.
    pub fn code(&self) -> &str {
        &self.code
    }
}

impl StoreError {
    /// Whether the server refused who came: the login, its password, or the way it came.
    pub fn is_refused_login(&self) -> bool {
        let Self::Unavailable(source) = self else { return false };
        source.downcast_ref::<Said>().is_some_and(|said| said.code().starts_with("28"))
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            return Self::Unavailable(Box::new(error));
        };
        let state = said.code();
        let is_of = |classes: &[&str]| classes.iter().any(|class| state.code().starts_with(class));
        let said = Said::new(said);
        if is_of(&["CR001", "CR002", "CR005"]) {
            Self::BadArgument(said)
        } else if is_of(&["CR007"]) {
            Self::LockLost
        } else if is_of(&["CR006"]) || said.message.starts_with("no partition of relation") {
            Self::NoPartition(said)
        } else if is_of(&[SqlState::LOCK_NOT_AVAILABLE.code(), "40"]) {
            Self::Busy(said)
        } else if [
            SqlState::UNDEFINED_FUNCTION,
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_COLUMN,
            SqlState::INVALID_SCHEMA_NAME,
        ]
        .contains(state)
        {
            Self::WrongSchema(said)
        } else if *state == SqlState::INSUFFICIENT_PRIVILEGE {
            Self::NotPermitted(said)
        } else if is_of(&["08", "57", "53", "28", "3D", SqlState::READ_ONLY_SQL_TRANSACTION.code()]) {
            // Class 08 is connections, class 57 an operator's shutdown, class 53 resources; 28 and 3D are a wrong login; one
            // that only reads was the writer before a failover.
            Self::Unavailable(Box::new(said))
        } else {
            Self::Refused(said)
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            // Whatever refuses a connection, there is none.
            PoolError::Backend(error) => match error.as_db_error().map(Said::new) {
                Some(said) => Self::Unavailable(Box::new(said)),
                None => Self::Unavailable(Box::new(error)),
            },
            error @ (PoolError::Timeout(_)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_)) => Self::Unavailable(Box::new(error)),
        }
    }
}
