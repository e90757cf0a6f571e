//! The ad platforms: one folder each, one trait, and a registry that is the only place that lists them.

mod account;
mod capabilities;
pub mod google_ads;
pub mod http;
mod registry;
pub mod retry_after;

pub use account::{
    AccessToken, Account, AccountOptions, Answer, BoxFuture, Budget, Memo, Packed, QuotaScope, Reply,
    Request, Row, RowAnswer,
};
pub use account::{SendError, Target, TokenError};
pub use capabilities::{Capabilities, Receipts, Results};
pub use registry::Registry;

use crate::domain::{Conversion, ConversionInput, Country, FieldError, ProviderKey, Secret};
use jiff::Timestamp;

/// One ad platform. An adapter is pure but for [`Account::refresh_token`] and [`Account::send`]; it has never heard
/// of the queue.
pub trait Provider: Send + Sync {
    /// Which one it is.
    fn key(&self) -> ProviderKey;

    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// Takes a conversion in at the door: normalises and hashes its identifiers by this platform's rule, and says from
    /// when until when the platform accepts it. An invalid identifier is dropped and told; `Err` where nothing is left
    /// that the platform could match, or where it can never take the event.
    fn admit(&self, input: ConversionInput, country: Option<Country>) -> Result<Admitted, Vec<FieldError>>;

    /// Reads a site's credentials (one JSON object) and opens its account: checks every field, sends nothing.
    fn open_account(
        &self,
        credentials: &Secret,
        options: &AccountOptions,
    ) -> Result<Box<dyn Account>, Vec<FieldError>>;
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
