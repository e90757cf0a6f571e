//! The ad platforms this program can deliver to, by the key that stands in schedules, tables and files.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// An ad platform. A new one must stop the build wherever somebody has to know about it, hence an enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKey {
    /// Google Ads, over the Data Manager API or the Google Ads API.
    GoogleAds,
}

impl ProviderKey {
    /// Every provider, in the order in which runs without a provider visit them.
    pub const ALL: [ProviderKey; 1] = [ProviderKey::GoogleAds];

    /// The key as it stands in tables and files.
    pub fn as_str(self) -> &'static str {
        match self {
            ProviderKey::GoogleAds => "google_ads",
        }
    }
}

impl fmt::Display for ProviderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ProviderKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|key| key.as_str() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|key| key.as_str()).collect();
            format!("is no provider of this version: one of {}", known.join(", "))
        })
    }
}
