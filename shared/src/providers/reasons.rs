//! What every code, outcome and class means in plain words, whose move it is, and what happens by itself: data, in
//! `reasons.json` beside this file for our own, and in each adapter's folder for its platform's.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::Registry;
use crate::domain::Class;

static OWN: LazyLock<Own> = LazyLock::new(|| {
    serde_json::from_str(include_str!("reasons.json")).expect("reasons.json is ours and tested")
});

/// What something means for the people whose conversion it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// One plain sentence.
    pub says: &'static str,
    /// Whose move it is.
    pub whose: Whose,
    /// What happens by itself, and when.
    pub then: Cow<'static, str>,
    /// What to do, where something can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<&'static str>,
}

/// Whose move it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// Nobody's: all is as it should be, or goes on by itself.
    Nobody,
    /// That of whoever runs this program.
    Operator,
    /// That of whoever sells and advertises.
    Advertiser,
    /// The platform's.
    Platform,
}

impl Whose {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Whose::Nobody => "nobody",
            Whose::Operator => "operator",
            Whose::Advertiser => "advertiser",
            Whose::Platform => "platform",
        }
    }
}

/// One entry of a catalogue.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The codes that share it; one may end in `*`.
    codes: Vec<String>,
    says: String,
    whose: Whose,
    then: Option<String>,
    mend: Option<String>,
}

/// Our own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    codes: Vec<Entry>,
    outcomes: Vec<Entry>,
    classes: Vec<Entry>,
    blocked_by: Vec<Entry>,
}

impl Entry {
    /// The first entry that names the code itself, or else a beginning of it.
    pub(super) fn find<'a>(entries: &'a [Entry], code: &str) -> Option<&'a Entry> {
        let begins = |known: &String| known.strip_suffix('*').is_some_and(|start| code.starts_with(start));
        let named = entries.iter().find(|entry| entry.codes.iter().any(|known| known == code));
        named.or_else(|| entries.iter().find(|entry| entry.codes.iter().any(begins)))
    }

    /// With what happens by itself, where the entry does not say it.
    pub(super) fn reason(&'static self, then: impl FnOnce() -> Cow<'static, str>) -> Reason {
        Reason {
            says: &self.says,
            whose: self.whose,
            then: self.then.as_deref().map_or_else(then, Cow::Borrowed),
            mend: self.mend.as_deref(),
        }
    }
}

/// What a code of this provider means, or one of our own; `None` where nobody has said it.
pub fn find(registry: &Registry, provider_key: &str, code: &str) -> Option<Reason> {
    let adapter = registry.iter().find(|provider| provider.key().as_str() == provider_key);
    adapter.and_then(|provider| provider.reason(code)).or_else(|| own(&OWN.codes, code))
}

/// What an outcome means, in whatever case it is written.
pub fn of_outcome(outcome: &str) -> Option<Reason> {
    own(&OWN.outcomes, &outcome.to_ascii_uppercase())
}

/// What a class means.
pub fn of_class(class: Class) -> Option<Reason> {
    own(&OWN.classes, class.as_str())
}

/// What keeps a conversion from going, by the word of `explain_conversion`.
pub fn of_blockade(blocked_by: &str) -> Option<Reason> {
    own(&OWN.blocked_by, blocked_by)
}

/// A catalogue in an adapter's folder, by family.
pub(super) fn catalogue(json: &str) -> BTreeMap<String, Vec<Entry>> {
    serde_json::from_str(json).expect("a catalogue is ours and tested")
}

fn own(entries: &'static [Entry], code: &str) -> Option<Reason> {
    Entry::find(entries, code).map(|entry| entry.reason(|| Cow::Borrowed("")))
}
