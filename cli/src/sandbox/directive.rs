//! Reads the behaviour that a conversion asks for out of its own ids; the syntax stands in `sandbox/mod.rs`.

use super::codes;
use std::collections::HashMap;
use std::time::Duration;

/// The code that answers a directive which does not exist: one that nobody takes for Google's.
pub(super) const UNKNOWN: &str = "UNKNOWN_SANDBOX_DIRECTIVE";
/// What stands before a directive, wherever in the id.
const MARK: &str = "sandbox-";
/// The one directive with the separator in its name.
const RESET_BEFORE: &str = "reset-before";
/// Longest wait that `slow` may ask for: longer than any client's timeout, short enough for a stuck demo to end.
const SLOW_MAX: Duration = Duration::from_secs(120);
/// Counters of `*times` that are kept; a stand-in that ran so far has a new day coming.
const COUNTERS_MAX: usize = 200_000;

/// One directive, and for how many requests it holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Directive {
    pub(super) effect: Effect,
    times: Option<u32>,
}

/// What a directive does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    /// Nothing: the conversion is judged like any other.
    Nothing,
    /// The whole request is answered later.
    Slow(Duration),
    /// The row is refused with this code, and with its place in the request.
    Error(Code),
    /// The row is taken, and its receipt counts it under this reason.
    Reason(String),
    /// The row is taken, and its receipt warns of this reason.
    Warning(String),
    /// The receipt of the request that carries the row says this of the row's destination.
    Receipt(Oddity),
    /// The question for the receipt of the request that carries the row is refused.
    Poll(Whole),
    /// The whole request meets this end.
    Whole(Whole),
}

/// What can be odd about what a receipt says of a destination.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Oddity {
    /// It is never done.
    Pending,
    /// All went well, and one error is counted.
    Success,
    /// One record more than was sent.
    Records,
    /// Errors of more records than there are.
    Counts,
}

/// What can happen to a whole request because of one of its rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Whole {
    /// Refused with this status, before anything was recorded.
    Status(u16, Detail),
    /// Refused with this code, before anything was recorded.
    Refuse(Code),
    /// Recorded, then never answered.
    Timeout,
    /// Recorded, then the connection is reset.
    Reset,
    /// Reset before anything was recorded.
    ResetBefore,
    /// Recorded, then answered with something that cannot be read.
    Garbage,
}

/// What a status is told with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Detail {
    /// Nothing more.
    Bare,
    /// The index of the row.
    Row,
    /// Seconds until a retry is welcome.
    RetryAfter(u32),
}

/// A code, with its family where the directive names one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Code {
    pub(super) family: Option<String>,
    pub(super) name: String,
}

/// The first directive in the ids of a row: the click ids' before the order's.
///
/// # Errors
/// The directive itself, where there is no such thing: a typing error must not pass for a delivery.
pub(super) fn find<'a>(ids: impl IntoIterator<Item = &'a str>) -> Result<Option<Directive>, String> {
    match ids.into_iter().find_map(|id| id.split_once(MARK).map(|(_, rest)| rest)) {
        None => Ok(None),
        Some(text) => parse(text).map(Some),
    }
}

fn parse(text: &str) -> Result<Directive, String> {
    let token = match text.strip_prefix(RESET_BEFORE) {
        Some(rest) => &text[..RESET_BEFORE.len() + rest.find('-').unwrap_or(rest.len())],
        None => text.split('-').next().unwrap_or(text),
    };
    let (name, times) = match token.split_once('*') {
        None => (token, None),
        Some((name, times)) => (name, Some(times.parse::<u32>().map_err(|_| token.to_owned())?)),
    };
    let effect = parse_effect(name).ok_or_else(|| token.to_owned())?;
    Ok(Directive { effect, times })
}

fn parse_effect(name: &str) -> Option<Effect> {
    let (verb, rest) = match name.split_once('.') {
        Some((verb, rest)) => (verb, Some(rest)),
        None => (name, None),
    };
    Some(match (verb, rest) {
        ("ok", None) => Effect::Nothing,
        ("slow", Some(ms)) => Effect::Slow(Duration::from_millis(ms.parse().ok()?).min(SLOW_MAX)),
        ("error", Some(code)) => Effect::Error(Code::parse(code)?),
        ("reason", Some(code)) => Effect::Reason(codes::processing_reason(code)?),
        ("warning", Some(code)) => Effect::Warning(codes::warning_reason(code)?),
        ("receipt", Some(oddity)) => Effect::Receipt(Oddity::parse(oddity)?),
        ("poll", Some(status)) => Effect::Poll(parse_status(status)?),
        ("http", Some(status)) => Effect::Whole(parse_status(status)?),
        ("refuse", Some(code)) => Effect::Whole(Whole::Refuse(Code::parse(code)?)),
        ("timeout", None) => Effect::Whole(Whole::Timeout),
        ("reset", None) => Effect::Whole(Whole::Reset),
        (RESET_BEFORE, None) => Effect::Whole(Whole::ResetBefore),
        ("garbage", None) => Effect::Whole(Whole::Garbage),
        _ => return None,
    })
}

fn parse_status(text: &str) -> Option<Whole> {
    let (status, detail) = match text.split_once('.') {
        None => (text, Detail::Bare),
        Some((status, "row")) => (status, Detail::Row),
        Some((status, seconds)) => (status, Detail::RetryAfter(seconds.parse().ok()?)),
    };
    let status = status.parse().ok().filter(|status| (400..600).contains(status))?;
    Some(Whole::Status(status, detail))
}

impl Oddity {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "pending" => Self::Pending,
            "success" => Self::Success,
            "records" => Self::Records,
            "counts" => Self::Counts,
            _ => return None,
        })
    }
}

impl Code {
    fn parse(text: &str) -> Option<Self> {
        let is_code = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        };
        let (family, name) = match text.split_once('.') {
            Some((family, name)) => (Some(family.to_owned()), name),
            None => (None, text),
        };
        is_code(name).then(|| Self { family, name: name.to_owned() })
    }
}

/// A row's directive and the seat of its counter: the row, as far as the platform can tell rows apart.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) directive: Directive,
    pub(super) seat: String,
}

/// Counts for how many requests each row's directive has held.
#[derive(Default)]
pub(super) struct Spent {
    counters: HashMap<String, u32>,
}

impl Order {
    /// Whether it speaks for questions.
    pub(super) fn is_of_polls(&self) -> bool {
        matches!(self.directive.effect, Effect::Poll(_))
    }
}

impl Spent {
    /// What rules a whole request: the longest wait, and the first row that has an end for it.
    /// The directives of all rows that speak for the whole request are spent by it together.
    pub(super) fn rule_request<'a>(
        &mut self,
        orders: impl Iterator<Item = (usize, &'a Order)>,
    ) -> (Duration, Option<(usize, Whole)>) {
        let mut delay = Duration::ZERO;
        let mut end = None;
        for (row, order) in orders {
            match &order.directive.effect {
                Effect::Slow(wait) if self.spend(order) => delay = delay.max(*wait),
                Effect::Whole(whole) if self.spend(order) && end.is_none() => {
                    end = Some((row, whole.clone()))
                }
                Effect::Nothing
                | Effect::Slow(_)
                | Effect::Whole(_)
                | Effect::Error(_)
                | Effect::Reason(_)
                | Effect::Receipt(_)
                | Effect::Poll(_)
                | Effect::Warning(_) => {}
            }
        }
        (delay, end)
    }

    /// The code that refuses this row now, if its directive has one left.
    pub(super) fn rule_row(&mut self, order: Option<&Order>) -> Option<Code> {
        let order = order?;
        let Effect::Error(code) = &order.directive.effect else { return None };
        self.spend(order).then(|| code.clone())
    }

    /// The reason under which this row's receipt counts it now, if its directive has one left.
    pub(super) fn rule_receipt(&mut self, order: Option<&Order>) -> Option<String> {
        let order = order?;
        let Effect::Reason(reason) = &order.directive.effect else { return None };
        self.spend(order).then(|| reason.clone())
    }

    /// The reason of which this row's receipt warns now, if its directive has one left.
    pub(super) fn rule_warning(&mut self, order: Option<&Order>) -> Option<String> {
        let order = order?;
        let Effect::Warning(reason) = &order.directive.effect else { return None };
        self.spend(order).then(|| reason.clone())
    }

    /// What is odd about the receipt of this row's destination now, if its directive has one left.
    pub(super) fn rule_oddity(&mut self, order: Option<&Order>) -> Option<Oddity> {
        let order = order?;
        let Effect::Receipt(oddity) = order.directive.effect else { return None };
        self.spend(order).then_some(oddity)
    }

    /// How the question for this row's receipt is refused, if its directive has one left.
    pub(super) fn rule_poll(&mut self, order: &Order) -> Option<Whole> {
        let Effect::Poll(whole) = &order.directive.effect else { return None };
        self.spend(order).then(|| whole.clone())
    }

    fn spend(&mut self, order: &Order) -> bool {
        let Some(times) = order.directive.times else { return true };
        if self.counters.len() >= COUNTERS_MAX && !self.counters.contains_key(&order.seat) {
            // Behaving well for ever is the end that every `*times` has.
            return false;
        }
        let used = self.counters.entry(order.seat.clone()).or_default();
        *used = used.saturating_add(1);
        *used <= times
    }
}
