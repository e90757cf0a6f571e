//! Which conversions a code can be about, by what was sent of them.

use serde::Deserialize;

use crate::domain::{ConsentState, Conversion};

/// What a conversion must have, as it was sent, for a code to be about it. A receipt counts without naming rows: this
/// tells many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// Any click id.
    ClickIds,
    /// A gclid.
    Gclid,
    /// A gbraid.
    Gbraid,
    /// A wbraid.
    Wbraid,
    /// A gbraid or a wbraid.
    Braid,
    /// A custom variable.
    CustomVariables,
    /// A hashed address or number.
    UserIdentifiers,
    /// Anything but a yes to user data being sent.
    ConsentNotGiven,
}

impl About {
    /// Whether what was sent has it.
    pub(crate) fn fits(self, sent: &Conversion) -> bool {
        let ids = &sent.click_ids;
        match self {
            About::ClickIds => !ids.is_empty(),
            About::Gclid => ids.gclid.is_some(),
            About::Gbraid => ids.gbraid.is_some(),
            About::Wbraid => ids.wbraid.is_some(),
            About::Braid => ids.gbraid.is_some() || ids.wbraid.is_some(),
            About::CustomVariables => !sent.custom_variables.is_empty(),
            About::UserIdentifiers => !sent.user.is_empty(),
            About::ConsentNotGiven => sent.consent.ad_user_data != Some(ConsentState::Granted),
        }
    }
}
