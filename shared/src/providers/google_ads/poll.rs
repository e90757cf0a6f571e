//! Asks what became of a request, and what a reason means for one of its rows.

use jiff::Timestamp;

use super::GoogleConfig;
use super::credentials::Credentials;
use super::response::{PROCESSING_FAMILY, read_fault, read_status};
use super::taxonomy::{self, Context};
use crate::domain::{ConsentState, Conversion, ErrorCode};
use crate::providers::{
    AccessToken, Memo, Receipt, Row, RowAnswer, SendError,
    http::{Fault, exchange},
};

pub(crate) async fn poll(
    client: &reqwest::Client,
    config: &GoogleConfig,
    credentials: &Credentials,
    request_id: &str,
    token: &AccessToken,
    now: Timestamp,
) -> Result<Receipt, SendError> {
    let url = format!("{}/v1/requestStatus:retrieve", config.data_manager_base_url);
    let Ok(url) = reqwest::Url::parse_with_params(&url, [("requestId", request_id)]) else {
        return Err(read_fault(Fault::BadRequest));
    };
    let get = client.get(url).bearer_auth(token.secret.expose());
    match exchange(get).await {
        Ok(raw) => read_status(&raw, credentials, now),
        Err(fault) => Err(read_fault(fault)),
    }
}

/// See [`Account::judge`](crate::providers::Account::judge).
pub(crate) fn judge(reason: &ErrorCode, row: Row<'_>, now: Timestamp) -> RowAnswer {
    let (family, code) = split(reason);
    let sent = row.conversion.without(row.omitted);
    let context = Context { memo: Some(Memo::of(&sent)), field: "", now };
    RowAnswer { verdict: taxonomy::classify(family, code, &context), code: Some(reason.clone()) }
}

/// See [`Account::could_mean`](crate::providers::Account::could_mean).
pub(crate) fn could_mean(reason: &ErrorCode, row: Row<'_>) -> bool {
    let (family, code) = split(reason);
    let sent = row.conversion.without(row.omitted);
    taxonomy::about(family, code).is_none_or(|about| about.fits(&sent))
}

fn split(reason: &ErrorCode) -> (&str, &str) {
    let text = reason.as_str();
    text.strip_prefix(PROCESSING_FAMILY)
        .and_then(|rest| rest.strip_prefix('.'))
        .map_or((PROCESSING_FAMILY, text), |code| (PROCESSING_FAMILY, code))
}

impl taxonomy::About {
    fn fits(self, sent: &Conversion) -> bool {
        let ids = &sent.click_ids;
        match self {
            taxonomy::About::ClickIds => !ids.is_empty(),
            taxonomy::About::Gclid => ids.gclid.is_some(),
            taxonomy::About::Gbraid => ids.gbraid.is_some(),
            taxonomy::About::Wbraid => ids.wbraid.is_some(),
            taxonomy::About::Braid => ids.gbraid.is_some() || ids.wbraid.is_some(),
            taxonomy::About::CustomVariables => !sent.custom_variables.is_empty(),
            taxonomy::About::UserIdentifiers => !sent.user.is_empty(),
            taxonomy::About::ConsentNotGiven => sent.consent.ad_user_data != Some(ConsentState::Granted),
        }
    }
}
