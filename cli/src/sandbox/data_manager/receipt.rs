//! Receipts: how many records of a request met which end, never which.

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
}

struct Part {
    destination: Value,
    records: u64,
    reasons: BTreeMap<String, u64>,
}

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
        Self { ready_at, destinations: Vec::new() }
    }

    /// Adds what became of the records at one destination.
    pub(super) fn add(&mut self, destination: Value, records: u64, reasons: BTreeMap<String, u64>) {
        self.destinations.push(Part { destination, records, reasons });
    }

    /// The answer to `requestStatus:retrieve`.
    pub(super) fn answer(&self, now: Timestamp) -> Value {
        let ready = now >= self.ready_at;
        let parts: Vec<Value> = self.destinations.iter().map(|part| part.answer(ready)).collect();
        json!({"requestStatusPerDestination": parts})
    }
}

impl Part {
    fn answer(&self, ready: bool) -> Value {
        if !ready {
            return json!({"destination": self.destination, "requestStatus": "PROCESSING"});
        }
        let failed: u64 = self.reasons.values().sum();
        let status = match failed {
            0 => "SUCCESS",
            all if all == self.records => "FAILED",
            _ => "PARTIAL_SUCCESS",
        };
        // Protocol buffers write 64-bit numbers as strings.
        let counts: Vec<Value> = self
            .reasons
            .iter()
            .map(|(reason, count)| json!({"recordCount": count.to_string(), "reason": reason}))
            .collect();
        let mut part = json!({
            "destination": self.destination,
            "requestStatus": status,
            "eventsIngestionStatus": {"recordCount": self.records.to_string()},
        });
        if !counts.is_empty() {
            part["errorInfo"] = json!({"errorCounts": counts});
        }
        part
    }
}
