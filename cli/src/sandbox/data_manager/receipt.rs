//! Receipts: how many records of a request met which end, never which.

use crate::sandbox::directive::{Oddity, Order};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Receipts that are kept; the oldest goes first and is then as unknown as at Google after 24 hours.
const RECEIPTS_MAX: usize = 50_000;

/// Receipts by request id.
#[derive(Default)]
pub(in crate::sandbox) struct Receipts {
    by_id: HashMap<String, Receipt>,
    oldest_first: VecDeque<String>,
}

/// What became of one request.
pub(super) struct Receipt {
    ready_at: Timestamp,
    destinations: Vec<Part>,
    /// The directive that speaks for the questions.
    polls: Option<Order>,
}

/// What became of the records at one destination.
pub(super) struct Part {
    destination: Value,
    records: u64,
    reasons: BTreeMap<String, u64>,
    warnings: BTreeMap<String, u64>,
    oddity: Option<Oddity>,
}

/// What a receipt that cannot be true counts as an error.
const COUNTED: &str = "PROCESSING_ERROR_REASON_INVALID_EVENT";

impl Receipts {
    /// Keeps a receipt, and lets the oldest go where there are too many.
    pub(super) fn keep(&mut self, id: String, receipt: Receipt) {
        if self.oldest_first.len() >= RECEIPTS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_id.remove(&oldest);
        }
        self.oldest_first.push_back(id.clone());
        self.by_id.insert(id, receipt);
    }

    /// The receipt of a request.
    pub(super) fn find(&self, id: &str) -> Option<&Receipt> {
        self.by_id.get(id)
    }
}

impl Receipt {
    /// A receipt that says `PROCESSING` until the given time.
    pub(super) fn new(ready_at: Timestamp) -> Self {
        Self { ready_at, destinations: Vec::new(), polls: None }
    }

    /// Notes who speaks for the questions: the first that does.
    pub(super) fn obey(&mut self, order: &Order) {
        if self.polls.is_none() && order.is_of_polls() {
            self.polls = Some(order.clone());
        }
    }

    /// Who speaks for the questions.
    pub(super) fn polls(&self) -> Option<&Order> {
        self.polls.as_ref()
    }

    /// Adds what became of the records at one destination.
    pub(super) fn add(&mut self, part: Part) {
        self.destinations.push(part);
    }

    /// The answer to `requestStatus:retrieve`.
    pub(super) fn answer(&self, now: Timestamp) -> Value {
        let ready = now >= self.ready_at;
        let parts: Vec<Value> = self.destinations.iter().map(|part| part.answer(ready)).collect();
        json!({"requestStatusPerDestination": parts})
    }
}

impl Part {
    /// Nothing yet, at this destination.
    pub(super) fn of(destination: Value) -> Self {
        Self { destination, records: 0, reasons: BTreeMap::new(), warnings: BTreeMap::new(), oddity: None }
    }

    /// Says something odd from now on.
    pub(super) fn turn(&mut self, oddity: Option<Oddity>) {
        self.oddity = self.oddity.or(oddity);
    }

    /// Counts a record, and a warning about it.
    pub(super) fn note(&mut self, warning: Option<String>) {
        self.records += 1;
        if let Some(warning) = warning {
            *self.warnings.entry(warning).or_default() += 1;
        }
    }

    /// Counts a reason for which a record was refused.
    pub(super) fn refuse(&mut self, reason: String) {
        *self.reasons.entry(reason).or_default() += 1;
    }

    fn answer(&self, ready: bool) -> Value {
        if !ready || self.oddity == Some(Oddity::Pending) {
            return json!({"destination": self.destination, "requestStatus": "PROCESSING"});
        }
        let failed: u64 = self.reasons.values().sum();
        let mut status = match failed {
            0 => "SUCCESS",
            all if all == self.records => "FAILED",
            _ => "PARTIAL_SUCCESS",
        };
        let (mut records, mut reasons) = (self.records, self.reasons.clone());
        match self.oddity {
            Some(Oddity::Success) => {
                status = "SUCCESS";
                reasons.entry(COUNTED.to_owned()).or_insert(1);
            }
            Some(Oddity::Records) => records += 1,
            Some(Oddity::Counts) => {
                status = "PARTIAL_SUCCESS";
                reasons.insert(COUNTED.to_owned(), records + 1);
            }
            Some(Oddity::Pending) | None => {}
        }
        let mut part = json!({
            "destination": self.destination,
            "requestStatus": status,
            "eventsIngestionStatus": {"recordCount": records.to_string()},
        });
        if !reasons.is_empty() {
            part["errorInfo"] = json!({"errorCounts": counts(&reasons)});
        }
        if !self.warnings.is_empty() {
            part["warningInfo"] = json!({"warningCounts": counts(&self.warnings)});
        }
        part
    }
}

/// Protocol buffers write 64-bit numbers as strings.
fn counts(reasons: &BTreeMap<String, u64>) -> Vec<Value> {
    let count =
        |(reason, count): (&String, &u64)| json!({"recordCount": count.to_string(), "reason": reason});
    reasons.iter().map(count).collect()
}
