//! What must be so at the end: each fact with its figures.

use serde::Serialize;
use serde_json::Value;
use shared::engine::tasks::{confirm, recover};
use shared::store::{AuditFault, ConversionCount, GroupStanding};

use super::Run;
use super::circuit::CircuitSeen;
use super::proof::{Sums, Witness, number};

/// Every class of outcome that conversions of the demo meet: status, and outcome where it has one.
const CLASSES: [(&str, Option<&str>); 11] = [
    ("COMPLETED", Some("delivered")),
    ("COMPLETED", Some("duplicate")),
    ("COMPLETED", Some("unmatched")),
    ("COMPLETED", Some("superseded")),
    ("FAILED", Some("rejected")),
    ("FAILED", Some("expired")),
    ("RETRY", Some("retry")),
    ("RETRY", Some("delayed")),
    ("QUEUED", None),
    ("HELD", None),
    ("HELD", Some("held")),
];

/// The story of a circuit.
const CIRCUIT: [&str; 4] = ["CLOSED", "OPEN", "HALF_OPEN", "CLOSED"];

/// Codes of conversions that ended because their order was over, without a request of their own.
const OVER: [&str; 3] = ["NEWER_WRITE", "ORDER_ALREADY_DELIVERED", "ORIGINAL_NOT_DELIVERED"];

/// Something that must be so.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What.
    pub fact: &'static str,
    /// Whether it is.
    pub ok: bool,
    /// The figures.
    pub figures: String,
}

/// Who may have put back what the killed runner held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CameBack {
    /// Recover alone: nobody claimed after its lease had lapsed.
    WithRecover,
    /// Whoever claimed first, on a machine that was too slow for the plot.
    WithAnyClaim,
}

/// Everything that speaks for or against.
pub(super) struct Evidence<'a> {
    pub(super) enqueued: u64,
    pub(super) sums: Sums,
    pub(super) conversions: &'a [ConversionCount],
    pub(super) faults: &'a [AuditFault],
    pub(super) witness: &'a Witness,
    pub(super) metrics: &'a [GroupStanding],
    pub(super) runs: &'a [Run],
    pub(super) confirmed: &'a [confirm::Answer],
    pub(super) claimed_by_the_dead: u64,
    pub(super) came_back: CameBack,
    pub(super) recovered: &'a recover::Answer,
    pub(super) timeline: Option<&'a Value>,
    pub(super) circuit: &'a [CircuitSeen],
}

impl Evidence<'_> {
    pub(super) fn checks(&self) -> Vec<Check> {
        vec![
            self.sum(),
            self.history(),
            self.once(),
            self.as_we_say(),
            self.receipts(),
            self.metrics(),
            self.dead(),
            self.circuit(),
            self.classes(),
        ]
    }

    fn sum(&self) -> Check {
        let (total, processing) = (self.sums.total(), self.sums.processing);
        Check {
            fact: "enqueued = completed + submitted + failed + waiting, and nothing is still in a claim",
            ok: self.enqueued == total && processing == 0,
            figures: format!("{} enqueued, {total} accounted for, {processing} in a claim", self.enqueued),
        }
    }

    fn history(&self) -> Check {
        let first = self.faults.first().map(|fault| format!("{}: {}", fault.conversion_id, fault.fault));
        Check {
            fact: "every conversion's history is without gap or double, and it is in exactly one place",
            ok: self.faults.is_empty(),
            figures: format!("{} faults {}", self.faults.len(), first.unwrap_or_default()),
        }
    }

    fn once(&self) -> Check {
        let Witness { counted, counted_twice, .. } = *self.witness;
        Check {
            fact: "Google's stand-in counted no conversion twice",
            ok: counted_twice == 0 && counted > 0,
            figures: format!("{counted_twice} of {counted} counted twice"),
        }
    }

    fn as_we_say(&self) -> Check {
        let there = self.witness.counted + self.witness.adjusted;
        let here = self.sums.delivered + self.sums.submitted;
        Check {
            fact: "it counted (or corrected) exactly as many as we say were delivered or submitted",
            ok: there == here,
            figures: format!("{there} there, {here} here"),
        }
    }

    fn metrics(&self) -> Check {
        let total = |count: fn(&GroupStanding) -> i64| {
            u64::try_from(self.metrics.iter().map(count).sum::<i64>()).unwrap_or(0)
        };
        let metrics = [total(|group| group.completed_total), total(|group| group.failed_total)];
        let runs = self.runs.iter().map(|run| [run.answer.completed, run.answer.failed]);
        let answers = runs.chain(self.confirmed.iter().map(|answer| [answer.completed, answer.failed]));
        let answers = answers.fold([0; 2], |sum, run| std::array::from_fn(|place| sum[place] + run[place]));
        // What ended because its order was over had no request, and is in no run's answer.
        let unsent = |status: &str| {
            let ended = self.conversions.iter().filter(|one| one.status == status);
            ended
                .filter(|one| one.code.as_deref().is_some_and(|code| OVER.contains(&code)))
                .map(number)
                .sum::<u64>()
        };
        let answers = [answers[0] + unsent("COMPLETED"), answers[1] + unsent("FAILED")];
        let sums = [self.sums.completed, self.sums.failed];
        Check {
            fact: "metrics and the answers of the runs say the same",
            ok: metrics == sums && answers == sums,
            figures: format!("{sums:?} in the queue, {metrics:?} in metrics, {answers:?} in answers"),
        }
    }

    fn receipts(&self) -> Check {
        let read: u64 = self.confirmed.iter().map(|answer| answer.processed).sum();
        let submitted = self.sums.submitted;
        Check {
            fact: "every receipt was read, and nothing is submitted any more",
            ok: submitted == 0 && read > 0,
            figures: format!("{read} receipts settled, {submitted} conversions submitted"),
        }
    }

    fn dead(&self) -> Check {
        let all = self.recovered.requeued == self.claimed_by_the_dead;
        Check {
            fact: "what the killed runner held came back, and what had arrived was recognised",
            ok: (all || self.came_back == CameBack::WithAnyClaim) && self.timeline.is_some(),
            figures: format!(
                "{} of {} put back by recover",
                self.recovered.requeued, self.claimed_by_the_dead
            ),
        }
    }

    fn circuit(&self) -> Check {
        let states: Vec<&str> = self.circuit.iter().map(|seen| seen.state.as_str()).collect();
        let mut rest = states.iter();
        // One after the other, others between them or not.
        let told = CIRCUIT.iter().all(|wanted| rest.any(|state| state == wanted));
        Check {
            fact: "the circuit went from CLOSED to OPEN to HALF_OPEN to CLOSED",
            ok: told && states.last() == CIRCUIT.last(),
            figures: states.join(" "),
        }
    }

    fn classes(&self) -> Check {
        let met = |(status, outcome): &(&str, Option<&str>)| {
            self.conversions.iter().any(|one| one.status == *status && one.outcome.as_deref() == *outcome)
        };
        let missing = CLASSES.iter().filter(|class| !met(class));
        let missing: Vec<_> =
            missing.map(|(status, outcome)| format!("{status}/{}", outcome.unwrap_or("-"))).collect();
        Check {
            fact: "every class of outcome was met",
            ok: missing.is_empty(),
            figures: format!("missing: {}", missing.join(", ")),
        }
    }
}
