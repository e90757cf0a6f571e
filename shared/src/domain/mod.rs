//! What a conversion is and what became of it: no I/O, no clock, no randomness, no async.

mod conversion;
mod country;
mod error_code;
mod field_error;
mod ids;
mod input;
mod json;
mod omitted;
mod outcome;
mod personal;
mod provider_key;
mod retry;
mod secret;
mod verdict;

pub use conversion::{ClickIds, Consent, ConsentState, Conversion, Kind, User};
pub use country::Country;
pub use error_code::ErrorCode;
pub use field_error::FieldError;
pub use ids::{AttemptId, ClaimToken, ConversionId, Digest, GroupId, KeyVersion, OrderHash, RunId, SiteId};
pub use input::{ConversionInput, INPUT_FIELDS, UserInput};
pub use json::{NotJson, Step, Twice, read_json};
pub use omitted::{Omitted, OptionalPart};
pub use outcome::{Outcome, Status};
pub use personal::Personal;
pub use provider_key::ProviderKey;
pub use retry::{MAX_RETRY_ATTEMPTS, RETRY_WAITS, retry_wait};
pub use secret::Secret;
pub use verdict::{Class, HoldScope, Transient, Verdict, Wait};
