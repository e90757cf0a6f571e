//! The sites of the demo: each has its own way of going well or wrong.

use serde_json::json;
use shared::domain::{Secret, SiteId};
use uuid::Uuid;

/// One advertiser of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Site {
    /// Data Manager, large, with a poisoned batch.
    Aurora,
    /// Data Manager, small, with answers that get lost.
    Borealis,
    /// Google Ads API, with every answer that one row can get.
    Cedar,
    /// Google Ads API, in the hands of the runner that is killed.
    Delta,
    /// Google Ads API, told to wait.
    Ember,
    /// Google Ads API, down for a while.
    Fjord,
    /// Data Manager, grant revoked.
    Grove,
    /// No credentials.
    Harbor,
}

/// The two ways into Google, as credentials name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    DataManager,
    AdsApi,
}

/// How its national phone numbers are read.
pub(super) const COUNTRY: &str = "DE";

impl Site {
    pub(super) const ALL: [Site; 8] = [
        Site::Aurora,
        Site::Borealis,
        Site::Cedar,
        Site::Delta,
        Site::Ember,
        Site::Fjord,
        Site::Grove,
        Site::Harbor,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Site::Aurora => "aurora",
            Site::Borealis => "borealis",
            Site::Cedar => "cedar",
            Site::Delta => "delta",
            Site::Ember => "ember",
            Site::Fjord => "fjord",
            Site::Grove => "grove",
            Site::Harbor => "harbor",
        }
    }

    /// What is to be told of it.
    pub(super) fn story(self) -> &'static str {
        match self {
            Site::Aurora => "the largest; two poisoned conversions hide in its batch",
            Site::Borealis => "a connection breaks after its batch has arrived",
            Site::Cedar => "meets every answer that a single conversion can get",
            Site::Delta => "its runner is killed, and later an answer never comes",
            Site::Ember => "has used up its quota: 429, come back in 45 s",
            Site::Fjord => "its platform is down for a while (503)",
            Site::Grove => "has revoked its grant",
            Site::Harbor => "has no credentials",
        }
    }

    pub(super) fn id(self) -> SiteId {
        SiteId(Uuid::from_u128(0xde30_0000_0000_4000_8000_0000_0000_0001 + self as u128))
    }

    /// How it goes to Google; nowhere without credentials.
    pub(super) fn transport(self) -> Option<Transport> {
        match self {
            Site::Aurora | Site::Borealis | Site::Grove => Some(Transport::DataManager),
            Site::Cedar | Site::Delta | Site::Ember | Site::Fjord => Some(Transport::AdsApi),
            Site::Harbor => None,
        }
    }

    /// Its Google Ads account.
    pub(super) fn customer(self) -> String {
        format!("{}", 4_720_000_001_u64 + self as u64)
    }

    /// What an operator would put into the file for `relay credentials put`.
    pub(super) fn credentials(self) -> Option<Secret> {
        let customer = self.customer();
        let client = match self {
            // A client of its own has a quota of its own.
            Site::Ember => "ember",
            Site::Aurora | Site::Borealis | Site::Cedar | Site::Delta | Site::Fjord | Site::Grove => "agency",
            Site::Harbor => return None,
        };
        let grant = match self {
            Site::Grove => "invalid_grant",
            Site::Aurora | Site::Borealis | Site::Cedar | Site::Delta | Site::Ember | Site::Fjord => "grant",
            Site::Harbor => return None,
        };
        let json = json!({
            "customer_id": customer,
            "client_id": format!("{client}.apps.googleusercontent.com"),
            "client_secret": "demo-secret",
            "refresh_token": format!("1//demo-{grant}-{}", self.name()),
            "conversion_action_resource_name": format!("customers/{customer}/conversionActions/100"),
            "transport": self.transport()?.as_str(),
        });
        Some(Secret::new(json.to_string()))
    }
}

impl Transport {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Transport::DataManager => "data_manager",
            Transport::AdsApi => "ads_api",
        }
    }

    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Transport::DataManager => "Data Manager API",
            Transport::AdsApi => "Google Ads API",
        }
    }
}
