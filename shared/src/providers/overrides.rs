//! What an operator says a code means, in place of what an adapter's table says.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::{Class, HoldScope};

/// What one code means from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// Its class.
    pub class: Class,
    /// Of CONFIG: what has to be mended. Of DELAY: what waits, where that is more than the row.
    pub scope: Option<HoldScope>,
    /// Of DELAY, TRANSIENT and UNMATCHED: how long to wait, from the answer on.
    pub wait: Option<Duration>,
    /// Of TRANSIENT and UNMATCHED: attempts in all.
    pub max_attempts: Option<u8>,
    /// Whether nothing is left out of the conversion for it; else what the adapter's own rule leaves out goes first.
    pub whole: bool,
}

/// One provider's overrides, by the whole code as outcomes keep it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides(BTreeMap<String, Override>);

impl Overrides {
    /// Each code and what it means.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Override)> {
        self.0.iter().map(|(code, said)| (code.as_str(), said))
    }
}

impl FromIterator<(String, Override)> for Overrides {
    fn from_iter<T: IntoIterator<Item = (String, Override)>>(codes: T) -> Self {
        Self(codes.into_iter().collect())
    }
}
