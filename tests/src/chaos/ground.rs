//! What all tasks of a run share: the provider, the counts, the faults, and how far the run is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rand::SeedableRng;
use rand::rngs::StdRng;
use shared::store::StoreError;

use super::provider::Provider;
use super::tally::Event;

/// Further faults say nothing new.
const FAULTS_MAX: usize = 40;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything breaks.
    Chaos,
    /// Nothing breaks any more, and what is left is worked off.
    Draining,
    /// Nothing is left.
    Over,
}

/// What all tasks of a run share.
pub(super) struct Ground {
    pub(super) provider: Provider,
    seed: u64,
    phase: AtomicU8,
    attempts: AtomicU64,
    counts: Mutex<BTreeMap<Event, u64>>,
    faults: Mutex<Vec<String>>,
}

impl Ground {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            provider: Provider::default(),
            seed,
            phase: AtomicU8::new(Phase::Chaos as u8),
            attempts: AtomicU64::new(0),
            counts: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    /// The chance of one task.
    pub(super) fn chance(&self, task: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(1_000_003).wrapping_add(task))
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(super) fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    pub(super) fn add(&self, event: Event, number: usize) {
        let number = number as u64;
        if event == Event::Attempt {
            self.attempts.fetch_add(number, Ordering::Relaxed);
        }
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(event).or_default() += number;
    }

    pub(super) fn count(&self, event: Event) -> u64 {
        if event == Event::Attempt {
            return self.attempts.load(Ordering::Relaxed);
        }
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&event).copied().unwrap_or_default()
    }

    pub(super) fn counts(&self) -> Vec<(String, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(event, number)| (event.to_string(), *number)).collect()
    }

    pub(super) fn fault(&self, fault: String) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.len() < FAULTS_MAX {
            faults.push(fault);
        }
    }

    pub(super) fn has_faults(&self) -> bool {
        !self.faults.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(super) fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A call that was cut off is what the run is about; anything else that the database says is a fault.
    pub(super) fn note(&self, call: &str, error: StoreError) {
        if matches!(error, StoreError::Unavailable(_)) {
            self.add(Event::CutOff, 1);
        } else {
            self.fault(format!("{call}: {:#}", anyhow::Error::from(error)));
        }
    }
}
