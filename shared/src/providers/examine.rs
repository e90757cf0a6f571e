//! A look at an account without a conversion: what was looked at, what was found, and how to mend it.

use std::time::Duration;

use serde::Serialize;

use super::{QuotaScope, TokenError};
use crate::domain::{ErrorCode, HoldScope};

/// The name of the check of a request that the platform validated and did not execute.
pub const REQUEST: &str = "request";

/// How closely an account is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// By its access token alone: nothing is sent to the platform's own API.
    Cheap,
    /// And by a request that is validated and not executed.
    Probe,
    /// And by all that the platform tells of the account.
    Full,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What: one word, the same for every platform where they have the same thing.
    pub check: &'static str,
    /// Whether it is as it has to be.
    pub result: CheckResult,
    /// The code under which a conversion would meet the fault.
    #[serde(serialize_with = "write_code")]
    pub code: Option<ErrorCode>,
    /// What a fault stops; only a fault that is certain says so.
    #[serde(skip)]
    pub scope: Option<HoldScope>,
    /// What was found, in plain words without personal data.
    pub says: String,
    /// How to mend it; beside what passed, what could be better.
    pub mend: Option<String>,
    /// The platform asked to wait: who, and how long.
    #[serde(skip)]
    pub throttled: Option<(QuotaScope, Duration)>,
}

/// Whether a thing is as it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// It is.
    Passed,
    /// It is not.
    Failed,
    /// It cannot be told now.
    Unknown,
    /// It was not looked at, and why is said.
    Skipped,
}

impl CheckResult {
    /// The word that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckResult::Passed => "ok",
            CheckResult::Failed => "failed",
            CheckResult::Unknown => "unknown",
            CheckResult::Skipped => "skipped",
        }
    }
}

fn write_code<S: serde::Serializer>(code: &Option<ErrorCode>, serializer: S) -> Result<S::Ok, S::Error> {
    code.as_ref().map(ErrorCode::as_str).serialize(serializer)
}

/// Whether a look proves that what a hold's code says is mended: a request passed, and nothing was found that has this code.
pub fn proves_mended(found: &[Check], code: &ErrorCode) -> bool {
    let passed = |check: &Check| check.check == REQUEST && check.result == CheckResult::Passed;
    let repeats = |check: &Check| check.is_red() && check.code.as_ref() == Some(code);
    found.iter().any(passed) && !found.iter().any(repeats)
}

impl Check {
    /// All is well.
    pub fn passed(check: &'static str, says: impl Into<String>) -> Self {
        let says = says.into();
        Self {
            check,
            result: CheckResult::Passed,
            code: None,
            scope: None,
            says,
            mend: None,
            throttled: None,
        }
    }

    /// Something has to be mended.
    pub fn failed(
        check: &'static str,
        code: ErrorCode,
        scope: HoldScope,
        says: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let (result, mend) = (CheckResult::Failed, Some(mend.into()));
        Self { check, result, code: Some(code), scope: Some(scope), says: says.into(), mend, throttled: None }
    }

    /// Nobody can tell at this moment.
    pub fn unknown(check: &'static str, code: Option<ErrorCode>, says: impl Into<String>) -> Self {
        Self {
            check,
            result: CheckResult::Unknown,
            code,
            scope: None,
            says: says.into(),
            mend: None,
            throttled: None,
        }
    }

    /// It was left out.
    pub fn skipped(check: &'static str, why: impl Into<String>) -> Self {
        Self {
            check,
            result: CheckResult::Skipped,
            code: None,
            scope: None,
            says: why.into(),
            mend: None,
            throttled: None,
        }
    }

    /// The same, with what could be better.
    #[must_use]
    pub fn hint(self, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..self }
    }

    /// Whether something has to be mended.
    pub fn is_red(&self) -> bool {
        self.result == CheckResult::Failed
    }

    /// What it means that the token endpoint gave no token.
    pub fn of_token_error(error: &TokenError) -> Self {
        match error {
            TokenError::Misconfigured { code, scope } => {
                let (says, mend) = match scope {
                    HoldScope::Row | HoldScope::ConversionAction | HoldScope::Site => (
                        "the token endpoint refused the grant: it was revoked, or has expired",
                        "connect the site again, then store the new grant: relay credentials put",
                    ),
                    HoldScope::Client | HoldScope::Provider => (
                        "the token endpoint refused the OAuth client",
                        "mend the OAuth client at the platform; every site of that client is concerned",
                    ),
                };
                Self::failed("token", code.clone(), *scope, says, mend)
            }
            TokenError::Unavailable { code, .. } => {
                Self::unknown("token", Some(code.clone()), "the token endpoint could not answer: try again")
            }
        }
    }
}
