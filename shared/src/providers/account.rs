//! One site's account at a platform: packs conversions into requests, sends them, and says what the answers mean.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::examine::{Check, Depth};
use super::receipt::Receipt;
use super::{Overrides, http::Fault};
use crate::domain::{Conversion, ErrorCode, HoldScope, Kind, Omitted, Secret, Verdict};

/// A boxed future, so that the traits here can be objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How an account is opened, besides its credentials.
#[derive(Debug, Clone, Default)]
pub struct AccountOptions {
    /// Which way its conversions take, by the ledger's name, where that was switched after the credentials were stored.
    pub transport: Option<String>,
    /// What an operator says some of the platform's codes mean.
    pub overrides: Arc<Overrides>,
}

/// A site's account at a platform, opened from its credentials.
pub trait Account: Send + Sync {
    /// Names what shares an access token (OAuth client and grant), as a digest that gives nothing away. Hexadecimal.
    fn token_key(&self) -> &str;

    /// Names what shares one request budget: the credentials' `quota_key`, by default a digest of the client id.
    fn quota_key(&self) -> &str;

    /// Names the OAuth client, as a digest that gives nothing away: what a fault of the client stops. Hexadecimal.
    fn client_key(&self) -> &str;

    /// Which way its conversions take, as the ledger names it.
    fn transport(&self) -> &'static str;

    /// Where a conversion goes that names no conversion action.
    fn conversion_action(&self) -> String;

    /// As [`Provider::action_key`](super::Provider::action_key), for what a conversion names; by it a hold of the action finds
    /// what it stops.
    fn action_key(&self, action: Option<&str>) -> String;

    /// What its platform lets one quota key send; a stand-in has no limit.
    fn budget(&self) -> Budget;

    /// Fetches a new access token. One request to the token endpoint; retries are the caller's.
    fn refresh_token(&self) -> BoxFuture<'_, Result<AccessToken, TokenError>>;

    /// Builds the requests for `rows`, at most `max_batch` of them: pure, and the same rows give the same bytes. A row
    /// that cannot be built is refused here, with its verdict, and is in no request. Every row is in exactly one place.
    fn pack(&self, rows: &[Row<'_>], now: Timestamp) -> Packed;

    /// Sends one request. An [`Answer`] has one entry per row of the request, in its order.
    fn send<'a>(
        &'a self,
        request: &'a Request,
        token: &'a AccessToken,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Answer, SendError>>;

    /// Asks what became of a request that is answered later. One request.
    fn poll<'a>(
        &'a self,
        request_id: &'a str,
        token: &'a AccessToken,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Receipt, SendError>>;

    /// What a reason that a receipt counts means for one conversion, if it is the one that was meant.
    fn judge(&self, reason: &ErrorCode, row: Row<'_>, now: Timestamp) -> RowAnswer;

    /// Whether a reason that a receipt counts can be about this conversion at all, by what was sent of it.
    fn could_mean(&self, reason: &ErrorCode, row: Row<'_>) -> bool;

    /// What it means that the answer to a request that left was not waited for any longer.
    fn read_silence(&self, _request: &Request, _now: Timestamp) -> Result<Answer, SendError> {
        let code = Some(ErrorCode::own(Fault::TimedOut.code()));
        Err(SendError::Unconfirmed(Reply { code, ..Reply::default() }))
    }

    /// Most requests that [`Account::examine`] sends at this depth, so that they can be booked before.
    fn examine_requests(&self, depth: Depth) -> u32;

    /// Looks at the account with a token that was just fetched, for the conversion action that is named as conversions name
    /// it, or its own. Nothing is ever recorded by it. What a platform only validates it judges more leniently than what it
    /// executes, so a look that passes is no proof that a conversion will.
    fn examine<'a>(
        &'a self,
        depth: Depth,
        token: &'a AccessToken,
        action: Option<&'a str>,
        now: Timestamp,
    ) -> BoxFuture<'a, Vec<Check>>;
}

/// Requests that everything with one quota key may send together; `None`: the platform names no number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// In any 60 s.
    pub per_minute: Option<u32>,
    /// In any 24 h.
    pub per_day: Option<u32>,
}

/// One conversion to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// What to send.
    pub conversion: &'a Conversion,
    /// The optional parts that it goes without.
    pub omitted: Omitted,
}

/// An access token, and until when it is good.
#[derive(Debug)]
pub struct AccessToken {
    /// The token.
    pub secret: Secret,
    /// When the platform stops accepting it, a safety margin taken off.
    pub expires_at: Timestamp,
    /// What it was granted for, where the token endpoint said so; `None` of a token that came another way.
    pub scopes: Option<Vec<String>>,
}

/// What came of packing rows.
#[derive(Debug)]
pub struct Packed {
    /// The requests, each to be sent by itself.
    pub requests: Vec<Request>,
    /// Rows that are in no request: index into the rows, and why.
    pub refused: Vec<(usize, RowAnswer)>,
}

/// One request, ready to leave.
pub struct Request {
    /// Which rows it carries: indices into the rows that were packed.
    pub rows: Vec<usize>,
    /// Where each of them goes, in the same order.
    pub targets: Vec<Target>,
    /// Which way it takes, as the ledger names it, such as `data_manager`.
    pub transport: &'static str,
    /// The whole address.
    pub url: String,
    /// The body: JSON. It carries hashed identifiers and click ids, so it is never logged.
    pub body: Vec<u8>,
    /// SHA-256 of the body, hexadecimal: the ledger's proof that a resend was identical.
    pub body_sha256: String,
    /// What the adapter has to know of each row to read the answer, in the same order.
    pub memo: Vec<Memo>,
}

impl Request {
    /// One that carries nothing: a question, whose refusal is read as that of any other.
    pub(crate) fn empty(transport: &'static str) -> Self {
        Self {
            rows: Vec::new(),
            targets: Vec::new(),
            transport,
            url: String::new(),
            body: Vec::new(),
            body_sha256: String::new(),
            memo: Vec::new(),
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("rows", &self.rows.len())
            .field("transport", &self.transport)
            .field("body_sha256", &self.body_sha256)
            .finish_non_exhaustive()
    }
}

/// What an answer's meaning depends on, besides the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memo {
    /// What the conversion says: "already retracted" is success for a retraction and failure for a restatement.
    pub kind: Kind,
    /// When the sale happened: "too early" is answered by a wait from here or from the click.
    pub occurred_at: Timestamp,
    /// When the ad was clicked, where known.
    pub clicked_at: Option<Timestamp>,
    /// The optional parts that it was sent with.
    pub parts: Omitted,
    /// Those of them that it can go without.
    pub to_spare: Omitted,
}

impl Memo {
    /// Of one conversion, as it is sent.
    pub fn of(conversion: &Conversion) -> Self {
        Self {
            kind: conversion.kind,
            occurred_at: conversion.occurred_at,
            clicked_at: conversion.clicked_at,
            parts: conversion.optional_parts(),
            to_spare: conversion.parts_to_spare(),
        }
    }
}

/// Where a conversion goes: account, conversion action and transport, as a digest. A conversion that may have been
/// delivered to one target is never sent to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target(pub i64);

/// What the platform said about one conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowAnswer {
    /// What it means.
    pub verdict: Verdict,
    /// The platform's code, where it gave one.
    pub code: Option<ErrorCode>,
}

/// The envelope of an answer: what the ledger keeps of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status, where one came.
    pub http_status: Option<u16>,
    /// The platform's id of the request.
    pub request_id: Option<String>,
    /// The code that speaks for the request as a whole.
    pub code: Option<ErrorCode>,
    /// Codes in it whose meaning nobody has said: each once.
    pub unknown: Vec<ErrorCode>,
}

/// An answer that says something about every row.
#[derive(Debug)]
pub struct Answer {
    /// The envelope.
    pub reply: Reply,
    /// One entry per row of the request, in its order.
    pub rows: Vec<RowAnswer>,
}

/// What shares a request budget that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaScope {
    /// This account alone.
    Account,
    /// Everything with the same `quota_key`.
    QuotaKey,
}

/// No conversion of the request has an answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The access token was refused: fetch a new one and send again, once.
    #[error("the platform refused the access token")]
    Unauthorised(Reply),
    /// A request budget is used up: wait, charge nobody.
    #[error("the platform asked to wait {wait:?}")]
    Throttled {
        /// The envelope.
        reply: Reply,
        /// How long, as the platform said; ours where it did not.
        wait: Duration,
        /// Who has to wait.
        scope: QuotaScope,
    },
    /// Something has to be mended before any row can go.
    #[error("the platform refused the request: something has to be mended")]
    Misconfigured {
        /// The envelope.
        reply: Reply,
        /// What has to be mended.
        scope: HoldScope,
    },
    /// This way is closed to the site: send by another.
    #[error("the platform takes nothing from this site by this way")]
    Rerouted {
        /// The envelope.
        reply: Reply,
        /// The transport that is open to it.
        to: &'static str,
    },
    /// The request is refused, and no row is named: find the row by halves. Alone, a row is refused for good.
    #[error("the platform refused the request and named no row")]
    Refused(Reply),
    /// The request is too large: halve it.
    #[error("the platform found the request too large")]
    TooLarge(Reply),
    /// Certainly not taken; may well work later.
    #[error("the platform could not be reached")]
    Unavailable(Reply),
    /// Perhaps taken: send the identical thing again.
    #[error("the platform's answer did not arrive or could not be read")]
    Unconfirmed(Reply),
}

impl SendError {
    /// The envelope.
    pub fn reply(&self) -> &Reply {
        match self {
            SendError::Unauthorised(reply)
            | SendError::Refused(reply)
            | SendError::TooLarge(reply)
            | SendError::Unavailable(reply)
            | SendError::Unconfirmed(reply)
            | SendError::Throttled { reply, .. }
            | SendError::Misconfigured { reply, .. }
            | SendError::Rerouted { reply, .. } => reply,
        }
    }
}

/// The token endpoint gave no token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    /// Somebody has to mend something: reconnect, or repair the client.
    #[error("the token endpoint refused the grant: {code}")]
    Misconfigured {
        /// Such as `invalid_grant`.
        code: ErrorCode,
        /// Site for a grant, client for an OAuth client.
        scope: HoldScope,
    },
    /// May well work later; never charged to a row or a circuit.
    #[error("the token endpoint could not answer: {code}")]
    Unavailable {
        /// What happened.
        code: ErrorCode,
        /// How long to wait.
        wait: Duration,
    },
}
