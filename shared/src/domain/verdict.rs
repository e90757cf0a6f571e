//! What a provider's answer means for one conversion, before anything is decided about it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::omitted::OptionalPart;

/// The class of an answer: the same words for every provider, in every mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Class {
    /// Delivered, or known to be.
    Ok,
    /// The row will never be taken.
    Perm,
    /// Not the row's fault: somebody has to mend something first.
    Config,
    /// A known wait, in hours.
    Delay,
    /// May well work later.
    Transient,
    /// The fault of our batching: build anew and send again.
    Split,
    /// Taken, without a click or person that it belongs to.
    Unmatched,
    /// Perhaps delivered: send the identical thing again.
    Ambiguous,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 8] = [
        Class::Ok,
        Class::Perm,
        Class::Config,
        Class::Delay,
        Class::Transient,
        Class::Split,
        Class::Unmatched,
        Class::Ambiguous,
    ];

    /// The word in tables (`provider_error_category`) and data files.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Ok => "OK",
            Class::Perm => "PERM",
            Class::Config => "CONFIG",
            Class::Delay => "DELAY",
            Class::Transient => "TRANSIENT",
            Class::Split => "SPLIT",
            Class::Unmatched => "UNMATCHED",
            Class::Ambiguous => "AMBIGUOUS",
        }
    }

    /// How bad it is beside others on the same conversion: what has to be mended comes before what is lost, that before
    /// what waits, and success last.
    pub fn severity(self) -> u8 {
        match self {
            Class::Config => 7,
            Class::Perm => 6,
            Class::Delay => 5,
            Class::Ambiguous => 4,
            Class::Transient => 3,
            Class::Split => 2,
            Class::Unmatched => 1,
            Class::Ok => 0,
        }
    }

    /// Whether the provider has the conversion by it, or may have it: then nothing is sent that is not identical.
    pub fn may_be_taken(self) -> bool {
        match self {
            Class::Ok | Class::Unmatched | Class::Ambiguous => true,
            Class::Perm | Class::Config | Class::Delay | Class::Transient | Class::Split => false,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Class {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::as_str);
        let found = Self::ALL.into_iter().find(|class| class.as_str() == text);
        found.ok_or_else(|| format!("must be one of {}", known.join(", ")))
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// From now on.
    For(Duration),
    /// Until a known time, and at least for the duration from now on.
    Until(Timestamp, Duration),
}

/// What has to be mended before the row can go: the smallest thing that covers the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldScope {
    /// This conversion alone.
    Row,
    /// Every conversion of its conversion action.
    ConversionAction,
    /// Every conversion of the site at this provider.
    Site,
    /// Every site that shares the OAuth client or cloud project.
    Client,
    /// Everything for this provider.
    Provider,
}

impl HoldScope {
    /// Every scope, the smallest first.
    pub const ALL: [HoldScope; 5] = [
        HoldScope::Row,
        HoldScope::ConversionAction,
        HoldScope::Site,
        HoldScope::Client,
        HoldScope::Provider,
    ];

    /// The word in tables and data files.
    pub fn as_str(self) -> &'static str {
        match self {
            HoldScope::Row => "row",
            HoldScope::ConversionAction => "conversion_action",
            HoldScope::Site => "site",
            HoldScope::Client => "client",
            HoldScope::Provider => "provider",
        }
    }
}

impl FromStr for HoldScope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::as_str);
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| format!("must be one of {}", known.join(", ")))
    }
}

/// A fault of the moment, on the row itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transient {
    /// The wait that the provider named; ours where it named none.
    pub wait: Option<Duration>,
    /// Fewer attempts than usual, for codes that nobody understands.
    pub max_attempts: Option<u8>,
}

/// What an answer means for one conversion. Together with the row's history it becomes an
/// [`Outcome`](super::Outcome).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Taken.
    Delivered,
    /// Taken; the provider tells later what became of it.
    Submitted,
    /// The provider has it already.
    Duplicate,
    /// Taken, without a match. `Some` asks for another try after the wait, while tries are left.
    Unmatched(Option<Transient>),
    /// The provider knows something newer.
    Superseded,
    /// Dropped because the person said no.
    ConsentDenied,
    /// Refused for good.
    Rejected,
    /// Refused for good: too old.
    Expired,
    /// Something has to be mended first.
    Misconfigured(HoldScope),
    /// Too early; not the row's fault.
    Delayed(Wait),
    /// Perhaps too early, and after so many attempts refused: each of them burns a retry.
    DelayedAtMost(Transient),
    /// Too early for every conversion of its conversion action.
    ActionDelayed(Wait),
    /// Refused for a part that it can go without.
    Degraded(OptionalPart),
    /// This way is closed to the site: the transport that is open to it.
    Rerouted(&'static str),
    /// Failed for the moment, by the row's own verdict.
    Failed(Transient),
    /// Not looked at: has to be sent again in a request built anew.
    Resend,
    /// Perhaps taken: the identical thing has to be sent again.
    Unconfirmed,
}

impl Verdict {
    /// The class that this verdict belongs to.
    pub fn class(&self) -> Class {
        match self {
            Verdict::Delivered | Verdict::Submitted | Verdict::Duplicate | Verdict::Superseded => Class::Ok,
            Verdict::Unmatched(_) => Class::Unmatched,
            Verdict::ConsentDenied | Verdict::Rejected | Verdict::Expired => Class::Perm,
            Verdict::Misconfigured(_) | Verdict::Rerouted(_) => Class::Config,
            Verdict::Delayed(_) | Verdict::DelayedAtMost(_) | Verdict::ActionDelayed(_) => Class::Delay,
            Verdict::Failed(_) => Class::Transient,
            Verdict::Resend | Verdict::Degraded(_) => Class::Split,
            Verdict::Unconfirmed => Class::Ambiguous,
        }
    }
}
