//! What becomes of a whole claim: every row by its answer, or all by what became of their request. Pure but for jitter.

use std::time::Duration;

use super::claimed::Part;
use super::decide::{charge, settle_row, settled, unanswered};
use crate::domain::{Class, ErrorCode, HoldScope, Outcome, Transient, Verdict};
use crate::providers::{Answer, QuotaScope, Reply, Request, RowAnswer, SendError};
use crate::store::{CircuitResult, SettledRow, Throttle, ThrottleScope};

/// What becomes of a claim.
pub(super) struct Decision {
    /// One entry per row.
    pub rows: Vec<SettledRow>,
    pub circuit: CircuitResult,
    pub group_hold: Option<(HoldScope, ErrorCode)>,
    /// The transport that the group takes from now on.
    pub transport: Option<&'static str>,
    pub throttle: Option<Throttle>,
}

impl Decision {
    /// Of rows that no request carried.
    pub(super) fn unsent(rows: Vec<SettledRow>) -> Self {
        Self { rows, circuit: CircuitResult::None, group_hold: None, transport: None, throttle: None }
    }

    /// Gives every row back unstarted.
    pub(super) fn released(part: &Part) -> Self {
        Self::unsent(part.rows.iter().map(|_| settled(Outcome::Released)).collect())
    }

    /// And the group waits.
    pub(super) fn and_wait(self, wait: Duration) -> Self {
        self.and_throttle(ThrottleScope::Group, wait)
    }

    /// And whoever shares this waits.
    pub(super) fn and_throttle(self, scope: ThrottleScope, wait: Duration) -> Self {
        Self { throttle: Some(Throttle { scope, wait }), ..self }
    }

    /// And the group is held.
    pub(super) fn and_hold(self, scope: HoldScope, code: ErrorCode) -> Self {
        Self { group_hold: Some((scope, code)), ..self }
    }
}

/// The code that speaks for a request.
pub(super) fn code_of(reply: &Reply) -> ErrorCode {
    reply.code.clone().unwrap_or(ErrorCode::own("NO_CODE"))
}

/// Every row alike.
pub(super) fn alike(
    part: &Part,
    outcome: Outcome,
    class: Class,
    code: &ErrorCode,
    wait: Duration,
) -> Vec<SettledRow> {
    let row = SettledRow { class: Some(class), code: Some(code.clone()), wait, ..settled(outcome) };
    vec![row; part.rows.len()]
}

/// Answers stand in the order of the request's rows; from here on in the order of the part's. A row that an adapter
/// left out was perhaps delivered.
pub(super) fn in_order_of_part(request: &Request, answer: Answer) -> Answer {
    let unsaid = RowAnswer { verdict: Verdict::Unconfirmed, code: Some(ErrorCode::own("ROW_UNANSWERED")) };
    let mut rows = vec![unsaid; request.rows.len()];
    for (row, said) in request.rows.iter().zip(answer.rows) {
        rows[*row] = said;
    }
    Answer { rows, ..answer }
}

/// Each row by what the platform said of it.
pub(super) fn decide_answer(part: &Part, answer: &Answer) -> Decision {
    let mut group_hold = None;
    let mut transport = None;
    let rows: Vec<SettledRow> = part
        .rows
        .iter()
        .zip(&answer.rows)
        .map(|(row, said)| {
            if let Verdict::Misconfigured(
                scope @ (HoldScope::Site | HoldScope::Client | HoldScope::Provider),
            ) = said.verdict
            {
                let code = said.code.clone().unwrap_or(ErrorCode::own("NO_CODE"));
                group_hold.get_or_insert((scope, code));
            }
            if let Verdict::Rerouted(to) = said.verdict {
                transport = Some(to);
            }
            settle_row(row, &alone(said, part.rows.len()), rand::random())
        })
        .collect();
    let taken = rows.iter().any(|row| {
        matches!(
            row.outcome,
            Outcome::Delivered
                | Outcome::Duplicate
                | Outcome::Unmatched
                | Outcome::Superseded
                | Outcome::ConsentDenied
                | Outcome::Submitted
        )
    });
    let circuit = if taken { CircuitResult::Success } else { CircuitResult::Answered };
    Decision { rows, circuit, group_hold, transport, throttle: None }
}

/// Whether every row is to be sent in a request built anew: then this one was built wrong, and halves are another.
pub(super) fn nothing_looked_at(answer: &Answer) -> bool {
    answer.rows.iter().all(|said| said.verdict == Verdict::Resend)
}

/// A row that went alone cannot be batched any better: a fault of the moment, and three of them are enough.
fn alone(said: &RowAnswer, rows: usize) -> RowAnswer {
    let built_wrong = said.verdict == Verdict::Resend && rows == 1;
    let again = Verdict::Failed(Transient { wait: None, max_attempts: Some(3) });
    let verdict = if built_wrong { again } else { said.verdict };
    RowAnswer { verdict, code: said.code.clone() }
}

/// All rows by what became of their request.
pub(super) fn decide_error(part: &Part, error: &SendError) -> (Class, Decision) {
    let code = code_of(error.reply());
    let whole = |class| {
        let charge = charge(&part.rows, part.is_probe, part.failure_count);
        let rows = part
            .rows
            .iter()
            .map(|row| unanswered(row, charge, class, code.clone(), rand::random()))
            .collect();
        (
            class,
            Decision {
                rows,
                circuit: CircuitResult::Transient,
                group_hold: None,
                transport: None,
                throttle: None,
            },
        )
    };
    let answered = |class, rows, group_hold, throttle| {
        (class, Decision { rows, circuit: CircuitResult::Answered, group_hold, transport: None, throttle })
    };
    match error {
        SendError::Unavailable(_) => whole(Class::Transient),
        SendError::Unconfirmed(_) => whole(Class::Ambiguous),
        SendError::Throttled { wait, scope, .. } => {
            let scope = match scope {
                QuotaScope::Account => ThrottleScope::Group,
                QuotaScope::QuotaKey => ThrottleScope::QuotaKey,
            };
            let rows = alike(part, Outcome::Delayed, Class::Transient, &code, *wait);
            answered(Class::Transient, rows, None, Some(Throttle { scope, wait: *wait }))
        }
        SendError::Unauthorised(_) => whole_by(part, Verdict::Misconfigured(HoldScope::Site), &code),
        SendError::Misconfigured { scope, .. } => whole_by(part, Verdict::Misconfigured(*scope), &code),
        SendError::Rerouted { to, .. } => whole_by(part, Verdict::Rerouted(to), &code),
        // Alone, a row that is refused is refused for good.
        SendError::Refused(_) | SendError::TooLarge(_) => answered(
            Class::Perm,
            alike(part, Outcome::Rejected, Class::Perm, &code, Duration::ZERO),
            None,
            None,
        ),
    }
}

/// Every row alike by what has to be mended, or taken another way.
fn whole_by(part: &Part, verdict: Verdict, code: &ErrorCode) -> (Class, Decision) {
    let said = RowAnswer { verdict, code: Some(code.clone()) };
    let answer = Answer { reply: Reply::default(), rows: vec![said; part.rows.len()] };
    (verdict.class(), decide_answer(part, &answer))
}
