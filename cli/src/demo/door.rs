//! Brings lines in through the producer, and counts what it said of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::delivery::ItemAnswer;
use shared::domain::{ConversionId, ConversionInput, FieldError};
use shared::engine::Context;
use shared::store::EnqueueResult;

/// Lines of one call of the producer.
const LINES_PER_CALL: usize = 1_000;

/// What the door said.
#[derive(Debug, Default, Serialize)]
pub struct Door {
    /// Lines that came.
    pub lines: u64,
    /// Conversions that were taken in, to go at once or when their time has come.
    pub queued: u64,
    /// Conversions that were taken in and wait for credentials.
    pub held: u64,
    /// Lines that were taken in before.
    pub duplicate: u64,
    /// Lines whose external id is known with other content.
    pub conflict: u64,
    /// Lines that no platform takes any more.
    pub expired: u64,
    /// Conversions that were taken in and were over at once, for their order was.
    pub ended: u64,
    /// Lines that cannot be understood.
    pub invalid: u64,
    /// Identifiers that were left out of conversions that were taken in.
    pub identifiers_dropped: u64,
    /// One of the reasons for each field that was wrong.
    pub reasons: BTreeMap<String, String>,
}

impl Door {
    /// Conversions that were taken in.
    pub fn taken(&self) -> u64 {
        self.queued + self.held
    }

    /// Brings lines in; the ids of the conversions that were taken in, in their order.
    pub(super) async fn bring(
        &mut self,
        context: &Context,
        lines: &[String],
    ) -> anyhow::Result<Vec<ConversionId>> {
        let producer = context.producer();
        let mut taken = Vec::with_capacity(lines.len());
        for some in lines.chunks(LINES_PER_CALL) {
            let items = some.iter().map(|line| read(line)).collect();
            for answer in producer.enqueue(items, Timestamp::now()).await? {
                self.lines += 1;
                match answer {
                    ItemAnswer::Invalid(errors) => {
                        self.invalid += 1;
                        self.reasons.extend(errors.into_iter().map(|error| (error.field, error.reason)));
                    }
                    ItemAnswer::Taken { providers, dropped } => {
                        self.identifiers_dropped += dropped.len() as u64;
                        for answer in providers {
                            match answer.result {
                                EnqueueResult::Queued => self.queued += 1,
                                EnqueueResult::Held => self.held += 1,
                                EnqueueResult::Duplicate | EnqueueResult::OrderDelivered => {
                                    self.duplicate += 1
                                }
                                EnqueueResult::Conflict => self.conflict += 1,
                                EnqueueResult::Expired | EnqueueResult::SiteRemoved => self.expired += 1,
                                EnqueueResult::Superseded | EnqueueResult::OriginalFailed => self.ended += 1,
                            }
                            if matches!(answer.result, EnqueueResult::Queued | EnqueueResult::Held) {
                                taken.extend(answer.conversion_id);
                            }
                        }
                    }
                }
            }
        }
        Ok(taken)
    }
}

fn read(line: &str) -> Result<ConversionInput, Vec<FieldError>> {
    match serde_json::from_str::<Value>(line) {
        Ok(json) => ConversionInput::parse(&json),
        Err(_) => Err(vec![FieldError::new("(line)", "is not JSON")]),
    }
}
