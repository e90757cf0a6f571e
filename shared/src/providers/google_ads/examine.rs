//! Looks at an account without a conversion: asks Google in order, and stops where the rest could only fail.

use jiff::Timestamp;

use super::GoogleConfig;
use super::checks::{self, Meets};
use super::conversion_action::ActionName;
use super::credentials::Credentials;
use super::request::{self, Made};
use super::response::{no_rows, read_fault, read_search, read_validation};
use super::send::post;
use super::taxonomy::Taxonomy;
use super::transport::Transport;
use super::wire::search::Row;
use crate::providers::{AccessToken, Check, Depth, Request, RowAnswer, SendError};

/// One search for the account, one for the action, and two requests to be validated: with an identifier and without.
const MOST_REQUESTS: u32 = 4;

/// The two of these that are validated.
const MOST_VALIDATIONS: u32 = 2;

/// See [`Account::examine_requests`](crate::providers::Account::examine_requests).
pub(crate) fn requests(depth: Depth) -> u32 {
    match depth {
        Depth::Cheap => 0,
        Depth::Probe => MOST_VALIDATIONS,
        Depth::Full => MOST_REQUESTS,
    }
}

/// One look.
pub(crate) struct Look<'a> {
    pub(crate) client: &'a reqwest::Client,
    pub(crate) config: &'a GoogleConfig,
    pub(crate) credentials: &'a Credentials,
    pub(crate) taxonomy: &'a Taxonomy,
    pub(crate) token: &'a AccessToken,
    pub(crate) now: Timestamp,
}

impl Look<'_> {
    /// See [`Account::examine`](crate::providers::Account::examine).
    pub(crate) async fn examine(self, depth: Depth, action: Option<&str>) -> Vec<Check> {
        let transport = self.credentials.transport;
        let mut found = vec![checks::of_scope(transport, self.token.scopes.as_deref())];
        let may_send = !found.iter().any(Check::is_red);
        match depth {
            Depth::Cheap => {}
            Depth::Probe if may_send => found.extend(self.validate(action).await),
            Depth::Full if may_send => {
                found.extend(self.describe(action).await);
                found.extend(self.validate(action).await);
            }
            Depth::Probe | Depth::Full => found.push(Check::skipped(
                checks::REQUEST,
                "nothing can be sent with this grant: mend its scope first",
            )),
        }
        found
    }

    /// What the Google Ads API tells of the account and of the action.
    async fn describe(&self, action: Option<&str>) -> Vec<Check> {
        let ads_api = Transport::AdsApi;
        if !checks::may_cover(ads_api, self.token.scopes.as_deref()) {
            return checks::undescribed("the grant does not cover the Google Ads API, which alone tells");
        }
        let own = &self.credentials.conversion_action;
        let named = action.filter(|action| !action.is_empty());
        let name =
            named.map_or_else(|| Some(own.clone()), |text| ActionName::of_conversion(text, &own.owner));
        let Some(name) = name else { return vec![checks::of_malformed_action()] };
        let meets = Meets { transport: self.credentials.transport };
        // Data Manager takes events for the action's owner, the Google Ads API for the customer that is called.
        let operating = match self.credentials.transport {
            Transport::DataManager => &name.owner,
            Transport::AdsApi => &self.credentials.customer_id,
        };
        let mut found = match self.search(request::search_customer(self.config, operating)).await {
            Ok(rows) => meets.of_customer(&rows, operating),
            Err(error) => return meets.of_no_access(&error),
        };
        found.extend(match self.search(request::search_action(self.config, operating, &name.id)).await {
            Ok(rows) => meets.of_action(&rows, operating),
            Err(error) => vec![checks::of_error(checks::ACTION, &error)],
        });
        found
    }

    /// Whether a conversion would be taken: with an identifier, and where that is refused for its sake, without.
    async fn validate(&self, action: Option<&str>) -> Vec<Check> {
        let whole = self.validated(action, Made::ClickAndIdentifier).await;
        let with = checks::of_validation(checks::IDENTIFIERS, &whole);
        if !with.is_red() {
            return vec![checks::of_validation(checks::REQUEST, &whole), with];
        }
        if !checks::is_about_identifiers(&with) {
            return vec![checks::of_validation(checks::REQUEST, &whole)];
        }
        let bare = self.validated(action, Made::Click).await;
        vec![checks::of_validation(checks::REQUEST, &bare), with]
    }

    async fn validated(&self, action: Option<&str>, made: Made) -> Result<Option<RowAnswer>, SendError> {
        let request = match request::validation(self.config, self.credentials, action, made, self.now) {
            Ok(request) => request,
            Err(code) => return Err(checks::not_built(code)),
        };
        let transport = self.credentials.transport;
        let sent =
            post(self.client, self.credentials, transport, &request.url, request.body.clone(), self.token);
        match sent.await {
            Ok(raw) => read_validation(&raw, &request, self.taxonomy, self.now),
            Err(fault) => Err(no_rows(read_fault(fault, &request, self.taxonomy, self.now))),
        }
    }

    async fn search(&self, (url, body): request::Search) -> Result<Vec<Row>, SendError> {
        match post(self.client, self.credentials, Transport::AdsApi, &url, body, self.token).await {
            Ok(raw) => read_search(&raw, self.taxonomy, self.now),
            Err(fault) => {
                let nothing = Request::empty(Transport::AdsApi.as_str());
                Err(no_rows(read_fault(fault, &nothing, self.taxonomy, self.now)))
            }
        }
    }
}
