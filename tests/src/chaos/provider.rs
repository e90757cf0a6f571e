//! An ad platform in memory that takes every conversion once, knows it again, and remembers what was sent.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::RngExt;
use rand::rngs::StdRng;
use shared::domain::{ConversionId, GroupId, Outcome};

/// Of a hundred conversions that it does not know yet: taken, put off, and the rest refused.
const TAKEN: u32 = 78;
const PUT_OFF: u32 = 16;

/// One group in so many is hit by an outage at a time: most live, so that no outage is one of the whole platform.
const OUTAGE_GROUPS: i32 = 4;

/// What becomes of a request as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is answered row by row.
    Answered,
    /// It fails, and nothing of it is taken.
    Failed,
    /// It is worked on, and its answer never arrives.
    AnswerLost,
    /// It is refused without naming a row.
    Refused,
}

/// What the provider says of one conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Taken,
    Known,
    PutOff,
    Refused,
}

/// A conversion in a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parcel {
    pub(super) id: ConversionId,
    pub(super) retry_count: u8,
    /// Whether the queue says that it may have arrived before.
    pub(super) maybe_delivered: bool,
}

/// What is remembered of one conversion.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) sent: u32,
    pub(super) taken: bool,
    /// The end that a runner was told was accepted.
    pub(super) ended: Option<Outcome>,
}

#[derive(Default)]
pub(super) struct Provider {
    book: Mutex<HashMap<ConversionId, Entry>>,
    outage: AtomicI32,
}

impl Provider {
    pub(super) fn book(&self) -> MutexGuard<'_, HashMap<ConversionId, Entry>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts some groups out of reach; `OUTAGE_GROUPS` and more is none.
    pub(super) fn set_outage(&self, groups: i32) {
        self.outage.store(groups, Ordering::Relaxed);
    }

    pub(super) fn is_out_for(&self, group: GroupId) -> bool {
        group.0 % OUTAGE_GROUPS == self.outage.load(Ordering::Relaxed) - 1
    }

    /// Takes a request. `Err` names a conversion that had been taken and came again as if it never had been sent.
    pub(super) fn send(
        &self,
        parcels: &[Parcel],
        fate: Fate,
        chance: &mut StdRng,
    ) -> Result<Vec<Said>, ConversionId> {
        let mut book = self.book();
        let mut said = Vec::with_capacity(parcels.len());
        for parcel in parcels {
            let entry = book.entry(parcel.id).or_default();
            entry.sent += 1;
            if entry.taken && !parcel.maybe_delivered {
                return Err(parcel.id);
            }
            match fate {
                Fate::Failed | Fate::Refused => {}
                Fate::Answered | Fate::AnswerLost => {
                    let drawn = chance.random_range(0..100);
                    said.push(match drawn {
                        _ if entry.taken => Said::Known,
                        drawn if drawn < TAKEN => Said::Taken,
                        drawn if drawn < TAKEN + PUT_OFF => Said::PutOff,
                        _ => Said::Refused,
                    });
                    entry.taken |= drawn < TAKEN;
                }
            }
        }
        Ok(said)
    }
}
