//! What each of Google's codes and each signal on the way to it means, as data: `error_classes.json` beside this file.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::about::About;
use super::daily_budget::next_pacific_midnight;
use super::transport::Transport;
use crate::domain::{Class, HoldScope, Kind, OptionalPart, Transient, Verdict, Wait};
use crate::providers::{CodeRule, Memo, Override, Overrides, retry_after::LONGEST_WAIT};

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

/// The family of what happened on the way, such as `HTTP_503` or `TIMEOUT`.
const TRANSPORT: &str = "transport";

/// The family of the token endpoint's codes.
const OAUTH: &str = "oauth";

/// The meaning of a signal that the table does not have; it has `HTTP_*`.
static IN_DOUBT: LazyLock<Rule> = LazyLock::new(|| {
    let said = Override { class: Class::Ambiguous, scope: None, wait: None, max_attempts: None, whole: true };
    Rule { is_override: false, ..Rule::overriding("*", &said) }
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
    /// Of CONFIG: the transport that is open to a site to which this one is closed.
    pub(crate) switch_to: Option<Transport>,
    /// What a conversion must have to be the one that is meant; anything where absent.
    pub about: Option<About>,
    /// Of CONFIG: whether a request that is only validated, with its token, proves that it is mended.
    #[serde(default)]
    pub probe: bool,
    /// Where the rule holds; everywhere where absent.
    pub when: Option<When>,
    /// For the reader.
    pub note: Option<String>,
    /// Whether an operator said it.
    #[serde(skip)]
    pub is_override: bool,
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
    /// Who answered.
    pub body: Option<Body>,
}

/// Where a sale lies in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventTime {
    /// After now.
    Future,
}

/// Who gave an answer, by its body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The API: JSON of its shape.
    #[default]
    Api,
    /// Something else, such as a web page.
    Page,
}

/// What a code's meaning depends on, besides the code.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// The row, where one is at fault.
    pub memo: Option<Memo>,
    /// The path of the field at fault; empty where none is named.
    pub field: &'a str,
    /// The present.
    pub now: Timestamp,
    /// Who answered.
    pub body: Body,
}

/// The families, in order.
pub fn families() -> impl Iterator<Item = &'static str> {
    BUILT_IN.keys().map(String::as_str)
}

/// The rules of a family, in order.
pub fn rules(family: &str) -> &'static [Rule] {
    BUILT_IN.get(family).map(Vec::as_slice).unwrap_or_default()
}

/// The whole table, as an operator reads it.
pub fn code_rules() -> impl Iterator<Item = CodeRule> {
    families().flat_map(|family| {
        rules(family).iter().map(move |rule| CodeRule {
            code: full_code(family, &rule.code),
            class: rule.class,
            scope: rule.scope,
            wait_seconds: rule.wait_seconds,
            max_attempts: rule.max_attempts,
            is_conditional: rule.when.is_some(),
            note: rule.note.clone(),
        })
    })
}

/// What a conversion must have for a code to be about it, where that is known.
pub(crate) fn about(family: &str, code: &str) -> Option<About> {
    rules(family).iter().find(|rule| rule.fits(code)).and_then(|rule| rule.about)
}

/// Whether a code is of the way to Google and not of Google.
pub fn is_signal(full: &str) -> bool {
    let (family, code) = split_code(full);
    family == TRANSPORT && rules(TRANSPORT).iter().any(|rule| rule.fits(code))
}

/// A code as outcomes keep it. Those of the token endpoint and of the way there stand without their family.
pub fn full_code(family: &str, code: &str) -> String {
    if matches!(family, OAUTH | TRANSPORT) { code.to_owned() } else { format!("{family}.{code}") }
}

/// The family and the code in it of a code that outcomes keep.
pub fn split_code(full: &str) -> (&str, &str) {
    match full.rsplit_once('.') {
        Some((family, code)) => (family, code),
        None if full.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => (OAUTH, full),
        None => (TRANSPORT, full),
    }
}

/// The table that is built in, and what an operator put in the place of some of its rows.
#[derive(Debug, Default)]
pub struct Taxonomy {
    /// By the whole code; the last of each has no condition.
    overridden: BTreeMap<String, Vec<Rule>>,
}

impl Taxonomy {
    /// The table with these overrides.
    pub fn new(overrides: &Overrides) -> Self {
        let overridden = |(full, said): (&str, &Override)| {
            let (family, code) = split_code(full);
            let plain = Rule::overriding(code, said);
            let built_in = rules(family).iter().filter(|rule| rule.fits(code));
            let rules = built_in.map(|rule| rule.overridden(code, said)).chain([plain.clone()]).collect();
            (full.to_owned(), rules)
        };
        Self { overridden: overrides.iter().map(overridden).collect() }
    }

    /// The rule for a code; `None` where no rule knows it, which the rules of whole families and beginnings also do.
    pub fn find(&self, family: &str, code: &str, context: &Context<'_>) -> Option<&Rule> {
        let fitting = || rules(family).iter().filter(|rule| rule.fits(code));
        // A server may send the number; the operator has said the name.
        let name = fitting().find(|rule| !rule.code.ends_with('*')).map_or(code, |rule| &rule.code);
        let holds = |rule: &&Rule| rule.when.as_ref().is_none_or(|when| when.holds(context));
        match self.overridden.get(&full_code(family, name)) {
            Some(rules) => rules.iter().find(holds),
            None => fitting().find(holds),
        }
    }

    /// The rule for what happened on the way.
    pub fn signal(&self, code: &str, context: &Context<'_>) -> &Rule {
        self.find(TRANSPORT, code, context).unwrap_or(&IN_DOUBT)
    }

    /// The same without what operators said: where an answer has a code of its own, that is what they speak of.
    pub fn built_in_signal(code: &str, context: &Context<'_>) -> &'static Rule {
        let fits =
            |rule: &&Rule| rule.fits(code) && rule.when.as_ref().is_none_or(|when| when.holds(context));
        rules(TRANSPORT).iter().find(fits).unwrap_or(&IN_DOUBT)
    }

    /// Whether anybody has said what a code means. What Google itself cannot name, nobody has.
    pub fn knows(&self, family: &str, code: &str) -> bool {
        let rule = self.find(family, code, &Context::default());
        let is_nameless = matches!(code, "UNKNOWN" | "UNSPECIFIED" | "ERROR_CODE_NOT_PUBLISHED");
        // A rule may hold under a condition alone, and the code is known all the same.
        let is_listed = || rules(family).iter().any(|rule| rule.fits(code));
        rule.is_some_and(|rule| rule.is_override) || !is_nameless && (rule.is_some() || is_listed())
    }

    /// What a code means for one row. A code that no rule knows may well pass: it is tried three times.
    pub fn classify(&self, family: &str, code: &str, context: &Context<'_>) -> Verdict {
        self.find(family, code, context)
            .map_or(Verdict::Failed(Transient { wait: None, max_attempts: Some(UNKNOWN_ATTEMPTS) }), |rule| {
                rule.verdict(context)
            })
    }
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
    /// What an operator said, and nothing more.
    fn overriding(code: &str, said: &Override) -> Self {
        Self {
            code: code.to_owned(),
            number: None,
            about: None,
            switch_to: None,
            probe: false,
            class: said.class,
            scope: said.scope,
            wait_seconds: said.wait.map(|wait| wait.as_secs()),
            wait_from: None,
            max_attempts: said.max_attempts,
            ending: None,
            degrade: None,
            when: None,
            note: None,
            is_override: true,
        }
    }

    /// What an operator said in its place; its ending stays with its class, the part to leave out with all that was not taken.
    fn overridden(&self, code: &str, said: &Override) -> Self {
        let kept = self.class == said.class;
        Self {
            when: self.when.clone(),
            ending: self.ending.filter(|_| kept),
            degrade: self.degrade.clone().filter(|_| !said.whole && (kept || !said.class.may_be_taken())),
            switch_to: self.switch_to.filter(|_| kept),
            about: self.about,
            probe: self.probe && kept,
            wait_from: self.wait_from.filter(|_| kept && said.wait.is_none()),
            ..Self::overriding(code, said)
        }
    }

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
        if let Some((part, memo)) = self.part().zip(context.memo) {
            if memo.to_spare.contains(part) {
                return Verdict::Degraded(part);
            }
            // It cannot go without: it alone waits, whomever else the table would stop.
            if self.class == Class::Config && !self.is_override {
                return Verdict::Misconfigured(HoldScope::Row);
            }
        }
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
            Class::Config => match self.switch_to {
                Some(transport) => Verdict::Rerouted(transport.as_str()),
                None => Verdict::Misconfigured(self.scope.unwrap_or(HoldScope::Site)),
            },
            Class::Delay if self.scope == Some(HoldScope::ConversionAction) => {
                Verdict::ActionDelayed(self.delay(context))
            }
            Class::Delay if self.max_attempts.is_some() => Verdict::DelayedAtMost(self.transient()),
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

    /// The optional part that is at fault, where it is one that we send.
    pub(crate) fn part(&self) -> Option<OptionalPart> {
        self.degrade.as_deref().and_then(OptionalPart::parse)
    }

    fn transient(&self) -> Transient {
        Transient { wait: self.wait_seconds.map(Duration::from_secs), max_attempts: self.max_attempts }
    }

    /// Its wait.
    pub fn delay(&self, context: &Context<'_>) -> Wait {
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
            && self.body.is_none_or(|body| body == context.body)
    }
}
