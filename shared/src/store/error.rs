//! Why a call to the database failed, one variant for each thing that a caller does about it.
//!
//! SQLSTATEs of our own: `CR001` an argument out of its range, `CR002` arrays that do not fit the claim, `CR005` a
//! change to the ledger that is none of its one closing.

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

/// Why a call to the database failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, or it broke: a later call may succeed.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The schema is not there, or is older than this program.
    #[error("the schema does not serve this program: run `relay migrate`")]
    WrongSchema(#[source] tokio_postgres::Error),
    /// This login may not do that.
    #[error("the database does not permit this to the login of DATABASE_URL")]
    NotPermitted(#[source] tokio_postgres::Error),
    /// We called a function with what it does not take.
    #[error("the database refused an argument")]
    BadArgument(#[source] tokio_postgres::Error),
    /// Anything else that the database said.
    #[error("the database refused the call")]
    Refused(#[source] tokio_postgres::Error),
    /// An answer that no version of ours gives.
    #[error("the database answered what it should not: {0}")]
    Unexpected(&'static str),
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(state) = error.code() else {
            return Self::Unavailable(Box::new(error));
        };
        if ["CR001", "CR002", "CR005"].contains(&state.code()) {
            return Self::BadArgument(error);
        }
        if *state == SqlState::UNDEFINED_FUNCTION
            || *state == SqlState::UNDEFINED_TABLE
            || *state == SqlState::INVALID_SCHEMA_NAME
        {
            return Self::WrongSchema(error);
        }
        if *state == SqlState::INSUFFICIENT_PRIVILEGE {
            return Self::NotPermitted(error);
        }
        // Class 08 is connections, class 57 an operator's shutdown, class 53 resources; 28 and 3D are a wrong login.
        if ["08", "57", "53", "28", "3D"].iter().any(|class| state.code().starts_with(class)) {
            return Self::Unavailable(Box::new(error));
        }
        Self::Refused(error)
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::from(error),
            error @ (PoolError::Timeout(_)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_)) => Self::Unavailable(Box::new(error)),
        }
    }
}
