//! Turns conversions into requests: pure, and the same rows give the same bytes.

mod ads_api;
mod data_manager;

use std::borrow::Cow;
use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::GoogleConfig;
use super::conversion_action::ActionName;
use super::credentials::Credentials;
use super::hex::to_hex;
use super::order_key::order_key;
use super::transport::Transport;
use crate::domain::{Conversion, ErrorCode, Kind, Verdict};
use crate::providers::{Memo, Packed, Request, Row, RowAnswer, Target};

/// Rows in one request, on either transport; more is refused as a whole.
/// <https://developers.google.com/data-manager/api/devguides/limits> and the proto of `uploadClickConversions`, read
/// 2026-11-22.
pub(crate) const MAX_ROWS: usize = 2_000;

/// Destinations in one Data Manager request. The same pages, read 2026-11-22.
const MAX_DESTINATIONS: usize = 10;

/// See [`Account::pack`](crate::providers::Account::pack).
pub(crate) fn pack(
    config: &GoogleConfig,
    credentials: &Credentials,
    rows: &[Row<'_>],
    now: Timestamp,
) -> Packed {
    let mut refused = Vec::new();
    let mut batches: Vec<Batch<'_>> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        match Item::of(index, row.conversion.without(row.omitted), credentials) {
            Ok(item) => place(&mut batches, item, credentials.transport),
            Err(code) => refused.push((index, RowAnswer { verdict: Verdict::Rejected, code: Some(code) })),
        }
    }
    let requests = batches.iter().map(|batch| batch.build(config, credentials, now)).collect();
    Packed { requests, refused }
}

/// One conversion on its way into a request.
struct Item<'a> {
    index: usize,
    conversion: Cow<'a, Conversion>,
    action: ActionName,
    order_key: String,
}

impl<'a> Item<'a> {
    /// Refuses what Google could only refuse: one such row would take its whole Data Manager request along.
    fn of(
        index: usize,
        conversion: Cow<'a, Conversion>,
        credentials: &Credentials,
    ) -> Result<Self, ErrorCode> {
        let action = match &conversion.conversion_action {
            None => credentials.conversion_action.clone(),
            Some(text) => ActionName::of_conversion(text, &credentials.conversion_action.owner)
                .ok_or(ErrorCode::own("CONVERSION_ACTION_MALFORMED"))?,
        };
        let has_nobody = conversion.user.is_empty();
        let lacks_identifier = match (conversion.kind, credentials.transport) {
            (Kind::Enhancement, _) => has_nobody,
            // An event needs an identifier even where its transaction id names a known conversion.
            // <https://developers.google.com/data-manager/api/devguides/events/google-ads/conversion-adjustments>,
            // read 2026-11-22.
            (Kind::Conversion, _) | (Kind::Restatement | Kind::Retraction, Transport::DataManager) => {
                has_nobody && conversion.click_ids.is_empty()
            }
            (Kind::Restatement | Kind::Retraction, Transport::AdsApi) => false,
        };
        if lacks_identifier {
            return Err(ErrorCode::own("NO_IDENTIFIER"));
        }
        if conversion.kind == Kind::Restatement && conversion.value.is_none() {
            return Err(ErrorCode::own("NO_VALUE"));
        }
        let order_key = order_key(&conversion);
        Ok(Self { index, conversion, action, order_key })
    }
}

/// Which call a batch is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    IngestEvents,
    UploadClickConversions,
    UploadConversionAdjustments,
}

impl Call {
    fn of(transport: Transport, kind: Kind) -> Self {
        match (transport, kind) {
            (Transport::DataManager, _) => Call::IngestEvents,
            (Transport::AdsApi, Kind::Conversion) => Call::UploadClickConversions,
            (Transport::AdsApi, Kind::Restatement | Kind::Retraction | Kind::Enhancement) => {
                Call::UploadConversionAdjustments
            }
        }
    }
}

/// The rows of one request to be.
struct Batch<'a> {
    call: Call,
    items: Vec<Item<'a>>,
    /// In the order of their first row.
    actions: Vec<ActionName>,
    order_keys: HashSet<String>,
}

/// Puts the item into the first batch that can take it.
fn place<'a>(batches: &mut Vec<Batch<'a>>, item: Item<'a>, transport: Transport) {
    let call = Call::of(transport, item.conversion.kind);
    match batches.iter_mut().find(|batch| batch.call == call && batch.takes(&item)) {
        Some(batch) => batch.add(item),
        None => {
            let mut batch =
                Batch { call, items: Vec::new(), actions: Vec::new(), order_keys: HashSet::new() };
            batch.add(item);
            batches.push(batch);
        }
    }
}

impl<'a> Batch<'a> {
    /// Two rows of one order never share a request: the Google Ads API would refuse both (`DUPLICATE_ORDER_ID`), and
    /// the Data Manager API does not say which of the two is the last.
    fn takes(&self, item: &Item<'_>) -> bool {
        let has_room_for_action = match self.call {
            Call::IngestEvents => {
                self.actions.contains(&item.action) || self.actions.len() < MAX_DESTINATIONS
            }
            Call::UploadClickConversions | Call::UploadConversionAdjustments => true,
        };
        self.items.len() < MAX_ROWS && !self.order_keys.contains(&item.order_key) && has_room_for_action
    }

    fn add(&mut self, item: Item<'a>) {
        self.order_keys.insert(item.order_key.clone());
        if !self.actions.contains(&item.action) {
            self.actions.push(item.action.clone());
        }
        self.items.push(item);
    }

    fn build(&self, config: &GoogleConfig, credentials: &Credentials, now: Timestamp) -> Request {
        let customer_id = &credentials.customer_id;
        let ads_url = |method: &str| {
            format!("{}/{}/customers/{customer_id}:{method}", config.ads_base_url, config.ads_api_version)
        };
        let (url, body) = match self.call {
            Call::IngestEvents => (
                format!("{}/v1/events:ingest", config.data_manager_base_url),
                to_json(&data_manager::ingest_events(self, credentials, now)),
            ),
            Call::UploadClickConversions => {
                (ads_url("uploadClickConversions"), to_json(&ads_api::click_conversions(self, credentials)))
            }
            Call::UploadConversionAdjustments => {
                (ads_url("uploadConversionAdjustments"), to_json(&ads_api::adjustments(self)))
            }
        };
        Request {
            rows: self.items.iter().map(|item| item.index).collect(),
            targets: self.items.iter().map(|item| target(credentials, &item.action)).collect(),
            transport: credentials.transport.as_str(),
            url,
            body_sha256: to_hex(&Sha256::digest(&body)),
            body,
            memo: self.items.iter().map(|item| Memo::of(&item.conversion)).collect(),
        }
    }
}

fn to_json(request: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(request).expect("wire structs have text keys and write to memory")
}

/// Account, conversion action and transport, as the first eight bytes of their digest.
fn target(credentials: &Credentials, action: &ActionName) -> Target {
    target_of(credentials, action.owner.as_str(), &action.id)
}

/// The same from the parts of an action's name.
pub(crate) fn target_of(credentials: &Credentials, owner: &str, action_id: &str) -> Target {
    let (customer_id, transport) = (&credentials.customer_id, credentials.transport.as_str());
    let name = format!("{customer_id}|customers/{owner}/conversionActions/{action_id}|{transport}");
    let digest = Sha256::digest(name.as_bytes());
    Target(i64::from_be_bytes(*digest.first_chunk().expect("a SHA-256 has 32 bytes")))
}
