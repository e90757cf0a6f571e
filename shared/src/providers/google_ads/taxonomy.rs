//! What each of Google's codes means, as data: `error_classes.json` beside this file.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::daily_budget::next_pacific_midnight;
use crate::domain::{Class, HoldScope, Kind, Transient, Verdict, Wait};
use crate::providers::{Memo, retry_after::LONGEST_WAIT};

/// The least wait where the time that is waited for may have passed already, or clocks differ.
const LEAST_DELAY: Duration = Duration::from_secs(3_600);

/// The wait of a DELAY whose rule names none.
const USUAL_DELAY: Duration = Duration::from_secs(6 * 3_600);

/// Attempts for a code that nobody understands.
const UNKNOWN_ATTEMPTS: u8 = 3;

/// The taxonomy that is built in: rules by family, first match wins.
static BUILT_IN: LazyLock<BTreeMap<String, Vec<Rule>>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("error_classes.json")).expect("error_classes.json is ours and tested")
});

/// One row of the table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The code, or a beginning and `*`.
    pub code: String,
    /// Its number in the enum, where the enum is known: a server may send numbers that its JSON has no name for.
    pub number: Option<i64>,
    /// What it means.
    pub class: Class,
    /// Of CONFIG: what has to be mended. Of DELAY: what waits, where that is more than the row.
    pub scope: Option<HoldScope>,
    /// Of DELAY, TRANSIENT and UNMATCHED: how long to wait.
    pub wait_seconds: Option<u64>,
    /// From when that counts; from now where absent.
    pub wait_from: Option<WaitFrom>,
    /// Attempts in all.
    pub max_attempts: Option<u8>,
    /// How it ends; what is usual for its class where absent.
    pub ending: Option<Ending>,
    /// The optional part of the row that can be left out, so that the rest can go.
    pub degrade: Option<String>,
    /// Of CONFIG: whether a request that is only validated, with its token, proves that it is mended.
    #[serde(default)]
    pub probe: bool,
    /// Where the rule holds; everywhere where absent.
    pub when: Option<When>,
    /// For the reader.
    pub note: Option<String>,
}

/// From when a wait counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitFrom {
    /// From the click.
    Click,
    /// Until the sale's own time.
    Event,
    /// Until the daily budget is new.
    PacificMidnight,
}

/// How a conversion ends by a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Refused for good.
    Rejected,
    /// Too old.
    Expired,
    /// The person said no.
    ConsentDenied,
    /// Google has it already.
    Duplicate,
    /// Google knows something newer.
    Superseded,
}

/// Where a rule holds: every part that is given must fit.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// What the conversion says.
    pub kind: Option<Kind>,
    /// A part of the path of the field that is at fault.
    pub field: Option<String>,
    /// Where the sale lies in time.
    pub event: Option<EventTime>,
}

/// Where a sale lies in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventTime {
    /// After now.
    Future,
}

/// What a code's meaning depends on, besides the code.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The row, where one is at fault.
    pub memo: Option<Memo>,
    /// The path of the field at fault; empty where none is named.
    pub field: &'a str,
    /// The present.
    pub now: Timestamp,
}

/// The families, in order.
pub fn families() -> impl Iterator<Item = &'static str> {
    BUILT_IN.keys().map(String::as_str)
}

/// The rules of a family, in order.
pub fn rules(family: &str) -> &'static [Rule] {
    BUILT_IN.get(family).map(Vec::as_slice).unwrap_or_default()
}

/// The rule for a code; `None` where no rule knows it, which the rules of whole families and beginnings also do.
pub fn find(family: &str, code: &str, context: &Context<'_>) -> Option<&'static Rule> {
    rules(family)
        .iter()
        .find(|rule| rule.fits(code) && rule.when.as_ref().is_none_or(|when| when.holds(context)))
}

/// What a code means for one row. A code that no rule knows may well pass: it is tried three times.
pub fn classify(family: &str, code: &str, context: &Context<'_>) -> Verdict {
    find(family, code, context)
        .map_or(Verdict::Failed(Transient { wait: None, max_attempts: Some(UNKNOWN_ATTEMPTS) }), |rule| {
            rule.verdict(context)
        })
}

/// Whether a request that is only validated proves that what `code` says is mended; `code` as ledger and holds keep it.
pub fn can_probe(code: &str) -> bool {
    // An answer without a code of its own: who asks again gets another, or does not.
    if code.starts_with("HTTP_") {
        return true;
    }
    let (family, code) = code.rsplit_once('.').unwrap_or(("oauth", code));
    rules(family).iter().any(|rule| rule.class == Class::Config && rule.probe && rule.fits(code))
}

impl Rule {
    /// The rule of a whole family does not speak for what Google itself cannot name.
    fn fits(&self, code: &str) -> bool {
        match self.code.strip_suffix('*') {
            Some("") => !matches!(code, "UNKNOWN" | "UNSPECIFIED"),
            Some(beginning) => code.starts_with(beginning),
            None => self.code == code || code.parse().is_ok_and(|number: i64| self.number == Some(number)),
        }
    }

    /// What the rule means for one row.
    pub fn verdict(&self, context: &Context<'_>) -> Verdict {
        match self.class {
            Class::Ok => match self.ending {
                Some(Ending::Superseded) => Verdict::Superseded,
                Some(Ending::Duplicate | Ending::Rejected | Ending::Expired | Ending::ConsentDenied)
                | None => Verdict::Duplicate,
            },
            Class::Perm => match self.ending {
                Some(Ending::Expired) => Verdict::Expired,
                Some(Ending::ConsentDenied) => Verdict::ConsentDenied,
                Some(Ending::Rejected | Ending::Duplicate | Ending::Superseded) | None => Verdict::Rejected,
            },
            Class::Config => Verdict::Misconfigured(self.scope.unwrap_or(HoldScope::Site)),
            Class::Delay => Verdict::Delayed(self.delay(context)),
            Class::Transient => Verdict::Failed(self.transient()),
            Class::Split => Verdict::Resend,
            Class::Unmatched => {
                let tries_again = self.wait_seconds.is_some() || self.max_attempts.is_some();
                Verdict::Unmatched(tries_again.then(|| self.transient()))
            }
            Class::Ambiguous => Verdict::Unconfirmed,
        }
    }

    fn transient(&self) -> Transient {
        Transient { wait: self.wait_seconds.map(Duration::from_secs), max_attempts: self.max_attempts }
    }

    fn delay(&self, context: &Context<'_>) -> Wait {
        let wait = self.wait_seconds.map_or(USUAL_DELAY, Duration::from_secs);
        let at_most = context.now.checked_add(LONGEST_WAIT).unwrap_or(Timestamp::MAX);
        match (self.wait_from, context.memo) {
            (Some(WaitFrom::Click), Some(Memo { clicked_at: Some(clicked_at), .. })) => {
                Wait::Until(clicked_at.checked_add(wait).unwrap_or(Timestamp::MAX), LEAST_DELAY)
            }
            (Some(WaitFrom::Event), Some(Memo { occurred_at, .. })) => {
                Wait::Until(occurred_at.min(at_most), LEAST_DELAY)
            }
            (Some(WaitFrom::PacificMidnight), _) => {
                Wait::Until(next_pacific_midnight(context.now), Duration::ZERO)
            }
            (Some(WaitFrom::Click | WaitFrom::Event) | None, _) => Wait::For(wait),
        }
    }
}

impl When {
    fn holds(&self, context: &Context<'_>) -> bool {
        let memo = context.memo.as_ref();
        let is_future = |memo: &Memo| memo.occurred_at > context.now;
        self.kind.is_none_or(|kind| memo.is_some_and(|memo| memo.kind == kind))
            && self.field.as_ref().is_none_or(|field| context.field.contains(field))
            && self.event.is_none_or(|EventTime::Future| memo.is_some_and(is_future))
    }
}
