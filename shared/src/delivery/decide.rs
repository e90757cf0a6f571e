//! What an answer means for a conversion with this history: pure.

use std::time::Duration;

use super::limits::{MAX_RETRY_ATTEMPTS, REQUEST_FAILURES_UNTIL_ALONE};
use crate::domain::{
    Class, ErrorCode, HoldScope, Omitted, Outcome, Status, Transient, Verdict, Wait, retry_wait,
};
use crate::providers::RowAnswer;
use crate::store::{ClaimedRow, SettledRow};

/// How a request that failed as a whole is told to its conversions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charge {
    /// To the circuit: an outage is nobody's fault.
    Circuit,
    /// To the conversion, which went alone for good reason while the provider lived.
    Row,
}

/// Whether a whole-request failure is the conversion's own: it went alone because three requests had failed with it,
/// and the provider has answered for the group since. In an outage nothing is ever charged.
pub(super) fn charge(rows: &[ClaimedRow], is_probe: bool, failure_count: i32) -> Charge {
    match rows {
        [row] if row.request_failures >= REQUEST_FAILURES_UNTIL_ALONE && !is_probe && failure_count == 0 => {
            Charge::Row
        }
        _ => Charge::Circuit,
    }
}

/// Turns what the platform said of one conversion into its outcome. `jitter` lies in 0..=1.
pub(super) fn settle_row(row: &ClaimedRow, answer: &RowAnswer, jitter: f64) -> SettledRow {
    let class = Some(answer.verdict.class());
    let code = answer.code.clone();
    let ended = |outcome| SettledRow { class, code: code.clone(), ..settled(outcome) };
    match answer.verdict {
        Verdict::Delivered => ended(Outcome::Delivered),
        Verdict::Submitted => ended(Outcome::Submitted),
        // The platform has what we may have sent ourselves: that was the delivery.
        Verdict::Duplicate if row.maybe_delivered => ended(Outcome::Delivered),
        Verdict::Duplicate => ended(Outcome::Duplicate),
        Verdict::Unmatched(None) => ended(Outcome::Unmatched),
        Verdict::Unmatched(Some(again)) => match failed(row, again, jitter) {
            (Outcome::Exhausted | Outcome::Rejected, _) => ended(Outcome::Unmatched),
            (outcome, wait) => SettledRow { wait, ..ended(outcome) },
        },
        Verdict::Superseded => ended(Outcome::Superseded),
        Verdict::ConsentDenied => ended(Outcome::ConsentDenied),
        Verdict::Rejected => ended(Outcome::Rejected),
        Verdict::Expired => ended(Outcome::Expired),
        Verdict::Misconfigured(scope) => SettledRow { hold: row_hold(row, scope), ..ended(Outcome::Held) },
        Verdict::Delayed(Wait::For(wait)) => SettledRow { wait, ..ended(Outcome::Delayed) },
        Verdict::Delayed(Wait::Until(time, at_least)) => {
            SettledRow { wait: at_least, not_before: Some(time), ..ended(Outcome::Delayed) }
        }
        Verdict::Failed(transient) | Verdict::DelayedAtMost(transient) => {
            let (outcome, wait) = failed(row, transient, jitter);
            SettledRow { wait, ..ended(outcome) }
        }
        // The hold of the action puts off what comes after it, too.
        Verdict::ActionDelayed(wait) => {
            let (wait, not_before) = match wait {
                Wait::For(wait) => (wait, None),
                Wait::Until(time, at_least) => (at_least, Some(time)),
            };
            let hold = row_hold(row, HoldScope::ConversionAction);
            SettledRow { wait, not_before, hold, ..ended(Outcome::Delayed) }
        }
        Verdict::Degraded(part) => SettledRow { omitted: Omitted::only(part), ..ended(Outcome::Degraded) },
        Verdict::Rerouted(_) | Verdict::Resend => ended(Outcome::Unanswered),
        // An answer that contradicts itself, again and again, is not asked for ever; and nobody says that it failed.
        Verdict::Unconfirmed => match failed(row, Transient::default(), jitter) {
            (Outcome::Exhausted, _) => ended(Outcome::Unconfirmed),
            (outcome, wait) => SettledRow { wait, ..ended(outcome) },
        },
    }
}

/// A conversion of a request that failed as a whole for the moment.
pub(super) fn unanswered(
    row: &ClaimedRow,
    charge: Charge,
    class: Class,
    code: ErrorCode,
    jitter: f64,
) -> SettledRow {
    let (outcome, wait) = match charge {
        // No wait: the circuit is the back-off, and opens after five of these.
        Charge::Circuit => (Outcome::Unanswered, Duration::ZERO),
        Charge::Row => failed(row, Transient::default(), jitter),
    };
    SettledRow { class: Some(class), code: Some(code), wait, ..settled(outcome) }
}

/// A conversion with this outcome, and nothing more to say.
pub(super) fn settled(outcome: Outcome) -> SettledRow {
    SettledRow::of(outcome)
}

/// A conversion of which nobody will ever know.
pub(super) fn unconfirmed(code: &'static str) -> SettledRow {
    let code = Some(ErrorCode::own(code));
    SettledRow { class: Some(Class::Ambiguous), code, ..settled(Outcome::Unconfirmed) }
}

/// A conversion whose person was erased: nothing is left of it that could be sent.
pub(super) fn erased() -> SettledRow {
    SettledRow { code: Some(ErrorCode::own("ERASED")), ..settled(Outcome::Cancelled) }
}

/// What has no end yet of those that were erased ends here; a platform that has one already has it.
pub(super) fn end_erased(claimed: &[ClaimedRow], rows: &mut [SettledRow]) {
    for (row, claimed) in rows.iter_mut().zip(claimed) {
        let goes_on = !matches!(row.outcome.status(), Status::Completed | Status::Failed);
        if claimed.is_erased && goes_on {
            let class = (row.outcome == Outcome::Requeued).then_some(Class::Ambiguous);
            *row = SettledRow { class, ..erased() };
        }
    }
}

/// Burns a retry: the next attempt's wait, or the end.
fn failed(row: &ClaimedRow, transient: Transient, jitter: f64) -> (Outcome, Duration) {
    let failures = row.retry_count.saturating_add(1);
    let most = transient.max_attempts.unwrap_or(MAX_RETRY_ATTEMPTS).min(MAX_RETRY_ATTEMPTS);
    if failures >= most {
        // A limit of the table's own is a verdict in the end; ours is patience that has run out.
        let ending = transient.max_attempts.map_or(Outcome::Exhausted, |_| Outcome::Rejected);
        return (ending, Duration::ZERO);
    }
    (Outcome::Retry, retry_wait(failures, transient.wait, jitter))
}

/// The hold that parks this conversion by itself; none where the whole group is held.
fn row_hold(row: &ClaimedRow, scope: HoldScope) -> Option<(HoldScope, String)> {
    match scope {
        HoldScope::Row => Some((scope, row.conversion_id.to_string())),
        HoldScope::ConversionAction => Some((scope, row.action_key.clone())),
        HoldScope::Site | HoldScope::Client | HoldScope::Provider => None,
    }
}
