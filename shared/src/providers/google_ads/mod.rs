//! Google Ads, over the Data Manager API or the Google Ads API. What both take and answer: `ARCHITECTURE.md` names the sources.

mod about;
mod account;
mod admit;
mod checks;
mod conversion_action;
mod credentials;
mod customer_id;
mod daily_budget;
mod examine;
mod hex;
mod identifiers;
mod oauth;
mod order_key;
mod poll;
mod reasons;
mod request;
mod response;
mod send;
pub mod taxonomy;
mod transport;
mod wire;

pub use oauth::read_token;
pub use response::read_answer;

use jiff::Timestamp;

use crate::domain::{ConversionInput, Country, ErrorCode, FieldError, ProviderKey, Secret, User, UserInput};
use crate::providers::{
    Account, AccountOptions, Admitted, Budget, Capabilities, CodeRule, Provider, Reason, Receipt, Receipts,
    Results, SendError, http::RawAnswer,
};

/// Where the two APIs and the token endpoint are.
#[derive(Debug, Clone)]
pub struct GoogleConfig {
    /// The Google Ads API.
    pub ads_base_url: String,
    /// Its version, as it stands in addresses.
    pub ads_api_version: String,
    /// The Data Manager API.
    pub data_manager_base_url: String,
    /// The token endpoint: the whole address.
    pub oauth_token_url: String,
}

/// The Data Manager API itself.
const DATA_MANAGER: &str = "https://datamanager.googleapis.com";

impl Default for GoogleConfig {
    /// Google's own, and the newest version (read 2026-11-22).
    fn default() -> Self {
        Self {
            ads_base_url: "https://googleads.googleapis.com".to_owned(),
            ads_api_version: "v26".to_owned(),
            data_manager_base_url: DATA_MANAGER.to_owned(),
            oauth_token_url: "https://oauth2.googleapis.com/token".to_owned(),
        }
    }
}

/// The adapter.
pub struct GoogleAds {
    config: GoogleConfig,
    client: reqwest::Client,
    capabilities: Capabilities,
}

impl GoogleAds {
    /// `client` is the process's one, from [`build_client`](crate::providers::http::build_client).
    pub fn new(config: GoogleConfig, client: reqwest::Client) -> Self {
        let without_slash = |url: String| url.trim_end_matches('/').to_owned();
        let config = GoogleConfig {
            ads_base_url: without_slash(config.ads_base_url),
            data_manager_base_url: without_slash(config.data_manager_base_url),
            ..config
        };
        let capabilities = Capabilities {
            max_batch: request::MAX_ROWS,
            results: Results::ByTransport,
            receipts: Receipts::ByTransport,
            oldest_event: admit::CLICK_ID_AGE,
            smallest_click_age: admit::SMALLEST_CLICK_AGE,
            adjustments: true,
        };
        Self { config, client, capabilities }
    }
}

impl GoogleConfig {
    /// Of the Data Manager API per cloud project, on its ingestion: it is the OAuth client's, so all sites of one client share
    /// it. <https://developers.google.com/data-manager/api/devguides/limits>, read 2026-11-22. The Google Ads API's depends on
    /// the project's access level, which nothing here knows.
    fn budget(&self, transport: transport::Transport) -> Budget {
        match transport {
            transport::Transport::DataManager if self.data_manager_base_url == DATA_MANAGER => {
                Budget { per_minute: Some(300), per_day: Some(100_000) }
            }
            transport::Transport::DataManager | transport::Transport::AdsApi => Budget::default(),
        }
    }
}

/// What the answer to a question for a receipt means, for the account that these credentials open.
///
/// # Errors
/// What is wrong with the credentials; inside it, why the answer is none.
pub fn read_receipt(
    raw: &RawAnswer,
    credentials: &Secret,
    now: Timestamp,
) -> Result<Result<Receipt, SendError>, Vec<FieldError>> {
    let credentials = credentials::Credentials::parse(credentials)?;
    Ok(response::read_status(raw, &credentials, &taxonomy::Taxonomy::default(), now))
}

impl Provider for GoogleAds {
    fn key(&self) -> ProviderKey {
        ProviderKey::GoogleAds
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn admit(&self, input: ConversionInput, country: Option<Country>) -> Result<Admitted, Vec<FieldError>> {
        admit::admit(input, country)
    }

    fn action_key(&self, action: &str, own: Option<&str>) -> String {
        conversion_action::key(action, own.and_then(|own| own.parse().ok()).as_ref())
    }

    fn hash_user(&self, user: &UserInput, country: Option<Country>, dropped: &mut Vec<FieldError>) -> User {
        admit::hash_user(user, country, dropped)
    }

    fn can_probe(&self, code: &ErrorCode) -> bool {
        taxonomy::can_probe(code.as_str())
    }

    fn open_account(
        &self,
        credentials: &Secret,
        options: &AccountOptions,
    ) -> Result<Box<dyn Account>, Vec<FieldError>> {
        let mut credentials = credentials::Credentials::parse(credentials)?;
        if let Some(transport) = &options.transport {
            credentials.transport =
                transport.parse().map_err(|reason| vec![FieldError::new("transport", reason)])?;
        }
        let taxonomy = taxonomy::Taxonomy::new(&options.overrides);
        let (config, client) = (self.config.clone(), self.client.clone());
        Ok(Box::new(account::GoogleAccount::new(config, client, credentials, taxonomy)))
    }
    fn code_rules(&self) -> Vec<CodeRule> {
        taxonomy::code_rules().collect()
    }

    fn reason(&self, code: &str) -> Option<Reason> {
        reasons::find(code)
    }

    fn is_signal(&self, code: &str) -> bool {
        taxonomy::is_signal(code)
    }
}
