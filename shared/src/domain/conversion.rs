//! The canonical conversion: what is kept, once, and from which every request is built.

use std::collections::BTreeMap;

use iso_currency::Currency;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// One event to deliver to one provider for one site, after the door: identifiers are hashed, texts are trimmed.
/// Its JSON is the stored payload, so a field may be added with a default but never change its meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversion {
    /// The advertiser's own id: unique per site and provider.
    pub external_id: String,
    /// What the event says.
    pub kind: Kind,
    /// When the sale happened.
    pub occurred_at: Timestamp,
    /// When the ad was clicked, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clicked_at: Option<Timestamp>,
    /// In units of `currency`, decimal from end to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Decimal>,
    /// ISO 4217; present where `value` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// The order that adjustments refer to; `external_id` stands in where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// The clicks that may have caused it.
    #[serde(default, skip_serializing_if = "ClickIds::is_empty")]
    pub click_ids: ClickIds,
    /// Who bought, hashed by the provider's rule.
    #[serde(default, skip_serializing_if = "User::is_empty")]
    pub user: User,
    /// What the person agreed to; never invented.
    #[serde(default, skip_serializing_if = "Consent::is_empty")]
    pub consent: Consent,
    /// The platform's conversion action, where it is not the site's usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion_action: Option<String>,
    /// Named values that the platform reports by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_variables: BTreeMap<String, String>,
}

/// What an event says about a sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It happened.
    Conversion,
    /// Its value is another.
    Restatement,
    /// It is taken back.
    Retraction,
    /// More is known about who bought.
    Enhancement,
}

impl Kind {
    /// As it stands in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Conversion => "conversion",
            Kind::Restatement => "restatement",
            Kind::Retraction => "retraction",
            Kind::Enhancement => "enhancement",
        }
    }
}

/// Click ids, as the landing page received them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClickIds {
    /// Google's click id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gclid: Option<String>,
    /// Google's aggregate id of app to web measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gbraid: Option<String>,
    /// Google's aggregate id of web to app measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wbraid: Option<String>,
}

impl ClickIds {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Hashed identifiers: lower-case hexadecimal SHA-256 of the address or number as the provider normalises it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// Of the e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashed_email: Option<String>,
    /// Of the phone number in E.164.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashed_phone: Option<String>,
}

impl User {
    /// Whether nobody is named.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the person agreed to, per purpose; absent where nobody asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Consent {
    /// To user data being sent for advertising.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ad_user_data: Option<ConsentState>,
    /// To personalised advertising.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ad_personalization: Option<ConsentState>,
}

impl Consent {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether each purpose has its answer.
    pub fn is_complete(&self) -> bool {
        self.ad_user_data.is_some() && self.ad_personalization.is_some()
    }

    /// The same, with what holds by default for each purpose of which it says nothing.
    pub fn or(self, default: Self) -> Self {
        Self {
            ad_user_data: self.ad_user_data.or(default.ad_user_data),
            ad_personalization: self.ad_personalization.or(default.ad_personalization),
        }
    }
}

/// An answer that a person gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsentState {
    /// Yes.
    Granted,
    /// No.
    Denied,
}
