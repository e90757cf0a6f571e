//! The two ways in.

use std::str::FromStr;

use serde::Deserialize;

/// Which API a site's conversions take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Transport {
    /// The Data Manager API: what every new advertiser must use. Takes a whole request or none of it; its receipt
    /// comes later.
    DataManager,
    /// The Google Ads API: closed to new callers since 2026-06-15. Answers for each row at once.
    AdsApi,
}

impl Transport {
    /// The word in credentials and in the ledger.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Transport::DataManager => "data_manager",
            Transport::AdsApi => "ads_api",
        }
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Transport::DataManager, Transport::AdsApi]
            .into_iter()
            .find(|transport| transport.as_str() == text)
            .ok_or_else(|| "must be data_manager or ads_api".to_owned())
    }
}
