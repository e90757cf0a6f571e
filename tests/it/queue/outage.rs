//! The circuit of the whole provider: as it is meant, against the database's, and one sequence that meets all of it.

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use uuid::Uuid;

use super::follow::Machine;
use super::model::{Model, State, seconds};
use super::operation::{Ask, GROUPS, Operation, Sale, Settlement, Verdict};
use super::state_machine::play;

/// As in the SQL: fewer groups that are open are no outage, and how long a group stays active.
const GROUPS_TO_OPEN: usize = 3;
const ACTIVE_SECONDS: i64 = 600;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Provider {
    pub(super) state: State,
    failure_count: i32,
    /// Chosen by the database; learnt from it when the circuit opens.
    pub(super) next_probe_at: Option<Timestamp>,
    probe_until: Option<Timestamp>,
    /// The slot token of the claim that probes, and of all its parts.
    probe_token: Option<Uuid>,
    opened_total: i64,
}

/// What a sequence met.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Met {
    pub(super) opened: u32,
    pub(super) opened_again: u32,
    pub(super) closed: u32,
    pub(super) never_left: u32,
    pub(super) lost: u32,
    pub(super) cut: u32,
    pub(super) single: u32,
    /// Requests that the budget refused, or let go later.
    pub(super) refused: u32,
    pub(super) waited: u32,
}

/// What a claim for the provider may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    Shut,
    /// One batch of one group.
    Probe,
}

impl Model {
    pub(super) fn gate(&self) -> Gate {
        if self.is_stopped(None) {
            return Gate::Shut;
        }
        let due = match self.provider.state {
            State::Closed => return Gate::Open,
            State::Open => self.provider.next_probe_at,
            State::HalfOpen => self.provider.probe_until,
        };
        if due.is_some_and(|due| due <= self.now) { Gate::Probe } else { Gate::Shut }
    }

    /// A group has opened: whether it was one too many.
    pub(super) fn open_provider(&mut self) -> bool {
        let since = self.now - seconds(ACTIVE_SECONDS);
        let is_active = |number: &usize| self.groups[*number].active_at.is_some_and(|at| at > since);
        let is_open = |number: &usize| self.groups[*number].circuit.state != State::Closed;
        let open = (0..self.groups.len()).filter(is_active).filter(is_open).count();
        let active = (0..self.groups.len()).filter(is_active).count();
        if self.provider.state != State::Closed || open < GROUPS_TO_OPEN || 2 * open <= active {
            return false;
        }
        let opened_total = self.provider.opened_total + 1;
        self.provider = Provider { state: State::Open, opened_total, ..Provider::default() };
        self.met.opened += 1;
        true
    }

    /// A claim has passed the gate to probe.
    pub(super) fn begin_probe(&mut self, token: Uuid, lease_until: Timestamp, rows: usize, failures: i32) {
        let lost = self.provider.state == State::HalfOpen && self.provider.probe_until != Some(self.now);
        self.met.lost += u32::from(lost);
        self.met.single += u32::from(rows == 1 && failures > super::model::FAILURES_TO_OPEN);
        self.provider.state = State::HalfOpen;
        (self.provider.probe_until, self.provider.probe_token) = (Some(lease_until), Some(token));
    }

    /// A probe's request leaves, or a probe is cut: nobody else probes before its new lease ends.
    pub(super) fn extend_probe(&mut self, group: usize, epoch: i32, slot_token: Uuid, until: Timestamp) {
        let circuit = &mut self.groups[group].circuit;
        if circuit.state == State::HalfOpen && circuit.epoch == epoch {
            circuit.probe_until = Some(until);
        }
        if self.provider.state == State::HalfOpen && self.provider.probe_token == Some(slot_token) {
            self.provider.probe_until = Some(until);
        }
    }

    /// A part never left, while others are still to go.
    pub(super) fn keep_probing(&mut self, slot_token: Uuid) {
        self.met.cut += u32::from(self.provider.probe_token == Some(slot_token));
    }

    /// A request's result, told to the provider's circuit: only the probe is heard.
    pub(super) fn record_probe(&mut self, slot_token: Uuid, result: &str) -> Option<&'static str> {
        if self.provider.state != State::HalfOpen || self.provider.probe_token != Some(slot_token) {
            return None;
        }
        let opened_total = self.provider.opened_total;
        match result {
            "none" => {
                self.met.never_left += 1;
                self.provider.probe_until = Some(self.now);
                None
            }
            "transient" => {
                self.met.opened_again += 1;
                self.provider = Provider {
                    state: State::Open,
                    failure_count: self.provider.failure_count + 1,
                    opened_total: opened_total + 1,
                    ..Provider::default()
                };
                Some("provider_opened")
            }
            _ => {
                self.met.closed += 1;
                self.provider = Provider { opened_total, ..Provider::default() };
                Some("provider_closed")
            }
        }
    }
}

impl Machine {
    pub(super) async fn compare_provider(&mut self) -> anyhow::Result<()> {
        let sql = "select state, failure_count, next_probe_at, probe_until, probe_token, opened_total \
                   from relay.provider_circuit where provider_key = 'google_ads'";
        let row = self.query(sql, &[]).await?.pop().context("the provider has no circuit")?;
        let (now, provider) = (self.model.now, &mut self.model.provider);
        if provider.state == State::Open && provider.next_probe_at.is_none() {
            let probe: Timestamp =
                row.get::<_, Option<_>>("next_probe_at").context("an open provider is never probed")?;
            let soon = now + seconds(300)..=now + seconds(360);
            ensure!(soon.contains(&probe), "the provider's probe is due at {probe}");
            provider.next_probe_at = Some(probe);
        }
        let told = Provider {
            state: State::read(row.get("state")),
            failure_count: row.get("failure_count"),
            next_probe_at: row.get("next_probe_at"),
            probe_until: row.get("probe_until"),
            probe_token: row.get("probe_token"),
            opened_total: row.get("opened_total"),
        };
        // While a probe is out, when it was due says nothing.
        let told = match told.state {
            State::HalfOpen => Provider { next_probe_at: provider.next_probe_at, ..told },
            State::Closed | State::Open => told,
        };
        ensure!(told == *provider, "the provider's circuit is {told:?}, expected {provider:?}");
        Ok(())
    }

    /// Every group has something to send, and no request is answered, so many times in each.
    pub(super) async fn break_down(&mut self, sale: &Sale, times: usize, send: bool) -> anyhow::Result<()> {
        for group in 0..GROUPS {
            self.enqueue(group, std::slice::from_ref(sale)).await?;
            self.fail(group, times, send).await?;
            // The database's choice of the probe's time is learnt before time passes.
            self.compare().await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn an_outage_of_the_provider_is_probed_by_one_claim_until_it_is_over() -> anyhow::Result<()> {
    let sale = |number| Sale { number, digest: 0, due_in_seconds: None, expires_in_hours: 720 };
    let enqueue = |group| Operation::Enqueue { group, sales: (0..7).map(sale).collect() };
    let claim = |lease_seconds| Operation::Claim(Ask { lease_seconds, ..Ask::generous(None) });
    let pass = |seconds| Operation::Pass { seconds };
    let settle = |outcome, circuit| Operation::Settle {
        claim: 0,
        settlement: Settlement::of_all(Verdict::plain(outcome), circuit),
    };
    let fail = |group| Operation::Fail { group, times: 5, send: true, seconds: 0 };

    let met = play(&[
        enqueue(0),
        enqueue(1),
        enqueue(2),
        // Two that fail are no outage.
        fail(0),
        fail(1),
        claim(60),
        settle("RELEASED", "none"),
        fail(2),
        claim(60),
        pass(400),
        // New rows in front: those that failed go alone.
        enqueue(0),
        Operation::Enqueue { group: 0, sales: (10..15).map(sale).collect() },
        Operation::Enqueue { group: 1, sales: (10..15).map(sale).collect() },
        Operation::Enqueue { group: 2, sales: (10..15).map(sale).collect() },
        // One probes, in parts: one that never left ends nothing, the other opens the circuit again.
        claim(60),
        claim(60),
        Operation::Split { claim: 0, parts: vec![0, 1], lease_seconds: 60 },
        settle("RELEASED", "none"),
        claim(60),
        settle("UNANSWERED", "transient"),
        claim(60),
        pass(400),
        // Whoever was in the first probe may be the fault itself: one by one now, until the group has its turn.
        claim(60),
        settle("UNANSWERED", "transient"),
        pass(400),
        claim(60),
        settle("UNANSWERED", "transient"),
        pass(400),
        claim(60),
        settle("UNANSWERED", "transient"),
        pass(400),
        // A probe that never left, one that was lost, and one that is answered.
        claim(60),
        settle("RELEASED", "none"),
        claim(5),
        claim(60),
        pass(6),
        claim(60),
        settle("REJECTED", "answered"),
        claim(60),
    ])
    .await?;

    let all = [met.opened, met.opened_again, met.closed, met.never_left, met.lost, met.cut, met.single];
    ensure!(all.iter().all(|times| *times > 0), "not all was met: {met:?}");
    Ok(())
}
