//! What answers mean that took the request: pure, from published shapes.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use shared::domain::{HoldScope, Transient, Verdict};
use tests::proto::check;

use super::support::{
    FAILURE, NOW, account, assert_unconfirmed, code, codes, conversion, fixture, one_request, pack,
    plain_request, raw, raw_fixture, read, read_answer, read_body, time, verdicts,
};

const TRANSIENT: Verdict = Verdict::Failed(Transient { wait: None, max_attempts: None });

/// The answer of the Ads API with these results and errors.
fn uploaded(results: Value, errors: Value) -> Value {
    json!({"results": results, "partialFailureError": {"code": 3, "details": [{"@type": FAILURE, "errors": errors}]}})
}

fn row_error(family: &str, code: &str, index: Value) -> Value {
    let mut element = json!({"fieldName": "conversions"});
    if !index.is_null() {
        element["index"] = index;
    }
    json!({"errorCode": {family: code}, "message": "echoes alexz@example.com",
        "location": {"fieldPathElements": [element]}})
}

#[test]
fn an_ads_api_answer_without_errors_delivers_every_row() {
    let answer = read("ads_api", "upload_click_conversions/all_delivered").unwrap();

    assert_eq!(verdicts(&answer), [Verdict::Delivered; 3]);
    assert_eq!(answer.reply.request_id.as_deref(), Some("VDOVuNQ4rRqnbBNXDk1v8w"));
    assert_eq!((answer.reply.http_status, answer.reply.code), (Some(200), None));
}

#[test]
fn errors_of_the_whole_batch_find_their_rows_and_the_worst_wins() {
    let answer = read("ads_api", "upload_click_conversions/partial_failure").unwrap();

    assert_eq!(verdicts(&answer), [Verdict::Expired, Verdict::Delivered, Verdict::Rejected]);
    assert_eq!(
        codes(&answer),
        ["conversionUploadError.EXPIRED_EVENT", "", "conversionUploadError.INVALID_USER_IDENTIFIER"]
    );
}

#[test]
fn one_rows_internal_error_is_its_own_and_transient() {
    let answer = read("ads_api", "upload_click_conversions/one_internal_error").unwrap();

    assert_eq!(verdicts(&answer), [Verdict::Delivered, TRANSIENT, Verdict::Delivered]);
}

#[test]
fn the_worst_class_of_a_row_is_config_then_perm_then_delay_then_transient_then_ok() {
    let errors = [
        ("conversionUploadError", "ORDER_ID_ALREADY_IN_USE"),
        ("internalError", "INTERNAL_ERROR"),
        ("conversionUploadError", "TOO_RECENT_CONVERSION_ACTION"),
        ("conversionUploadError", "UNPARSEABLE_GCLID"),
        ("conversionUploadError", "NO_CONVERSION_ACTION_FOUND"),
    ];
    let check = |on_row: Vec<Value>, (family, code): (&str, &str)| {
        let body = uploaded(json!([{}]), json!(on_row));
        let answer = read_body(&plain_request("ads_api", 1), 200, &body).unwrap();
        assert_eq!(codes(&answer), [format!("{family}.{code}")]);
    };

    for worst in 0..errors.len() {
        let on_row = errors[..=worst].iter().map(|(family, code)| row_error(family, code, json!(0)));
        check(on_row.clone().collect(), errors[worst]);
        check(on_row.rev().collect(), errors[worst]);
    }
}

#[test]
fn an_absent_index_is_the_first_row_only_where_that_row_failed() {
    let done = json!({"conversionAction": "x"});
    let error = json!([row_error("conversionUploadError", "EXPIRED_EVENT", Value::Null)]);
    let request = plain_request("ads_api", 2);

    let first = read_body(&request, 200, &uploaded(json!([{}, done]), error.clone())).unwrap();
    let other = read_body(&request, 200, &uploaded(json!([done, {}]), error));

    assert_eq!(verdicts(&first), [Verdict::Expired, Verdict::Delivered]);
    assert_unconfirmed(other, "UNATTRIBUTED_ERROR");
}

#[test]
fn an_error_that_belongs_to_no_row_delivers_nothing() {
    let done = json!({"conversionAction": "x"});
    let beyond = json!([row_error("conversionUploadError", "EXPIRED_EVENT", json!(2))]);
    let nowhere = json!([{"errorCode": {"internalError": "INTERNAL_ERROR"}}]);
    let elsewhere = json!([{"errorCode": {"internalError": "INTERNAL_ERROR"},
        "location": {"fieldPathElements": [{"fieldName": "customer_id"}]}}]);
    let mixed = json!([row_error("conversionUploadError", "EXPIRED_EVENT", json!(0)), {"errorCode": {}}]);

    for errors in [beyond, nowhere, elsewhere, mixed, json!([])] {
        let body = uploaded(json!([done, done]), errors);
        let result = read_body(&plain_request("ads_api", 2), 200, &body);

        assert_unconfirmed(result, "UNATTRIBUTED_ERROR");
    }
}

#[test]
fn results_that_do_not_fit_the_request_deliver_nothing() {
    let done = json!({"conversionAction": "x"});
    let request = plain_request("ads_api", 2);

    assert_unconfirmed(read_body(&request, 200, &json!({"results": [done]})), "RESULTS_MISMATCH");
    assert_unconfirmed(read_body(&request, 200, &json!({"results": [done, done, done]})), "RESULTS_MISMATCH");
    assert_unconfirmed(read_body(&request, 200, &json!({})), "RESULTS_MISMATCH");
}

#[test]
fn a_body_that_is_no_answer_delivers_nothing() {
    let check = |transport: &str, body: &str| {
        let raw = raw(200, &Value::Null, body.as_bytes());
        let result = read_answer(&raw, &plain_request(transport, 2), time(NOW));
        assert_unconfirmed(result, "UNREADABLE_ANSWER");
    };

    for body in ["", " ", "null", "[]", "<html>", "{\"results\": 5}", "{\"results\": [{}, {}"] {
        check("ads_api", body);
    }
    for body in ["", "null", "[]", "5", "{\"requestId\": 5}", "{\"requestId\": \"t-1\""] {
        check("data_manager", body);
    }
    // Serde would take these for the objects that they stand in for, field by field.
    check("ads_api", "[[{\"gclid\": \"g\"}, {\"gclid\": \"g\"}]]");
    check("data_manager", "[\"t-1\"]");
}

#[test]
fn a_row_whose_result_and_errors_contradict_each_other_is_unconfirmed() {
    let done = json!({"conversionAction": "x"});
    let error = json!([row_error("conversionUploadError", "EXPIRED_EVENT", json!(0))]);
    let body = uploaded(json!([done, {}, done]), error);

    let answer = read_body(&plain_request("ads_api", 3), 200, &body).unwrap();

    assert_eq!(verdicts(&answer), [Verdict::Unconfirmed, Verdict::Unconfirmed, Verdict::Delivered]);
}

#[test]
fn indices_numbers_and_codes_may_come_as_texts_numbers_and_news() {
    let at = |index: usize| json!({"fieldPathElements": [{"fieldName": "conversions", "index": index}]});
    let errors = json!([
        row_error("conversionUploadError", "EXPIRED_EVENT", json!("0")),
        {"errorCode": {"conversionUploadError": 43}, "location": at(1)},
        row_error("conversionUploadError", "ADDED_IN_V27", json!(2)),
        row_error("newError", "alexz@example.com", json!(3)),
        {"errorCode": {"conversionUploadError": "UNKNOWN"}, "location": at(4),
            "details": {"unpublishedErrorCode": "ConversionUploadError.EXPIRED_EVENT"}},
    ]);
    let body = uploaded(json!([{}, {}, {}, {}, {}]), errors);

    let answer = read_body(&plain_request("ads_api", 5), 200, &body).unwrap();

    let unknown = Verdict::Failed(Transient { wait: None, max_attempts: Some(3) });
    assert_eq!(verdicts(&answer), [Verdict::Expired, Verdict::Expired, unknown, unknown, Verdict::Expired]);
    assert_eq!(codes(&answer)[3], "newError.UNKNOWN");
}

#[test]
fn an_adjustments_kind_decides_what_already_retracted_means() {
    let rows = [
        conversion(json!({"kind": "retraction", "order_id": "1"})),
        conversion(json!({"kind": "restatement", "order_id": "2"})),
        conversion(json!({"kind": "restatement", "order_id": "3"})),
    ];
    let request = one_request(account("ads_api").as_ref(), &rows);
    let raw = raw_fixture("upload_conversion_adjustments/partial_failure");

    let answer = read_answer(&raw, &request, time(NOW)).unwrap();

    assert_eq!(verdicts(&answer), [Verdict::Duplicate, Verdict::Rejected, Verdict::Delivered]);
}

#[test]
fn a_receipt_of_the_data_manager_is_not_a_delivery() {
    let answer = read("data_manager", "ingest_events/accepted").unwrap();

    assert_eq!(verdicts(&answer), [Verdict::Submitted; 3]);
    assert_eq!(answer.reply.request_id.as_deref(), Some("t-4SEKBnLQcAAAAA"));
}

#[test]
fn a_receipt_without_a_request_id_is_none() {
    for body in [json!({}), json!({"requestId": ""}), json!({"requestId": null})] {
        assert_unconfirmed(read_body(&plain_request("data_manager", 2), 200, &body), "NO_REQUEST_ID");
    }
}

#[test]
fn nothing_of_an_answers_text_is_kept() {
    for (transport, folder) in [("ads_api", "upload_click_conversions"), ("data_manager", "ingest_events")] {
        let path = format!("{}/fixtures/google_ads/{folder}", env!("CARGO_MANIFEST_DIR"));
        for file in std::fs::read_dir(path).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let name = format!("{folder}/{}", name.trim_end_matches(".json"));

            let shown = format!("{:?}", read(transport, &name));

            assert!(!shown.contains("alexz") && !shown.contains("message"), "{name}: {shown}");
        }
    }
}

#[test]
fn answers_of_the_fixtures_are_messages_of_the_published_types() {
    let upload = "google.ads.googleads.v26.services.UploadClickConversionsResponse";
    let adjust = "google.ads.googleads.v26.services.UploadConversionAdjustmentsResponse";
    let ingest = "google.ads.datamanager.v1.IngestEventsResponse";
    let documents = [
        ("upload_click_conversions/all_delivered", upload),
        ("upload_click_conversions/partial_failure", upload),
        ("upload_click_conversions/one_internal_error", upload),
        ("upload_conversion_adjustments/partial_failure", adjust),
        ("ingest_events/accepted", ingest),
    ]
    .map(|(name, message)| (name, message, fixture(name)["body"].take()));

    for checked in check(&documents).unwrap() {
        assert!(checked.understood.is_ok(), "{}: {:?}", checked.name, checked.understood);
    }
}

/// Bytes that resemble an answer more or less.
fn garbled(random: &mut StdRng, whole: &str) -> Vec<u8> {
    let mut bytes = whole.as_bytes().to_vec();
    for _ in 0..random.random_range(0..6) {
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..3) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes[at] = random.random(),
            _ => drop(bytes.splice(at..at, *b"{}")),
        }
    }
    bytes
}

#[test]
fn any_answer_at_all_gives_one_entry_per_row_or_none_and_never_panics() {
    let wholes = [
        ("ads_api", "upload_click_conversions/partial_failure"),
        ("ads_api", "upload_click_conversions/quota_account"),
        ("data_manager", "ingest_events/accepted"),
        ("data_manager", "ingest_events/one_row_refused"),
    ]
    .map(|(transport, name)| (plain_request(transport, 3), fixture(name)["body"].to_string()));
    let statuses = [100, 200, 204, 302, 400, 401, 403, 404, 409, 413, 418, 429, 500, 999];
    let mut random = StdRng::seed_from_u64(7);

    for _ in 0..4_000 {
        let (request, whole) = &wholes[random.random_range(0..wholes.len())];
        let status = statuses[random.random_range(0..statuses.len())];
        let body = garbled(&mut random, whole);

        match read_answer(&raw(status, &Value::Null, &body), request, time(NOW)) {
            Ok(answer) => {
                assert_eq!(answer.rows.len(), 3);
                assert!(status == 200 || !verdicts(&answer).contains(&Verdict::Delivered), "{status}");
            }
            Err(error) => assert!(!code(&error).is_empty(), "{error:?}"),
        }
    }
}

#[test]
fn any_mixture_of_row_results_gives_each_row_its_own_verdict() {
    let outcomes = [
        ("", Verdict::Delivered),
        ("EXPIRED_EVENT", Verdict::Expired),
        ("ORDER_ID_ALREADY_IN_USE", Verdict::Duplicate),
        ("CLICK_NOT_FOUND", Verdict::Unmatched(None)),
        ("NO_CONVERSION_ACTION_FOUND", Verdict::Misconfigured(HoldScope::ConversionAction)),
        ("DUPLICATE_ORDER_ID", Verdict::Resend),
    ];
    for seed in 0..50 {
        let mut random = StdRng::seed_from_u64(seed);
        let rows: Vec<_> = (0..random.random_range(1..60))
            .map(|_| outcomes[random.random_range(0..outcomes.len())])
            .collect();
        let result = |code: &str| if code.is_empty() { json!({"gclid": "g"}) } else { json!({}) };
        let results: Vec<_> = rows.iter().map(|(code, _)| result(code)).collect();
        let failed = rows.iter().enumerate().filter(|(_, (code, _))| !code.is_empty());
        let errors: Vec<_> =
            failed.map(|(row, (code, _))| row_error("conversionUploadError", code, json!(row))).collect();
        let mut body = uploaded(json!(results), json!(errors));
        if errors.is_empty() {
            body["partialFailureError"] = Value::Null;
        }

        let answer = read_body(&plain_request("ads_api", rows.len()), 200, &body).unwrap();

        let expected: Vec<_> = rows.iter().map(|(_, verdict)| *verdict).collect();
        assert_eq!(verdicts(&answer), expected, "seed {seed}");
    }
}

#[test]
fn an_empty_pack_sends_nothing() {
    let packed = pack(account("ads_api").as_ref(), &[]);

    assert!(packed.requests.is_empty() && packed.refused.is_empty());
}
