//! What Google's codes mean in plain words: `reasons.json` beside this file. What happens by itself follows from the table.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::taxonomy::{Context, Rule, Taxonomy, WaitFrom, split_code};
use crate::domain::{Class, HoldScope, MAX_RETRY_ATTEMPTS};
use crate::providers::reasons::{Entry, Reason, catalogue};

static CATALOGUE: LazyLock<BTreeMap<String, Vec<Entry>>> =
    LazyLock::new(|| catalogue(include_str!("reasons.json")));

/// What holds for every family.
const EVERY_FAMILY: &str = "*";

/// The reason of a code as outcomes keep it.
pub(super) fn find(full: &str) -> Option<Reason> {
    let (family, code) = split_code(full);
    let of = |family: &str| CATALOGUE.get(family).and_then(|entries| Entry::find(entries, code));
    let of_every = full.contains('.').then(|| of(EVERY_FAMILY)).flatten();
    let entry = of_every.or_else(|| of(family))?;
    let taxonomy = Taxonomy::default();
    let rule = taxonomy.find(family, code, &Context::default());
    Some(entry.reason(|| rule.map_or(Cow::Borrowed(""), then)))
}

/// What happens by itself, and when.
fn then(rule: &Rule) -> Cow<'static, str> {
    match rule.class {
        Class::Ok => Cow::Borrowed("Counts once, so nothing more happens."),
        Class::Perm => Cow::Borrowed("Nothing more happens by itself."),
        Class::Config => Cow::Borrowed(held(rule.scope.unwrap_or(HoldScope::Site))),
        Class::Delay if rule.max_attempts.is_some() => {
            Cow::Owned(format!("{}, {}; then it is given up on.", again(rule), most(rule)))
        }
        Class::Delay => Cow::Owned(format!("{}; uses up no retry.", delayed(rule))),
        Class::Split => Cow::Borrowed("Sent again at once in another request; uses up no retry."),
        Class::Ambiguous => Cow::Borrowed(
            "The identical request is sent again. Where Google says that it has the conversion already, that was the \
             delivery.",
        ),
        Class::Transient => Cow::Owned(format!("{}, {}.", again(rule), most(rule))),
        Class::Unmatched if rule.wait_seconds.is_some() => {
            Cow::Owned(format!("{}, {}; then it ends as unmatched.", again(rule), most(rule)))
        }
        Class::Unmatched => Cow::Borrowed("Nothing more happens."),
    }
}

fn held(scope: HoldScope) -> &'static str {
    match scope {
        HoldScope::Row => {
            "This conversion waits without using up retries; it goes on by itself once credentials are stored again or \
             its hold is lifted. Others go on meanwhile."
        }
        HoldScope::ConversionAction => {
            "Conversions of this conversion action wait without using up retries; they go on by themselves once \
             credentials are stored again or the hold is lifted. Others go on meanwhile."
        }
        HoldScope::Site | HoldScope::Client | HoldScope::Provider => {
            "Conversions of the site wait without using up retries; they go on by themselves once credentials are \
             stored again or the hold is lifted."
        }
    }
}

fn delayed(rule: &Rule) -> String {
    let wait = rule.wait_seconds.map_or_else(|| "six hours".to_owned(), duration);
    match rule.wait_from {
        Some(WaitFrom::Click) => format!("Tried again {wait} after the click"),
        Some(WaitFrom::Event) => "Tried again when its time has come, and once a day until then".to_owned(),
        Some(WaitFrom::PacificMidnight) => {
            "Goes on when Google’s day begins, at midnight in California".to_owned()
        }
        None => format!("Tried again in {wait}"),
    }
}

fn again(rule: &Rule) -> String {
    let wait = rule.wait_seconds.map_or_else(|| "a minute, then after longer waits".to_owned(), duration);
    format!("Tried again in {wait}")
}

fn most(rule: &Rule) -> &'static str {
    match rule.max_attempts.unwrap_or(MAX_RETRY_ATTEMPTS) {
        ..=1 => "once in all",
        2 => "at most twice in all",
        3 => "at most three times in all",
        4 => "at most four times in all",
        5.. => "at most five times in all",
    }
}

/// The largest unit that fits.
fn duration(seconds: u64) -> String {
    let (count, unit) = match seconds {
        3_600.. if seconds.is_multiple_of(3_600) => (seconds / 3_600, "hour"),
        60.. if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    if count == 1 { format!("one {unit}") } else { format!("{count} {unit}s") }
}
