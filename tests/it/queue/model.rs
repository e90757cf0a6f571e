//! The queue as it is meant: in memory, one thing at a time, by a clock that is turned by hand.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::budget::Budgets;
use super::outage::{Met, Provider};
use super::stops::Stops;

/// The quota keys, and how many uploads each lets out at once.
pub(super) const KEYS: [(&str, usize); 2] = [("key-a", 2), ("key-b", 3)];

/// As in the SQL: requests in a row that open a circuit, whole requests after which a row goes alone, claims of a row
/// that may be lost, rows of a probe.
pub(super) const FAILURES_TO_OPEN: i32 = 5;
pub(super) const ALONE_AFTER: i16 = 3;
const LOST_CLAIMS_MAX: i16 = 20;
pub(super) const PROBE_ROWS: usize = 5;

/// What expires within this time goes first.
const URGENT: SignedDuration = SignedDuration::from_hours(48);

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) now: Timestamp,
    pub(super) groups: Vec<Group>,
    pub(super) conversions: BTreeMap<i64, Conversion>,
    pub(super) claims: BTreeMap<Uuid, Claim>,
    /// Claims that are gone, with how many rows they had.
    pub(super) lost: Vec<(Uuid, usize)>,
    /// Requests that are open in the ledger.
    pub(super) open_attempts: BTreeMap<i64, OpenAttempt>,
    /// Slots per key: who took each, and until when.
    pub(super) slots: BTreeMap<(String, i32), Slot>,
    /// Until when a key waits.
    pub(super) throttled_keys: BTreeMap<String, Timestamp>,
    /// Where the expiry walk stopped.
    pub(super) walk: Option<Rank>,
    pub(super) provider: Provider,
    pub(super) met: Met,
    /// Requests that were let go, under whichever key.
    pub(super) attempts_made: usize,
    pub(super) budgets: Budgets,
    /// What an operator has stopped.
    pub(super) stops: Stops,
}

#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) group_id: i32,
    pub(super) site: Uuid,
    pub(super) key: Option<String>,
    pub(super) credentials_at: Option<Timestamp>,
    /// Whether the whole group is held.
    pub(super) is_held: bool,
    /// Open holds: scope and key.
    pub(super) holds: BTreeSet<(String, String)>,
    pub(super) throttled_until: Option<Timestamp>,
    pub(super) circuit: Circuit,
    pub(super) totals: Totals,
    /// When its metrics were last written.
    pub(super) active_at: Option<Timestamp>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Closed,
    Open,
    HalfOpen,
}

impl State {
    pub(super) fn read(name: &str) -> Self {
        match name {
            "CLOSED" => Self::Closed,
            "OPEN" => Self::Open,
            _ => Self::HalfOpen,
        }
    }
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Circuit {
    pub(super) state: State,
    pub(super) failure_count: i32,
    pub(super) epoch: i32,
    /// Chosen by the database; learnt from it when it opens.
    pub(super) next_probe_at: Option<Timestamp>,
    pub(super) probe_until: Option<Timestamp>,
}

/// What the metrics say.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) attempts: i64,
    pub(super) completed: i64,
    pub(super) failed: i64,
    pub(super) retry: i64,
    pub(super) held: i64,
    pub(super) submitted: i64,
}

#[derive(Debug)]
pub(super) struct Conversion {
    pub(super) group: usize,
    pub(super) external_id: String,
    pub(super) digest: u8,
    pub(super) expires_at: Timestamp,
    pub(super) place: Place,
    /// Its latest outcome, and how many it has.
    pub(super) outcome: Option<String>,
    pub(super) seq: i32,
    pub(super) retry_count: i16,
    pub(super) request_failures: i16,
    pub(super) failed_epoch: i32,
    pub(super) lost_claims: i16,
    pub(super) maybe_delivered: bool,
    pub(super) target: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Ready { band: i16, due: Timestamp },
    Claimed(Uuid),
    Held(String, String),
    Ended,
}

/// The order of `ready`: group, band, due, conversion.
pub(super) type Rank = (i32, i16, Timestamp, i64);

#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) group: usize,
    pub(super) epoch: i32,
    pub(super) rows: Vec<i64>,
    pub(super) slot: (String, i32),
    pub(super) slot_token: Uuid,
    pub(super) claimed_at: Timestamp,
    pub(super) lease_until: Timestamp,
    /// Where its request went, once it has left.
    pub(super) sent: Option<i64>,
    pub(super) attempt: Option<i64>,
}

#[derive(Debug)]
pub(super) struct OpenAttempt {
    pub(super) group: usize,
    pub(super) claim: Uuid,
    pub(super) opened_at: Timestamp,
}

#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) token: Uuid,
    pub(super) lease_until: Timestamp,
}

pub(super) fn seconds(seconds: impl Into<i64>) -> SignedDuration {
    SignedDuration::from_secs(seconds.into())
}

impl Model {
    pub(super) fn band(&self, expires_at: Timestamp) -> i16 {
        i16::from(expires_at >= self.now + URGENT)
    }

    /// Puts a conversion back to work, with an outcome.
    pub(super) fn go_again(&mut self, id: i64, outcome: &str, due: Timestamp) {
        let band = self.band(self.conversions[&id].expires_at);
        self.tell(id, outcome, Place::Ready { band, due });
    }

    /// An outcome, and where the conversion is after it.
    pub(super) fn tell(&mut self, id: i64, outcome: &str, place: Place) {
        let conversion = self.conversions.get_mut(&id).expect("the conversion is known");
        conversion.outcome = Some(outcome.to_owned());
        conversion.seq += 1;
        conversion.place = place;
    }

    pub(super) fn rank(&self, id: i64) -> Option<Rank> {
        let conversion = &self.conversions[&id];
        match conversion.place {
            Place::Ready { band, due } => Some((self.groups[conversion.group].group_id, band, due, id)),
            Place::Claimed(_) | Place::Held(..) | Place::Ended => None,
        }
    }

    /// What waits in `ready`, in its order.
    pub(super) fn ready(&self) -> Vec<Rank> {
        let mut ready: Vec<_> = self.conversions.keys().filter_map(|id| self.rank(*id)).collect();
        ready.sort();
        ready
    }

    /// What is due in a group, in the order in which it goes.
    pub(super) fn due(&self, group: usize) -> Vec<i64> {
        let ready = self.ready();
        let due =
            ready.iter().filter(|(of, _, due, _)| *of == self.groups[group].group_id && *due <= self.now);
        due.map(|(.., id)| *id).collect()
    }

    /// Its time is over: it has failed, unless an earlier request may have delivered it.
    pub(super) fn tell_expired(&mut self, id: i64) {
        let outcome = if self.conversions[&id].maybe_delivered { "UNCONFIRMED" } else { "EXPIRED" };
        self.tell(id, outcome, Place::Ended);
    }

    pub(super) fn is_expired(&self, id: i64) -> bool {
        self.conversions[&id].expires_at <= self.now
    }

    /// Whether a row goes in a request of its own.
    pub(super) fn goes_alone(&self, id: i64) -> bool {
        let conversion = &self.conversions[&id];
        conversion.request_failures >= ALONE_AFTER
            && conversion.failed_epoch == self.groups[conversion.group].circuit.epoch
            && !self.is_expired(id)
    }

    pub(super) fn free_slots(&self, key: &str) -> usize {
        let taken = |(of, _): &(String, i32), slot: &Slot| of == key && slot.lease_until > self.now;
        let slots = KEYS.iter().find(|(of, _)| *of == key).map_or(0, |(_, slots)| *slots);
        slots.saturating_sub(self.slots.iter().filter(|(place, slot)| taken(place, slot)).count())
    }

    /// Whether a group may be claimed at all, slots aside.
    pub(super) fn is_open_for_claims(&self, number: usize) -> Result<(), &'static str> {
        let group = &self.groups[number];
        let later = |at: Option<Timestamp>| at.is_some_and(|at| at > self.now);
        let key = group.key.as_ref().ok_or("it has no credentials")?;
        if group.is_held {
            return Err("it is held");
        }
        if self.is_stopped(Some(number)) {
            return Err("it is stopped");
        }
        if later(group.throttled_until) || later(self.throttled_keys.get(key).copied()) {
            return Err("it was told to wait");
        }
        match group.circuit.state {
            State::Open if group.circuit.next_probe_at.is_none_or(|at| at > self.now) => {
                Err("its circuit is open")
            }
            State::HalfOpen if later(group.circuit.probe_until) => Err("its probe is out"),
            State::Closed | State::Open | State::HalfOpen => Ok(()),
        }
    }

    /// In the order of their rows: their tokens are random, and a sequence should play the same twice.
    pub(super) fn live_claims(&self) -> Vec<Uuid> {
        let mut tokens: Vec<Uuid> = self.claims.keys().copied().collect();
        tokens.sort_by_key(|token| self.claims[token].rows.first());
        tokens
    }

    /// Claims whose lease has ended give their rows back.
    pub(super) fn lapse(&mut self, min_age_minutes: i32, of: Option<usize>) -> (i32, i32, i32) {
        let old = self.now - seconds(i64::from(min_age_minutes) * 60);
        let mut lapsed = self.live_claims();
        lapsed.retain(|token| {
            let claim = &self.claims[token];
            let is_old = claim.lease_until < self.now && claim.claimed_at <= old;
            is_old && of.is_none_or(|group| claim.group == group)
        });
        let (mut requeued, mut exhausted) = (0, 0);
        for token in &lapsed {
            let claim = self.remove_claim(*token);
            let ends = |slot: &Slot| slot.token == claim.slot_token && slot.lease_until < self.now;
            if self.slots.get(&claim.slot).is_some_and(ends) {
                self.slots.remove(&claim.slot);
            }
            for id in &claim.rows {
                let now = self.now;
                let conversion = self.conversions.get_mut(id).expect("the conversion is known");
                conversion.lost_claims += 1;
                conversion.maybe_delivered |= claim.sent.is_some();
                conversion.target = claim.sent.or(conversion.target);
                (conversion.request_failures, conversion.failed_epoch) = (0, 0);
                if conversion.lost_claims >= LOST_CLAIMS_MAX {
                    exhausted += 1;
                    self.count_failed(claim.group);
                    self.tell(*id, "EXHAUSTED", Place::Ended);
                } else {
                    requeued += 1;
                    self.go_again(*id, "LEASE_LOST", now);
                }
            }
        }
        (i32::try_from(lapsed.len()).expect("few"), requeued, exhausted)
    }

    /// A conversion of the group failed outside any request.
    pub(super) fn count_failed(&mut self, group: usize) {
        self.groups[group].totals.failed += 1;
        self.groups[group].active_at = Some(self.now);
    }

    /// The parts of one claim go on in one slot, under one lease.
    pub(super) fn extend_parts(&mut self, slot_token: Uuid, until: Timestamp) {
        let parts = self.claims.values_mut().filter(|claim| claim.slot_token == slot_token);
        for part in parts.filter(|part| part.lease_until > self.now) {
            part.lease_until = until;
        }
    }

    pub(super) fn remove_claim(&mut self, token: Uuid) -> Claim {
        let claim = self.claims.remove(&token).expect("the claim is live");
        self.lost.push((token, claim.rows.len()));
        claim
    }

    /// One request's result, told to its group's circuit.
    pub(super) fn record(&mut self, group: usize, epoch: i32, result: &str) -> Option<&'static str> {
        let now = self.now;
        let circuit = &mut self.groups[group].circuit;
        if circuit.epoch != epoch || circuit.state == State::Open {
            return None;
        }
        let probing = circuit.state == State::HalfOpen;
        match result {
            "none" if probing => circuit.probe_until = Some(now),
            "transient" if probing || circuit.failure_count + 1 >= FAILURES_TO_OPEN => {
                let failure_count = circuit.failure_count + 1;
                *circuit =
                    Circuit { state: State::Open, failure_count, epoch: epoch + 1, ..Circuit::default() };
                return Some(if self.open_provider() { "provider_opened" } else { "opened" });
            }
            "transient" => circuit.failure_count += 1,
            "success" | "answered" if probing => {
                *circuit = Circuit { epoch: epoch + 1, ..Circuit::default() };
                return Some("closed");
            }
            "success" => circuit.failure_count = 0,
            _ => {}
        }
        None
    }

    /// The row of the view that a conversion has: status, outcome, retries, when it goes again.
    pub(super) fn standing(&self, id: i64) -> (&'static str, Option<String>, i32, Option<Timestamp>) {
        let conversion = &self.conversions[&id];
        let group = &self.groups[conversion.group];
        let outcome = conversion.outcome.as_deref().map(str::to_lowercase);
        let mut again = None;
        let status = match &conversion.place {
            Place::Claimed(_) => "PROCESSING",
            Place::Held(..) => "HELD",
            Place::Ready { .. } if group.is_held => "HELD",
            Place::Ready { due, .. } => {
                let own = group.circuit.next_probe_at.filter(|_| group.circuit.state == State::Open);
                let all = self.provider.next_probe_at.filter(|_| self.provider.state == State::Open);
                let probe = own.max(all);
                again =
                    Some(probe.filter(|probe| due <= probe).map_or(*due, |probe| probe + seconds(id % 31)));
                if conversion.target.is_none() { "QUEUED" } else { "RETRY" }
            }
            Place::Ended => match conversion.outcome.as_deref() {
                Some("DELIVERED" | "DUPLICATE" | "UNMATCHED") => "COMPLETED",
                Some("SUBMITTED") => "SUBMITTED",
                _ => "FAILED",
            },
        };
        (status, outcome, conversion.retry_count.into(), again)
    }

    /// Never more requests may leave under a key than it has slots: parts of one claim go one after another.
    pub(super) fn overdrawn(&self) -> Option<String> {
        KEYS.iter().find_map(|(key, slots)| {
            let live =
                self.claims.values().filter(|claim| claim.slot.0 == *key && claim.lease_until > self.now);
            let out: BTreeSet<Uuid> = live.map(|claim| claim.slot_token).collect();
            (out.len() > *slots).then(|| format!("{} live claims over the {slots} slots of {key}", out.len()))
        })
    }
}
