//! What the stand-in knows of accounts, their conversion actions, tokens and versions of the API.

use anyhow::Result;
use relay_cli::sandbox::Options;
use serde_json::json;

use super::{Google, call, conversion, event, fetch_token, understood};

#[tokio::test]
async fn a_search_answers_in_googles_own_type_and_takes_no_other_question() -> Result<()> {
    let google = Google::start(Options::default()).await?;
    let search = async |query: &str| {
        google.post("/v26/customers/1234567890/googleAds:search", &json!({ "query": query })).await
    };

    let (_, found) = search(
        "SELECT conversion_action.id, conversion_action.owner_customer FROM conversion_action \
                             WHERE conversion_action.id IN (9985, 9981)",
    )
    .await?;

    let found = understood("google.ads.googleads.v26.services.SearchGoogleAdsResponse", found)?;
    let owners: Vec<_> = found["results"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| row["conversionAction"]["ownerCustomer"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(owners, ["customers/1000000000", "customers/1234567890"]);
    for (query, code) in [
        ("SELECT customer.colour FROM customer", "UNRECOGNIZED_FIELD"),
        ("SELECT customer.id FROM campaign", "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE"),
        ("SELECT customer.id customer.status FROM customer", "UNEXPECTED_INPUT"),
        ("SELECT customer.id FROM customer ORDER BY customer.id", "UNEXPECTED_INPUT"),
        ("UPDATE customer", "EXPECTED_SELECT"),
    ] {
        let (status, refused) = search(query).await?;
        let error = &refused["error"]["details"][0]["errors"][0]["errorCode"]["queryError"];
        assert_eq!((status, error), (400, &json!(code)), "{query}");
    }
    Ok(())
}

#[tokio::test]
async fn a_version_that_was_sunset_says_so_and_one_that_never_was_is_no_address() -> Result<()> {
    let google = Google::start(Options { versions: 24..=25, ..Options::default() }).await?;
    let upload = json!({"conversions": [conversion("o1", "a")], "partialFailure": true});
    let mut statuses = Vec::new();

    for version in [23, 24, 25] {
        let path = format!("/v{version}/customers/1234567890:uploadClickConversions");
        statuses.push(google.post(&path, &upload).await?);
    }
    let never = google.post("/v26/customers/1234567890:uploadClickConversions", &upload).await;

    let codes: Vec<u16> = statuses.iter().map(|(status, _)| *status).collect();
    assert_eq!(codes, [400, 200, 200]);
    let error = &statuses[0].1["error"]["details"][0]["errors"][0]["errorCode"];
    assert_eq!(*error, json!({"requestError": "UNSUPPORTED_VERSION"}));
    assert!(never.is_err(), "an HTML page is no JSON");
    Ok(())
}

#[tokio::test]
async fn an_action_or_an_account_out_of_order_can_be_mended() -> Result<()> {
    let google = Google::start(Options::default()).await?;
    let mut row = conversion("o1", "a");
    row["conversionAction"] = json!("customers/1234567890/conversionActions/9981");

    let (_, refused) = google.upload(json!([row])).await?;
    let ingested = google.ingest_for(&["9982"], json!([event("oc_1", "a")])).await?;
    call(&google.sandbox.base_url(), "POST", "/sandbox/mend?id=9981", "", "").await?;
    let (_, taken) = google.upload(json!([row])).await?;

    let error = &refused["partialFailureError"]["details"][0]["errors"][0]["errorCode"];
    assert_eq!(*error, json!({"conversionUploadError": "NO_CONVERSION_ACTION_FOUND"}));
    let violation = &ingested.1["error"]["details"][2]["fieldViolations"][0];
    assert_eq!(violation["reason"], "INVALID_CONVERSION_ACTION_TYPE");
    assert_eq!((ingested.0, taken.get("partialFailureError")), (400, None));
    Ok(())
}

#[tokio::test]
async fn a_token_says_its_scopes_and_is_good_for_no_other_api() -> Result<()> {
    let mut google = Google::start(Options::default()).await?;

    google.token = fetch_token(&google.sandbox.base_url(), "adwords_missing").await?;
    let (uploaded, refusal) = google.upload(json!([conversion("o1", "a")])).await?;
    let (ingested, _) = google.ingest(json!([event("oc_1", "a")])).await?;
    google.token = fetch_token(&google.sandbox.base_url(), "scope_missing").await?;
    let (other, _) = google.ingest(json!([event("oc_2", "b")])).await?;

    assert_eq!((uploaded, ingested, other), (403, 200, 403));
    assert_eq!(refusal["error"]["details"][0]["reason"], "ACCESS_TOKEN_SCOPE_INSUFFICIENT");
    Ok(())
}
