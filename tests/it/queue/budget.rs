//! Request budgets, told without the pace: how many requests leave in any minute, and when a key must let one go.

use std::collections::BTreeMap;

use anyhow::ensure;
use jiff::Timestamp;

use super::follow::Machine;
use super::model::{Model, Place, seconds};
use super::operation::{Ask, GROUPS, Operation, Sale, Settlement, Verdict};
use super::state_machine::begin;

/// As in the SQL: a batch that is not full waits for more no longer than this.
const LINGER_SECONDS: i64 = 900;

/// The limits of the keys that have one, and when each of their requests leaves.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    per_minute: BTreeMap<String, usize>,
    leaves: BTreeMap<String, Vec<Timestamp>>,
}

impl Budgets {
    pub(super) fn has_limit(&self, key: &str) -> bool {
        self.per_minute.contains_key(key)
    }

    pub(super) fn book(&mut self, key: &str, at: Timestamp) {
        self.leaves.entry(key.to_owned()).or_default().push(at);
    }

    /// Whether requests of the key leave later than so long ago.
    pub(super) fn has_left_since(&self, key: &str, since: Timestamp) -> bool {
        self.leaves.get(key).is_some_and(|leaves| leaves.iter().any(|at| *at > since))
    }

    /// More requests in 60 s, wherever they begin, than the limit lets go.
    pub(super) fn overspent(&self) -> Option<String> {
        self.per_minute.iter().find_map(|(key, limit)| {
            let leaves = self.leaves.get(key)?;
            let within = |from: &Timestamp| {
                leaves.iter().filter(|at| *at >= from && **at < *from + seconds(60)).count()
            };
            let most = leaves.iter().map(within).max()?;
            (most > *limit).then(|| format!("{most} requests of {key} in a minute, of {limit}: {leaves:?}"))
        })
    }
}

impl Model {
    /// Whether a claim may pass over the key's groups, for its budget: nothing of it is used, or promised to a claim.
    pub(super) fn is_scarce(&self, key: &str) -> bool {
        let promised = || self.claims.values().any(|claim| claim.slot.0 == key && claim.sent.is_none());
        let lingers = self.now - seconds(LINGER_SECONDS + 60);
        self.budgets.has_limit(key) && (self.budgets.has_left_since(key, lingers) || promised())
    }
}

impl Machine {
    /// Once and for all: a limit that changes holds for no window that was begun before.
    pub(super) async fn put_budget(&mut self, key: &str, per_minute: i32) -> anyhow::Result<()> {
        if !self.model.budgets.leaves.is_empty() || self.model.attempts_made > 0 {
            return Ok(());
        }
        let sql = "select relay.put_quota($1, null, $2, null)";
        ensure!(self.query(sql, &[&key, &per_minute]).await?[0].get::<_, bool>(0), "{key} is unknown");
        self.model.budgets.per_minute.insert(key.to_owned(), usize::try_from(per_minute)?);
        Ok(())
    }
}

#[tokio::test]
async fn a_small_budget_is_never_overspent_and_leaves_nothing_behind() -> anyhow::Result<()> {
    let sale = |number| Sale { number, digest: 0, due_in_seconds: None, expires_in_hours: 720 };
    let mut machine = begin().await?;
    machine.apply(&Operation::PutBudget { key: 0, per_minute: 3 }).await?;
    for group in 0..GROUPS - 1 {
        let sales = (0..9).map(sale).collect();
        machine.apply(&Operation::Enqueue { group, sales }).await?;
    }
    let delivered = Settlement::of_all(Verdict::plain("DELIVERED"), "success");
    let released = Settlement::of_all(Verdict::plain("RELEASED"), "none");

    // What is left of a full batch lingers, but not for ever.
    for turn in 0..400 {
        for token in machine.claim(&Ask { rows: 1_000, batch: 2, ..Ask::generous(None) }).await? {
            machine.open(token, 1, 60, turn % 2 * 25).await?;
            let left = machine.model.claims[&token].attempt.is_some();
            machine.settle(token, if left { &delivered } else { &released }).await?;
        }
        machine.compare().await?;
        machine.model.now += seconds(4);
    }

    let waits = machine.model.conversions.values().filter(|conversion| conversion.place != Place::Ended);
    ensure!(waits.count() == 0, "something still waits");
    let met = machine.model.met;
    ensure!(met.refused > 0 && met.waited > 0, "the budget was never felt: {met:?}");
    Ok(())
}
