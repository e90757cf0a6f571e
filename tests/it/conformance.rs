//! The conformance suite: the same facts against every adapter. A new one gets its samples here, and all the facts.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::boot::{ProviderConfig, registry};
use shared::domain::{Class, ConversionInput, ErrorCode, Omitted, ProviderKey, Secret, SiteId, Verdict};
use shared::providers::{
    AccessToken, Account, AccountOptions, Check, Depth, Override, Provider, Registry, Row, SendError,
    proves_mended, reasons,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use uuid::Uuid;

/// Credentials of every way into each platform. A new provider stops the build here.
fn credentials(provider: ProviderKey) -> Vec<Value> {
    match provider {
        ProviderKey::GoogleAds => ["data_manager", "ads_api"]
            .map(|transport| tests::world::credentials(json!({ "transport": transport })))
            .into(),
    }
}

/// Values in those credentials that must never be seen.
const SECRETS: [&str; 2] = ["client-secret-for-tests", "refresh-token-for-tests"];

fn adapters(server: SocketAddr) -> Registry {
    let base = format!("http://{server}");
    registry(&ProviderConfig {
        google_ads_base_url: base.clone(),
        google_ads_api_version: "v26".to_owned(),
        google_data_manager_base_url: base.clone(),
        google_oauth_token_url: format!("{base}/token"),
        http_timeout: Duration::from_secs(30),
    })
    .expect("the settings are complete")
}

/// An address where nobody listens, and no port that another test could be given meanwhile.
fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

/// Runs a fact for every account of every adapter.
fn for_each(registry: &Registry, fact: impl Fn(&dyn Provider, &dyn Account, &Value)) {
    for provider in registry.iter() {
        for credentials in credentials(provider.key()) {
            let secret = Secret::new(credentials.to_string());
            let account =
                provider.open_account(&secret, &AccountOptions::default()).expect("the sample is complete");
            fact(provider.as_ref(), account.as_ref(), &credentials);
        }
    }
}

/// The `number`th of many conversions that differ in all that may differ.
fn input(provider: ProviderKey, number: usize) -> ConversionInput {
    let occurred_at =
        Timestamp::now() - SignedDuration::from_hours(30) + SignedDuration::from_secs(number as i64 % 4_000);
    let mut fields = json!({
        "provider_key": provider.as_str(), "external_id": format!("sale-{number}"),
        "occurred_at": occurred_at.to_string(), "value": format!("{}.{:02}", number, number % 100),
    });
    match number % 4 {
        0 => fields["click_ids"] = json!({ "gclid": format!("click-{number}") }),
        1 => fields["user"] = json!({ "email": format!("person{number}@example.com") }),
        2 => {
            fields["click_ids"] = json!({ "gclid": format!("click-{number}") });
            fields["user"] = json!({ "phone": "+4930901820" });
            fields["order_id"] = json!((number / 8).to_string());
        }
        _ => {
            fields["kind"] = json!("restatement");
            fields["order_id"] = json!(format!("order-{}", number % 50));
            fields["user"] = json!({ "email": format!("person{number}@example.com") });
        }
    }
    ConversionInput::parse(&tests::world::conversion(SiteId(Uuid::nil()), &fields))
        .expect("it is well-formed")
}

fn conversions(provider: &dyn Provider, count: usize) -> Vec<shared::domain::Conversion> {
    (0..count)
        .map(|number| {
            provider.admit(input(provider.key(), number), None).expect("it can be matched").conversion
        })
        .collect()
}

fn rows(conversions: &[shared::domain::Conversion]) -> Vec<Row<'_>> {
    conversions.iter().map(|conversion| Row { conversion, omitted: Omitted::NONE }).collect()
}

#[test]
fn every_row_is_packed_in_exactly_one_place() {
    for_each(&adapters(nobody()), |provider, account, _| {
        for count in [0, 1, 2, 3, 17, 500, provider.capabilities().max_batch] {
            let conversions = conversions(provider, count);

            let packed = account.pack(&rows(&conversions), Timestamp::now());

            let mut places: Vec<usize> = packed.refused.iter().map(|(row, _)| *row).collect();
            for request in &packed.requests {
                assert!(!request.rows.is_empty() && request.rows.len() <= provider.capabilities().max_batch);
                assert_eq!(request.rows.len(), request.targets.len());
                places.extend(&request.rows);
            }
            places.sort_unstable();
            assert_eq!(places, (0..count).collect::<Vec<_>>(), "{count}");
        }
    });
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    for_each(&adapters(nobody()), |provider, account, _| {
        let conversions = conversions(provider, 40);

        let first = account.pack(&rows(&conversions), Timestamp::now());
        let later = account.pack(&rows(&conversions), Timestamp::now() + SignedDuration::from_hours(5));

        let bytes = |packed: &shared::providers::Packed| {
            packed
                .requests
                .iter()
                .map(|request| (request.body.clone(), request.body_sha256.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(bytes(&first), bytes(&later), "a resend is identical");
    });
}

#[test]
fn no_two_conversions_share_their_key_in_one_request() {
    for_each(&adapters(nobody()), |provider, account, _| {
        // Orders repeat in the samples; a platform that sees one twice in a request processes neither.
        let conversions = conversions(provider, 400);
        for request in account.pack(&rows(&conversions), Timestamp::now()).requests {
            let orders: Vec<_> =
                request.rows.iter().filter_map(|row| conversions[*row].order_id.as_ref()).collect();
            assert_eq!(orders.len(), orders.iter().collect::<BTreeSet<_>>().len());
        }
    });
}

#[test]
fn nothing_raw_and_nothing_secret_leaves_the_adapter() {
    for_each(&adapters(nobody()), |provider, account, credentials| {
        let conversions = conversions(provider, 40);
        for request in account.pack(&rows(&conversions), Timestamp::now()).requests {
            let body = String::from_utf8(request.body.clone()).expect("JSON is text");
            assert!(!body.contains("@example.com") && !body.contains("30901820"), "raw identifiers");
            let shown = format!("{request:?}");
            assert!(!shown.contains("click-") && !shown.contains(&body), "{shown}");
            for secret in SECRETS {
                assert!(!body.contains(secret) && !request.url.contains(secret));
            }
        }
        for key in [account.token_key(), account.quota_key()] {
            assert!(
                !credentials.as_object().unwrap().values().any(|value| value.as_str() == Some(key)),
                "{key}"
            );
        }
    });
}

#[test]
fn every_code_of_an_adapters_table_fits_the_ledger_and_has_its_reason() {
    let registry = adapters(nobody());
    for provider in registry.iter() {
        let rules = provider.code_rules();
        assert!(!rules.is_empty());
        for rule in rules.iter().filter(|rule| !rule.code.ends_with('*')) {
            assert_eq!(ErrorCode::foreign(&rule.code).as_str(), rule.code, "as outcomes would keep it");
            let reason = reasons::find(&registry, provider.key().as_str(), &rule.code);
            assert!(reason.is_some(), "{}", rule.code);
        }
    }
}

#[test]
fn silence_is_no_delivery_whatever_an_operator_says_of_it() {
    let registry = adapters(nobody());
    let silent = |class| {
        let said = Override { class, scope: None, wait: None, max_attempts: None, whole: false };
        AccountOptions {
            overrides: Arc::new([("TIMEOUT".to_owned(), said)].into_iter().collect()),
            ..AccountOptions::default()
        }
    };
    for provider in registry.iter() {
        assert!(provider.is_signal("TIMEOUT"));
        for credentials in credentials(provider.key()) {
            let secret = Secret::new(credentials.to_string());
            let row = provider.admit(input(provider.key(), 0), None).expect("the sample is good").conversion;
            let account =
                |options: &AccountOptions| provider.open_account(&secret, options).expect("complete");
            let read = |options: &AccountOptions| {
                let account = account(options);
                let request = account
                    .pack(&[Row { conversion: &row, omitted: Omitted::NONE }], Timestamp::now())
                    .requests
                    .remove(0);
                account.read_silence(&request, Timestamp::now())
            };

            for options in [AccountOptions::default(), silent(Class::Ok), silent(Class::Unmatched)] {
                let silence = read(&options);
                assert!(matches!(silence, Err(SendError::Unconfirmed(_))), "{silence:?}");
            }
            let heard = read(&silent(Class::Transient));
            assert!(matches!(heard, Err(SendError::Unavailable(_))), "{heard:?}");
        }
    }
}

#[test]
fn wrong_credentials_are_named_by_field_and_never_by_value() {
    for provider in adapters(nobody()).iter() {
        for good in credentials(provider.key()) {
            for field in good.as_object().unwrap().keys() {
                let mut wrong = good.clone();
                wrong[field] = json!({ "nested": "value-7431" });
                let errors = provider
                    .open_account(&Secret::new(wrong.to_string()), &AccountOptions::default())
                    .err()
                    .expect(field);
                assert!(
                    errors.iter().any(|error| error.field.contains(field.as_str())),
                    "{field}: {errors:?}"
                );
                assert!(!format!("{errors:?}").contains("7431"), "{errors:?}");
            }
            let mut unknown = good.clone();
            unknown["colour"] = json!("value-7431");
            let errors = provider
                .open_account(&Secret::new(unknown.to_string()), &AccountOptions::default())
                .err()
                .expect("colour");
            assert!(errors.iter().any(|error| error.field.contains("colour")), "{errors:?}");
        }
    }
}

#[test]
fn the_times_that_an_adapter_names_are_in_order() {
    for provider in adapters(nobody()).iter() {
        for number in 0..8 {
            let input = input(provider.key(), number);
            let occurred_at = input.occurred_at;

            let admitted = provider.admit(input, None).expect("it can be matched");

            assert!(admitted.expires_at > occurred_at);
            assert!(admitted.due_at.is_none_or(|due_at| due_at < admitted.expires_at));
        }
    }
}

/// Nothing can be told of an account whose platform is down: a look must not call it broken, and sends what it booked at most.
#[tokio::test]
async fn a_look_at_a_platform_that_is_down_finds_no_fault() {
    let down = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    for address in [nobody(), server(down).await] {
        let registry = adapters(address);
        for provider in registry.iter() {
            for credentials in credentials(provider.key()) {
                let secret = Secret::new(credentials.to_string());
                let account = provider.open_account(&secret, &AccountOptions::default()).expect("complete");
                for depth in [Depth::Cheap, Depth::Probe, Depth::Full] {
                    let checks = account.examine(depth, &token(), None, Timestamp::now()).await;

                    assert!(!checks.is_empty() && !checks.iter().any(Check::is_red), "{depth:?}: {checks:?}");
                    assert!(!proves_mended(&checks, &ErrorCode::own("ANY")), "{depth:?}: {checks:?}");
                }
            }
        }
    }
}

/// A server that answers every request alike: with these bytes, or by closing the connection.
async fn server(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                let _ = connection.read(&mut buffer).await;
                let _ = connection.write_all(answer).await;
                let _ = connection.shutdown().await;
            });
        }
    });
    address
}

fn token() -> AccessToken {
    AccessToken {
        secret: Secret::new("token".to_owned()),
        expires_at: Timestamp::now() + SignedDuration::from_hours(1),
        scopes: None,
    }
}

async fn sent(server: SocketAddr) -> Vec<Result<Vec<Verdict>, SendError>> {
    let registry = adapters(server);
    let token = token();
    let mut sent = Vec::new();
    for provider in registry.iter() {
        for credentials in credentials(provider.key()) {
            let account = provider
                .open_account(&Secret::new(credentials.to_string()), &AccountOptions::default())
                .expect("it is complete");
            let conversions = conversions(provider.as_ref(), 3);
            for request in account.pack(&rows(&conversions), Timestamp::now()).requests {
                let answer = account.send(&request, &token, Timestamp::now()).await;
                let answer = answer.inspect(|answer| assert_eq!(answer.rows.len(), request.rows.len()));
                sent.push(answer.map(|answer| answer.rows.iter().map(|row| row.verdict).collect()));
            }
        }
    }
    assert!(!sent.is_empty());
    sent
}

#[tokio::test]
async fn an_answer_that_says_nothing_delivers_nothing() {
    for answer in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"results\":[",
        b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n<html></html>",
        b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 503 Later\r\ncontent-length: 0\r\n\r\n",
    ] {
        for sent in sent(server(answer).await).await {
            let text = String::from_utf8_lossy(answer);
            assert!(matches!(sent, Err(SendError::Unconfirmed(_))), "{text:?}: {sent:?}");
        }
    }
}

#[tokio::test]
async fn a_platform_that_cannot_be_reached_was_certainly_not_told() {
    for sent in sent(nobody()).await {
        assert!(matches!(sent, Err(SendError::Unavailable(_))), "{sent:?}");
    }
}

#[tokio::test]
async fn a_platform_that_asks_to_wait_is_waited_for() {
    let answer = b"HTTP/1.1 429 Slow\r\nretry-after: 77\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    for sent in sent(server(answer).await).await {
        let Err(SendError::Throttled { wait, .. }) = sent else { panic!("{sent:?}") };
        assert_eq!(wait, Duration::from_secs(77));
    }
}

#[tokio::test]
async fn a_refused_token_is_told_apart_from_everything_else() {
    let answer = b"HTTP/1.1 401 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    for sent in sent(server(answer).await).await {
        assert!(matches!(sent, Err(SendError::Unauthorised(_))), "{sent:?}");
    }
}
