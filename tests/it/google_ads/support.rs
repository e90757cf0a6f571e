//! What the tests of this folder share: an account, conversions, and answers from `tests/fixtures/google_ads`.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use shared::domain::{Conversion, ConversionInput, ErrorCode, Omitted, Secret, Verdict};
use shared::providers::google_ads::taxonomy::Taxonomy;
use shared::providers::google_ads::{self, GoogleAds, GoogleConfig};
use shared::providers::http::{RawAnswer, build_client};
use shared::providers::{Account, AccountOptions, Answer, Packed, Provider, Request, Row, SendError};

pub(super) const NOW: &str = "2026-11-22T12:00:00Z";
pub(super) const SITE: &str = "3f2b8c1e-5d47-4a0e-9c53-0d6f1f3f7a11";

/// The type of the Ads API's list of errors.
pub(super) const FAILURE: &str = "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure";

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The adapter, with every address at `base`. With patience: a machine may stand still for seconds.
pub(super) fn adapter(base: &str) -> GoogleAds {
    adapter_within(Duration::from_secs(30), base)
}

/// The adapter, with every address at `base`, that gives up on a request after `timeout`.
pub(super) fn adapter_within(timeout: Duration, base: &str) -> GoogleAds {
    let config = GoogleConfig {
        ads_base_url: base.to_owned(),
        data_manager_base_url: base.to_owned(),
        oauth_token_url: format!("{base}/token"),
        ..GoogleConfig::default()
    };
    GoogleAds::new(config, build_client(timeout).unwrap())
}

/// The adapter of tests that send nothing: making a client reads the machine's root certificates.
pub(super) fn offline_adapter() -> &'static GoogleAds {
    static ADAPTER: LazyLock<GoogleAds> = LazyLock::new(|| adapter("https://platform.test"));
    &ADAPTER
}

pub(super) fn credentials(transport: &str) -> Value {
    json!({
        "customer_id": "123-456-7890",
        "client_id": "client-in-test.apps.googleusercontent.com",
        "client_secret": "GOCSPX-secret-in-test",
        "refresh_token": "1//refresh-token-in-test",
        "conversion_action_resource_name": "customers/1234567890/conversionActions/7001",
        "login_customer_id": "9876543210",
        "developer_token": "developer-token-in-test",
        "transport": transport,
    })
}

pub(super) fn account_at(base: &str, transport: &str) -> Box<dyn Account> {
    adapter(base)
        .open_account(&Secret::new(credentials(transport).to_string()), &AccountOptions::default())
        .unwrap()
}

pub(super) fn account(transport: &str) -> Box<dyn Account> {
    offline_adapter()
        .open_account(&Secret::new(credentials(transport).to_string()), &AccountOptions::default())
        .unwrap()
}

/// A conversion as it comes in, with the given fields laid over a plain one.
pub(super) fn input(fields: Value) -> ConversionInput {
    let mut json = json!({
        "site_id": SITE,
        "external_id": "sale-1",
        "kind": "conversion",
        "occurred_at": "2026-11-20T10:00:00Z",
        "value": "129.90",
        "currency": "EUR",
        "click_ids": {"gclid": "click-1"},
    });
    for (name, value) in fields.as_object().unwrap() {
        json[name] = value.clone();
    }
    ConversionInput::parse(&json).unwrap()
}

pub(super) fn conversion(fields: Value) -> Conversion {
    offline_adapter().admit(input(fields), None).unwrap().conversion
}

/// `count` conversions that differ.
pub(super) fn conversions(count: usize) -> Vec<Conversion> {
    (0..count)
        .map(|n| {
            conversion(
                json!({"external_id": format!("sale-{n}"), "click_ids": {"gclid": format!("click-{n}")}}),
            )
        })
        .collect()
}

pub(super) fn pack(account: &dyn Account, conversions: &[Conversion]) -> Packed {
    let rows: Vec<_> =
        conversions.iter().map(|conversion| Row { conversion, omitted: Omitted::NONE }).collect();
    account.pack(&rows, time(NOW))
}

pub(super) fn one_request(account: &dyn Account, conversions: &[Conversion]) -> Request {
    let mut packed = pack(account, conversions);
    assert_eq!((packed.requests.len(), packed.refused.len()), (1, 0));
    packed.requests.remove(0)
}

pub(super) fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// One file of `tests/fixtures/google_ads`.
pub(super) fn fixture(name: &str) -> Value {
    let path = format!("{}/fixtures/google_ads/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")))
        .unwrap()
}

pub(super) fn raw(status: u16, headers: &Value, body: &[u8]) -> RawAnswer {
    let headers: HeaderMap = headers
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            (name.parse::<HeaderName>().unwrap(), value.as_str().unwrap().parse::<HeaderValue>().unwrap())
        })
        .collect();
    RawAnswer { status, headers, body: body.to_vec().into() }
}

pub(super) fn raw_fixture(name: &str) -> RawAnswer {
    let fixture = fixture(name);
    let status = u16::try_from(fixture["status"].as_u64().unwrap()).unwrap();
    raw(status, &fixture["headers"], fixture["body"].to_string().as_bytes())
}

/// What an answer means by the table that is built in.
pub(super) fn read_answer(raw: &RawAnswer, request: &Request, now: Timestamp) -> Result<Answer, SendError> {
    google_ads::read_answer(raw, request, &Taxonomy::default(), now)
}

/// What the answer of a fixture means for three plain conversions.
pub(super) fn read(transport: &str, name: &str) -> Result<Answer, SendError> {
    let request = one_request(account(transport).as_ref(), &conversions(3));
    read_answer(&raw_fixture(name), &request, time(NOW))
}

pub(super) fn verdicts(answer: &Answer) -> Vec<Verdict> {
    answer.rows.iter().map(|row| row.verdict).collect()
}

pub(super) fn codes(answer: &Answer) -> Vec<&str> {
    answer.rows.iter().map(|row| row.code.as_ref().map_or("", ErrorCode::as_str)).collect()
}

pub(super) fn code(error: &SendError) -> &str {
    error.reply().code.as_ref().map_or("", ErrorCode::as_str)
}

/// A request with so many plain conversions.
pub(super) fn plain_request(transport: &str, rows: usize) -> Request {
    one_request(account(transport).as_ref(), &conversions(rows))
}

pub(super) fn read_body(request: &Request, status: u16, body: &Value) -> Result<Answer, SendError> {
    read_answer(&raw(status, &Value::Null, body.to_string().as_bytes()), request, time(NOW))
}

pub(super) fn assert_unconfirmed(result: Result<Answer, SendError>, expected: &str) {
    match result {
        Err(SendError::Unconfirmed(reply)) => {
            assert_eq!(reply.code.as_ref().map(|code| code.as_str()), Some(expected));
        }
        other => panic!("{other:?} is not unconfirmed with {expected}"),
    }
}
