//! Asks what became of a request, and what a reason means for one of its rows.

use jiff::Timestamp;

use super::GoogleConfig;
use super::credentials::Credentials;
use super::response::{PROCESSING_FAMILY, read_fault, read_status};
use super::taxonomy::{self, Body, Context, Taxonomy};
use crate::domain::ErrorCode;
use crate::providers::{
    AccessToken, Memo, Receipt, Request, Row, RowAnswer, SendError,
    http::{Fault, exchange},
};

pub(crate) async fn poll(
    client: &reqwest::Client,
    config: &GoogleConfig,
    credentials: &Credentials,
    taxonomy: &Taxonomy,
    request_id: &str,
    token: &AccessToken,
    now: Timestamp,
) -> Result<Receipt, SendError> {
    let url = format!("{}/v1/requestStatus:retrieve", config.data_manager_base_url);
    let Ok(url) = reqwest::Url::parse_with_params(&url, [("requestId", request_id)]) else {
        return Err(fault(Fault::BadRequest, credentials, taxonomy, now));
    };
    let get = client.get(url).bearer_auth(token.secret.expose());
    match exchange(get).await {
        Ok(raw) => read_status(&raw, credentials, taxonomy, now),
        Err(failed) => Err(fault(failed, credentials, taxonomy, now)),
    }
}

/// A question that failed is read as any request; whatever it says of rows, there are none.
fn fault(fault: Fault, credentials: &Credentials, taxonomy: &Taxonomy, now: Timestamp) -> SendError {
    let nothing = Request::empty(credentials.transport.as_str());
    read_fault(fault, &nothing, taxonomy, now)
        .map_or_else(|error| error, |answer| SendError::Unavailable(answer.reply))
}

/// See [`Account::judge`](crate::providers::Account::judge).
pub(crate) fn judge(taxonomy: &Taxonomy, reason: &ErrorCode, row: Row<'_>, now: Timestamp) -> RowAnswer {
    let (family, code) = split(reason);
    let sent = row.conversion.without(row.omitted);
    let context = Context { memo: Some(Memo::of(&sent)), field: "", now, body: Body::Api };
    RowAnswer { verdict: taxonomy.classify(family, code, &context), code: Some(reason.clone()) }
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
