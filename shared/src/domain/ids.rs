//! Every identifier is its own type, so that two of them can never be swapped at a call.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// One (site, provider): the unit of credentials, circuit and fairness.
    GroupId(i32)
);
number_id!(
    /// One conversion. Time-ordered: seconds since 2024 in the high bits, so partitions can be cut by it,
    /// and below 2^53 until 2092, so that JSON readers keep every digit.
    ConversionId(i64)
);
number_id!(
    /// One request to a provider: a row of the ledger `provider_upload_attempts`. Time-ordered like [`ConversionId`].
    AttemptId(i64)
);
number_id!(
    /// One invocation of a task: a row of `task_runs`. Time-ordered like [`ConversionId`].
    RunId(i64)
);
number_id!(
    /// Which data key sealed a credential.
    KeyVersion(i32)
);

/// One advertiser (tenant).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SiteId(pub Uuid);

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SiteId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Uuid::try_parse(text)
            .map(SiteId)
            .map_err(|_| "must be a UUID, such as 3f2b8c1e-5d47-4a0e-9c53-0d6f1f3f7a11".to_owned())
    }
}

/// The fence of a claim: whoever holds it may settle the claim's rows, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ClaimToken(pub Uuid);

impl fmt::Display for ClaimToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The first 16 bytes of a SHA-256: enough to tell contents apart, short enough to keep beside every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

/// Which order a conversion writes, among those of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OrderHash(pub Uuid);
