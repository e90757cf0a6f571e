//! The published message types.

use serde_json::{Value, json};
use tests::proto::{check, enums};

const INGEST: &str = "google.ads.datamanager.v1.IngestEventsRequest";
const UPLOAD: &str = "google.ads.googleads.v26.services.UploadClickConversionsRequest";
const ADJUST: &str = "google.ads.googleads.v26.services.UploadConversionAdjustmentsRequest";
const UPLOADED: &str = "google.ads.googleads.v26.services.UploadClickConversionsResponse";
const STATUS: &str = "google.ads.datamanager.v1.RetrieveRequestStatusResponse";

fn understood(message: &str, document: Value) -> Result<Value, String> {
    check(&[("only", message, document)]).unwrap().remove(0).understood
}

#[test]
fn good_messages_come_back_in_the_platforms_own_spelling() {
    let upload = json!({"customerId": "1234567890", "partialFailure": true,
        "conversions": [{"gclid": "g", "conversion_value": 12.5, "currencyCode": "EUR", "consent": {"adUserData": "GRANTED"}}]});
    let ingest = json!({"events": [{"transactionId": "t", "eventTimestamp": "2026-11-22T08:00:00Z", "eventSource": "WEB",
        "adIdentifiers": {"gclid": "g"}}], "validateOnly": true});
    let adjust = json!({"conversionAdjustments": [{"orderId": "o", "adjustmentType": "RETRACTION"}]});
    let uploaded = json!({"results": [{}], "jobId": "3000000000", "partialFailureError": {"code": 3, "details": [{
        "@type": "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure",
        "errors": [{"errorCode": {"conversionUploadError": "EXPIRED_EVENT"}}]}]}});
    let status = json!({"requestStatusPerDestination": [{"requestStatus": "SUCCESS"}]});
    let documents = [
        ("upload", UPLOAD, upload.clone()),
        ("ingest", INGEST, ingest.clone()),
        ("adjust", ADJUST, adjust.clone()),
        ("uploaded", UPLOADED, uploaded.clone()),
        ("status", STATUS, status.clone()),
    ];

    let checked = check(&documents).unwrap();

    let names: Vec<&str> = checked.iter().map(|checked| checked.name.as_str()).collect();
    assert_eq!(names, ["upload", "ingest", "adjust", "uploaded", "status"]);
    assert_eq!(checked[0].understood.as_ref().unwrap()["conversions"][0]["conversionValue"], 12.5);
    for (checked, sent) in checked[1..].iter().zip([ingest, adjust, uploaded, status]) {
        assert_eq!(checked.understood, Ok(sent));
    }
}

#[test]
fn a_field_that_the_message_does_not_have_is_refused_by_name() {
    let error = understood(UPLOAD, json!({"conversions": [{"debugEnabled": true}]})).unwrap_err();

    assert!(error.contains("debugEnabled"), "{error}");
}

#[test]
fn a_value_that_the_enum_does_not_have_is_refused() {
    let error = understood(INGEST, json!({"events": [{"eventSource": "CARRIER_PIGEON"}]})).unwrap_err();

    assert!(error.contains("CARRIER_PIGEON"), "{error}");
}

#[test]
fn one_refused_document_does_not_keep_others_from_being_checked() {
    let documents = [("bad", INGEST, json!({"evnts": []})), ("good", INGEST, json!({}))];

    let checked = check(&documents).unwrap();

    assert!(checked[0].understood.is_err() && checked[1].understood.is_ok());
}

#[test]
fn a_message_that_is_not_published_is_our_mistake() {
    let error = check(&[("only", "google.ads.NoSuchRequest", json!({}))]).unwrap_err();

    assert!(error.to_string().contains("google.ads.NoSuchRequest"), "{error}");
}

#[test]
fn the_published_errors_can_be_listed() {
    let enums = enums().unwrap();

    assert_eq!(enums["ConversionUploadErrorEnum"]["EXPIRED_EVENT"], 43);
    assert_eq!(enums["ConversionAdjustmentUploadErrorEnum"]["CONVERSION_NOT_FOUND"], 5);
    assert!(enums["ErrorReason"].len() > 10 && enums["ProcessingErrorReason"].len() > 10);
}
