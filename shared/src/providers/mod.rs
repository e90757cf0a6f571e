//! The ad platforms: one folder each, one trait, and a registry that is the only place that lists them.

mod account;
mod capabilities;
mod code_rule;
mod examine;
pub mod google_ads;
pub mod http;
mod identity;
mod overrides;
pub mod reasons;
mod receipt;
mod registry;
pub mod retry_after;
pub mod trace;

pub use account::{
    AccessToken, Account, AccountOptions, Answer, BoxFuture, Budget, Memo, Packed, QuotaScope, Reply,
    Request, Row, RowAnswer,
};
pub use account::{SendError, Target, TokenError};
pub use capabilities::{Capabilities, Receipts, Results};
pub use code_rule::CodeRule;
pub use examine::{Check, CheckResult, Depth, REQUEST, proves_mended};
pub use identity::{Identity, IdentityKind};
pub use overrides::{Override, Overrides};
pub use reasons::Reason;
pub use receipt::{Counted, Receipt, ReceiptPart, ReceiptState};
pub use registry::Registry;

use crate::domain::{
    Conversion, ConversionInput, Country, ErrorCode, FieldError, ProviderKey, Secret, User, UserInput,
};
use jiff::Timestamp;

/// One ad platform. An adapter is pure but for [`Account::refresh_token`], [`Account::send`] and [`Account::examine`]; it
/// has never heard of the queue.
pub trait Provider: Send + Sync {
    /// Which one it is.
    fn key(&self) -> ProviderKey;

    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// Takes a conversion in at the door: normalises and hashes its identifiers by this platform's rule, and says from
    /// when until when the platform accepts it. An invalid identifier is dropped and told; `Err` where nothing is left
    /// that the platform could match, or where it can never take the event.
    fn admit(&self, input: ConversionInput, country: Option<Country>) -> Result<Admitted, Vec<FieldError>>;

    /// One form for a conversion action that has several names, such as its number and its whole name: by it the writes of an
    /// order are found. Empty for the site's own. `own`: the site's own, as [`Account::conversion_action`] writes it; where
    /// it is not known, nothing is taken for it.
    fn action_key(&self, action: &str, own: Option<&str>) -> String;

    /// Hashes who bought as [`Provider::admit`] does: what cannot be used is left out and told in `dropped`.
    fn hash_user(&self, user: &UserInput, country: Option<Country>, dropped: &mut Vec<FieldError>) -> User;

    /// Whether a look at the account can prove that what this code says of it is mended. New credentials lift every hold,
    /// so nothing that only they mend is looked at again.
    fn can_probe(&self, code: &ErrorCode) -> bool;

    /// Reads a site's credentials (one JSON object) and opens its account: checks every field, sends nothing.
    fn open_account(
        &self,
        credentials: &Secret,
        options: &AccountOptions,
    ) -> Result<Box<dyn Account>, Vec<FieldError>>;

    /// Its table: what each code means, in the order in which the first match wins.
    fn code_rules(&self) -> Vec<CodeRule>;

    /// What a code of the platform means in plain words; `None` for what is no code of its own.
    fn reason(&self, code: &str) -> Option<Reason>;

    /// Whether a code is one of what happens on the way to the platform and not of the platform itself: whatever such a
    /// code means, it is no delivery.
    fn is_signal(&self, code: &str) -> bool;
}

/// A conversion that came through the door.
#[derive(Debug)]
pub struct Admitted {
    /// The canonical conversion.
    pub conversion: Conversion,
    /// Identifiers that were dropped, and why.
    pub dropped: Vec<FieldError>,
    /// The first time that the platform can take it, where that is known to lie after the click.
    pub due_at: Option<Timestamp>,
    /// When the platform stops taking it.
    pub expires_at: Timestamp,
}
