//! Everything that the stand-in remembers, behind one lock, so that what it counts is exact.

use super::account::Mended;
use super::data_manager::Receipts;
use super::directive::Spent;
use super::ledger::{Entered, Ledger};
use super::token::Tokens;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Requests that the log keeps.
pub(super) const LOG_MAX: usize = 1_000;
/// Codes that are tallied apart; there are some two hundred in all.
const CODES_MAX: usize = 1_000;
/// OAuth clients whose requests of a minute are counted.
const CLIENTS_MAX: usize = 10_000;

/// What the stand-in remembers.
#[derive(Default)]
pub(super) struct State {
    pub(super) tokens: Tokens,
    pub(super) ledger: Ledger,
    pub(super) spent: Spent,
    pub(super) receipts: Receipts,
    pub(super) totals: Totals,
    pub(super) log: VecDeque<Logged>,
    pub(super) mended: Mended,
    /// Number for what Google numbers: requests and jobs.
    pub(super) sequence: u64,
    budget: HashMap<String, (i64, u32)>,
}

/// Counters since the start or the last reset.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// Requests to the token endpoint and the two APIs, refused ones included.
    pub requests: u64,
    /// Of these, the ones answered with an HTTP error, or not at all.
    pub requests_failed: u64,
    /// Access tokens issued.
    pub tokens_issued: u64,
    /// Rows of requests that were processed.
    pub conversions_received: u64,
    /// Rows that became a new conversion.
    pub conversions_counted: u64,
    /// Rows of a conversion that had been counted before.
    pub duplicates: u64,
    /// Adjustments that changed a conversion.
    pub adjustments: u64,
    /// Rows that were refused, at once or by their receipt.
    pub rows_refused: u64,
    /// Requests that are being answered at this moment.
    pub concurrent_requests: u64,
    /// The most requests that were being answered at one moment.
    pub max_concurrent_requests: u64,
    /// How often each code was answered for a row.
    pub codes: BTreeMap<String, u64>,
}

/// A request as the log shows it.
#[derive(Clone, Serialize)]
pub(super) struct Logged {
    pub(super) at: Timestamp,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) status: u16,
    pub(super) fate: &'static str,
    pub(super) rows: usize,
    pub(super) duration_ms: u64,
}

impl State {
    /// The next number.
    pub(super) fn number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Forgets everything that was counted; tokens stay good, and requests under way stay counted.
    pub(super) fn reset(&mut self) {
        let concurrent_requests = self.totals.concurrent_requests;
        let totals =
            Totals { concurrent_requests, max_concurrent_requests: concurrent_requests, ..Totals::default() };
        let (tokens, sequence) = (std::mem::take(&mut self.tokens), self.sequence);
        *self = Self { tokens, sequence, totals, ..Self::default() };
        self.tokens.forget_spoiled();
    }

    /// Whether an OAuth client has a request left in this minute.
    pub(super) fn take_request(&mut self, client: &str, per_minute: u32, now: Timestamp) -> bool {
        let minute = now.as_second().div_euclid(60);
        if self.budget.len() >= CLIENTS_MAX {
            self.budget.retain(|_, (of, _)| *of == minute);
        }
        let used = self.budget.entry(client.to_owned()).or_insert((minute, 0));
        if used.0 != minute {
            *used = (minute, 0);
        }
        used.1 = used.1.saturating_add(1);
        used.1 <= per_minute
    }

    /// Keeps a request for the log.
    pub(super) fn log(&mut self, request: Logged) {
        if self.log.len() >= LOG_MAX {
            self.log.pop_front();
        }
        self.log.push_back(request);
    }
}

impl Totals {
    /// Notes what the ledger made of a row.
    pub(super) fn note(&mut self, entered: Entered) {
        match entered {
            Entered::Counted => self.conversions_counted += 1,
            Entered::OrderKnown | Entered::ClickKnown => self.duplicates += 1,
        }
    }

    /// Notes a code that was answered for a row.
    pub(super) fn note_code(&mut self, code: &str) {
        if self.codes.len() < CODES_MAX || self.codes.contains_key(code) {
            *self.codes.entry(code.to_owned()).or_default() += 1;
        }
    }
}
