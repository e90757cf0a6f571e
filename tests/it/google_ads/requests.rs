//! What is sent: held against Google's published message types, byte for byte the same for the same rows.

use std::collections::HashSet;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use shared::domain::{Conversion, ErrorCode, Omitted, Verdict};
use shared::providers::{Packed, Row};
use tests::proto::check;

use super::support::{NOW, account, body, conversion, conversions, one_request, pack, time};

const TRANSPORTS: [&str; 2] = ["data_manager", "ads_api"];
const INGEST: &str = "google.ads.datamanager.v1.IngestEventsRequest";
const UPLOAD: &str = "google.ads.googleads.v26.services.UploadClickConversionsRequest";
const ADJUST: &str = "google.ads.googleads.v26.services.UploadConversionAdjustmentsRequest";

/// Everything that a conversion can carry.
fn full() -> Conversion {
    conversion(json!({
        "order_id": "order-9",
        "occurred_at": "2026-11-20T11:00:00.25+01:00",
        "click_ids": {"gclid": "the-gclid", "gbraid": "the-gbraid", "wbraid": "the-wbraid"},
        "user": {"email": "alexz@example.com", "phone": "+18005550100"},
        "consent": {"ad_user_data": "GRANTED", "ad_personalization": "DENIED"},
        "custom_variables": {"tier": "gold", "4711": "by number", "customers/1234567890/conversionCustomVariables/5": "by name"},
    }))
}

fn adjustment(kind: &str) -> Conversion {
    let mut fields = json!({"external_id": format!("adjusts-{kind}"), "kind": kind, "order_id": "order-9",
        "user": {"email": "alexz@example.com"}});
    if kind == "enhancement" {
        fields["value"] = Value::Null;
        fields["currency"] = Value::Null;
    }
    conversion(fields)
}

/// The only event or conversion of a request with one row.
fn only(transport: &str, conversion: Conversion) -> Value {
    let body = body(&one_request(account(transport).as_ref(), &[conversion]));
    ["events", "conversions", "conversionAdjustments"]
        .iter()
        .find_map(|name| body.get(name))
        .map(|rows| rows[0].clone())
        .unwrap()
}

#[test]
fn a_full_data_manager_request_has_every_field_and_no_other() {
    let request = one_request(account("data_manager").as_ref(), &[full()]);

    assert_eq!(request.url, "https://platform.test/v1/events:ingest");
    assert_eq!(
        body(&request),
        json!({
            "destinations": [{
                "reference": "1234567890-7001",
                "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": "1234567890"},
                "loginAccount": {"accountType": "GOOGLE_ADS", "accountId": "9876543210"},
                "productDestinationId": "7001",
            }],
            "encoding": "HEX",
            "events": [{
                "destinationReferences": ["1234567890-7001"],
                "transactionId": "order-9",
                "eventTimestamp": "2026-11-20T10:00:00.25Z",
                "eventSource": "WEB",
                "conversionValue": serde_json::from_str::<Value>("129.90").unwrap(),
                "currency": "EUR",
                "adIdentifiers": {"gclid": "the-gclid", "gbraid": "the-gbraid"},
                "userData": {"userIdentifiers": [
                    {"emailAddress": "509e933019bb285a134a9334b8bb679dff79d0ce023d529af4bd744d47b4fd8a"},
                    {"phoneNumber": "fb4f73a6ec5fdb7077d564cdd22c3554b43ce49168550c3b12c547b78c517b30"},
                ]},
                "consent": {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_DENIED"},
                "customVariables": [{"variable": "4711", "value": "by number"}, {"variable": "tier", "value": "gold"}],
            }],
        })
    );
}

#[test]
fn a_full_ads_api_request_has_every_field_and_no_other() {
    let request = one_request(account("ads_api").as_ref(), &[full()]);

    assert_eq!(request.url, "https://platform.test/v26/customers/1234567890:uploadClickConversions");
    assert_eq!(
        body(&request),
        json!({
            "partialFailure": true,
            "conversions": [{
                "conversionAction": "customers/1234567890/conversionActions/7001",
                "conversionDateTime": "2026-11-20 10:00:00+00:00",
                "orderId": "order-9",
                "conversionValue": serde_json::from_str::<Value>("129.90").unwrap(),
                "currencyCode": "EUR",
                "gclid": "the-gclid",
                "userIdentifiers": [
                    {"hashedEmail": "509e933019bb285a134a9334b8bb679dff79d0ce023d529af4bd744d47b4fd8a"},
                    {"hashedPhoneNumber": "fb4f73a6ec5fdb7077d564cdd22c3554b43ce49168550c3b12c547b78c517b30"},
                ],
                "consent": {"adUserData": "GRANTED"},
                "customVariables": [
                    {"conversionCustomVariable": "customers/1234567890/conversionCustomVariables/4711", "value": "by number"},
                    {"conversionCustomVariable": "customers/1234567890/conversionCustomVariables/5", "value": "by name"},
                ],
            }],
        })
    );
}

#[test]
fn adjustments_have_their_own_call_at_the_ads_api() {
    let request = |kind: &str| one_request(account("ads_api").as_ref(), &[adjustment(kind)]);
    let common =
        json!({"conversionAction": "customers/1234567890/conversionActions/7001", "orderId": "order-9"});
    let check = |kind: &str, own: Value| {
        let mut expected = common.clone();
        expected.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        assert_eq!(body(&request(kind))["conversionAdjustments"][0], expected, "{kind}");
    };

    assert_eq!(
        request("retraction").url,
        "https://platform.test/v26/customers/1234567890:uploadConversionAdjustments"
    );
    check(
        "retraction",
        json!({"adjustmentType": "RETRACTION", "adjustmentDateTime": "2026-11-20 10:00:00+00:00"}),
    );
    check(
        "restatement",
        json!({"adjustmentType": "RESTATEMENT", "adjustmentDateTime": "2026-11-20 10:00:00+00:00",
            "restatementValue": {"adjustedValue": serde_json::from_str::<Value>("129.90").unwrap(), "currencyCode": "EUR"}}),
    );
    check(
        "enhancement",
        json!({"adjustmentType": "ENHANCEMENT", "userIdentifiers": [
            {"hashedEmail": "509e933019bb285a134a9334b8bb679dff79d0ce023d529af4bd744d47b4fd8a"}]}),
    );
}

#[test]
fn adjustments_are_events_of_the_same_transaction_at_the_data_manager_api() {
    let value = |kind| only("data_manager", adjustment(kind))["conversionValue"].to_string();

    assert_eq!(value("restatement"), "129.90");
    assert_eq!(value("retraction"), "0");
    assert_eq!(value("enhancement"), "null");
    for kind in ["restatement", "retraction", "enhancement"] {
        assert_eq!(only("data_manager", adjustment(kind))["transactionId"], "order-9", "{kind}");
    }
}

#[test]
fn an_adjustment_that_names_nobody_is_refused_where_google_would_refuse_its_whole_request() {
    let retraction = conversion(json!({"kind": "retraction", "order_id": "o", "click_ids": {}}));

    let data_manager = pack(account("data_manager").as_ref(), std::slice::from_ref(&retraction));
    let ads_api = pack(account("ads_api").as_ref(), &[retraction]);

    assert_eq!(data_manager.refused[0].1.verdict, Verdict::Rejected);
    assert_eq!(data_manager.refused[0].1.code.as_ref().map(ErrorCode::as_str), Some("NO_IDENTIFIER"));
    assert_eq!((ads_api.requests.len(), ads_api.refused.len()), (1, 0));
}

#[test]
fn click_ids_go_together_only_where_the_transport_takes_them() {
    let ids = |transport: &str, ids: Value| {
        let row = only(transport, conversion(json!({"click_ids": ids})));
        let ids = if transport == "data_manager" { row["adIdentifiers"].clone() } else { row };
        ["gclid", "gbraid", "wbraid"].into_iter().filter(|name| ids.get(name).is_some()).collect::<Vec<_>>()
    };
    let check = |given: Value, data_manager: &[&str], ads_api: &[&str]| {
        assert_eq!(ids("data_manager", given.clone()), data_manager, "{given}");
        assert_eq!(ids("ads_api", given.clone()), ads_api, "{given}");
    };

    check(json!({"gclid": "a", "gbraid": "b", "wbraid": "c"}), &["gclid", "gbraid"], &["gclid"]);
    check(json!({"gbraid": "b", "wbraid": "c"}), &["gbraid"], &["gbraid"]);
    check(json!({"gclid": "a", "wbraid": "c"}), &["gclid"], &["gclid"]);
    check(json!({"wbraid": "c"}), &["wbraid"], &["wbraid"]);
}

#[test]
fn the_key_is_the_same_on_both_transports_never_a_number_and_never_too_long() {
    let check = |fields: Value, expected: &str| {
        let row = conversion(fields.clone());
        assert_eq!(only("data_manager", row.clone())["transactionId"], expected, "{fields}");
        assert_eq!(only("ads_api", row)["orderId"], expected, "{fields}");
    };
    let long = "x".repeat(65);

    check(json!({"order_id": "A-1"}), "A-1");
    check(json!({"external_id": "lead-7"}), "lead-7");
    check(json!({"order_id": "2"}), "oc_2");
    check(json!({"kind": "restatement", "order_id": "2"}), "oc_2");
    check(json!({"order_id": "٢٣"}), "oc_٢٣");
    check(json!({"external_id": "x".repeat(64)}), &"x".repeat(64));
    check(json!({"order_id": "7".repeat(61)}), &format!("oc_{}", "7".repeat(61)));
    for row in [json!({"external_id": long}), json!({"order_id": "7".repeat(64)})] {
        let key = only("data_manager", conversion(row))["transactionId"].as_str().unwrap().to_owned();
        assert!(key.starts_with("oc_") && key.len() == 35, "{key}");
    }
}

#[test]
fn what_is_absent_is_left_out_and_never_empty() {
    let bare = conversion(json!({"value": null, "currency": null}));

    let keys = |row: Value| row.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");

    assert_eq!(
        keys(only("data_manager", bare.clone())),
        "adIdentifiers destinationReferences eventSource eventTimestamp transactionId"
    );
    assert_eq!(keys(only("ads_api", bare)), "conversionAction conversionDateTime gclid orderId");
}

#[test]
fn a_time_in_the_future_is_clamped_where_it_would_refuse_the_whole_request() {
    let ahead = conversion(json!({"occurred_at": "2026-11-22T12:00:05Z"}));

    assert_eq!(only("data_manager", ahead)["eventTimestamp"], NOW);
}

#[test]
fn money_keeps_every_digit() {
    let value =
        |text: &str| only("data_manager", conversion(json!({"value": text})))["conversionValue"].to_string();

    for text in ["0", "0.10", "1234567890123.123456789", "79228162514264337593543950335"] {
        assert_eq!(value(text), text);
    }
}

#[test]
fn an_action_of_its_own_overrides_the_sites() {
    let named = conversion(json!({"conversion_action": "customers/1111111111/conversionActions/8"}));
    let numbered = conversion(json!({"conversion_action": "8"}));
    let accounts = |conversion: &Conversion| {
        let request = one_request(account("data_manager").as_ref(), std::slice::from_ref(conversion));
        (body(&request)["destinations"][0]["operatingAccount"]["accountId"].clone(), request.targets[0])
    };

    assert_eq!(accounts(&named).0, "1111111111");
    assert_eq!(accounts(&numbered).0, "1234567890");
    assert_ne!(accounts(&named).1, accounts(&numbered).1);
    assert_eq!(only("ads_api", numbered)["conversionAction"], "customers/1234567890/conversionActions/8");
}

#[test]
fn a_target_is_an_account_an_action_and_a_transport() {
    let targets = |transport: &str| {
        let rows = [conversion(json!({})), conversion(json!({"external_id": "b", "conversion_action": "8"}))];
        one_request(account(transport).as_ref(), &rows).targets
    };

    let all: HashSet<_> = TRANSPORTS.into_iter().flat_map(targets).collect();

    assert_eq!(all.len(), 4);
    assert_eq!(targets("ads_api"), targets("ads_api"));
}

#[test]
fn rows_beyond_a_limit_go_into_another_request() {
    let many_rows = pack(account("ads_api").as_ref(), &conversions(2_001));
    let actions: Vec<_> = (0..25)
        .map(|n| conversion(json!({"external_id": format!("sale-{n}"), "conversion_action": n.to_string()})))
        .collect();
    let many_actions = pack(account("data_manager").as_ref(), &actions);

    let sizes =
        |packed: &Packed| packed.requests.iter().map(|request| request.rows.len()).collect::<Vec<_>>();
    assert_eq!(sizes(&many_rows), [2_000, 1]);
    assert_eq!(sizes(&many_actions), [10, 10, 5]);
}

#[test]
fn two_rows_of_one_order_never_share_a_request() {
    let row = |id: &str, kind: &str| conversion(json!({"external_id": id, "kind": kind, "order_id": "2"}));
    let rows = [row("a", "restatement"), row("b", "retraction"), conversion(json!({"external_id": "c"}))];

    for transport in TRANSPORTS {
        let packed = pack(account(transport).as_ref(), &rows);

        let mut places: Vec<_> = packed.requests.iter().map(|request| request.rows.clone()).collect();
        places.sort();
        let expected =
            if transport == "ads_api" { vec![vec![0], vec![1], vec![2]] } else { vec![vec![0, 2], vec![1]] };
        assert_eq!(places, expected, "{transport}");
    }
}

/// Any row: of any kind, with few enough orders and actions that they meet.
fn any_row(random: &mut StdRng, id: usize) -> Conversion {
    let kind =
        ["conversion", "conversion", "restatement", "retraction", "enhancement"][random.random_range(0..5)];
    let mut row = conversion(json!({
        "external_id": format!("sale-{id}"),
        "kind": kind,
        "order_id": format!("order-{}", random.random_range(0..40)),
        "conversion_action": random.random_range(0..15).to_string(),
        "user": {"email": "alexz@example.com"},
    }));
    if random.random_bool(0.1) {
        row.user = Default::default();
        row.click_ids = Default::default();
    }
    row
}

#[test]
fn every_row_is_in_exactly_one_place_and_the_same_rows_give_the_same_bytes() {
    for seed in 0..40 {
        let mut random = StdRng::seed_from_u64(seed);
        let count = random.random_range(1..150);
        let conversions: Vec<_> = (0..count).map(|id| any_row(&mut random, id)).collect();
        for transport in TRANSPORTS {
            let packed = pack(account(transport).as_ref(), &conversions);
            let again = pack(account(transport).as_ref(), &conversions);

            let sent = packed.requests.iter().flat_map(|request| request.rows.iter().copied());
            let mut places: Vec<_> = sent.chain(packed.refused.iter().map(|(row, _)| *row)).collect();
            places.sort_unstable();
            assert_eq!(places, (0..count).collect::<Vec<_>>(), "seed {seed}, {transport}");
            for (request, again) in packed.requests.iter().zip(&again.requests) {
                assert_eq!(request.body, again.body, "seed {seed}, {transport}");
                assert_eq!(request.body_sha256, again.body_sha256);
                assert_eq!(request.targets.len(), request.rows.len());
                assert_eq!(request.memo.len(), request.rows.len());
            }
        }
    }
}

#[test]
fn a_stored_row_that_no_request_can_carry_is_refused_with_a_code_of_ours() {
    let mut nobody = conversion(json!({}));
    nobody.click_ids = Default::default();
    let mut nowhere = conversion(json!({}));
    nowhere.conversion_action = Some("My action".to_owned());
    let mut worthless = adjustment("restatement");
    worthless.value = None;

    for transport in TRANSPORTS {
        let rows = [nobody.clone(), nowhere.clone(), worthless.clone()];
        let packed = pack(account(transport).as_ref(), &rows);

        let codes: Vec<_> = packed
            .refused
            .iter()
            .filter_map(|(_, answer)| answer.code.as_ref())
            .map(ErrorCode::as_str)
            .collect();
        assert_eq!(codes, ["NO_IDENTIFIER", "CONVERSION_ACTION_MALFORMED", "NO_VALUE"], "{transport}");
        assert!(packed.requests.is_empty());
    }
}

#[test]
fn requests_are_messages_of_the_published_types() {
    let mut random = StdRng::seed_from_u64(1);
    let mut conversions: Vec<_> = (0..60).map(|id| any_row(&mut random, id)).collect();
    conversions.push(full());
    let documents: Vec<_> = TRANSPORTS
        .into_iter()
        .flat_map(|transport| pack(account(transport).as_ref(), &conversions).requests)
        .map(|request| {
            let message = match request.url.rsplit(':').next() {
                Some("ingest") => INGEST,
                Some("uploadClickConversions") => UPLOAD,
                _ => ADJUST,
            };
            (request.url.clone(), message, body(&request))
        })
        .collect();
    let documents: Vec<_> =
        documents.iter().map(|(name, message, body)| (name.as_str(), *message, body.clone())).collect();

    for checked in check(&documents).unwrap() {
        assert!(checked.understood.is_ok(), "{}: {:?}", checked.name, checked.understood);
    }
}

#[test]
fn a_requests_debug_shows_nothing_of_its_rows() {
    let request = one_request(account("ads_api").as_ref(), &[full()]);
    let conversions = [full()];
    let packed =
        account("ads_api").pack(&[Row { conversion: &conversions[0], omitted: Omitted::NONE }], time(NOW));

    for shown in [format!("{request:?}"), format!("{packed:?}")] {
        for hidden in ["the-gclid", "509e93", "order-9", "1234567890"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
}
