//! The local stand-in for Google: it refuses what Google refuses, and counts exactly.

mod accounts;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use relay_cli::sandbox::{Options, Sandbox, start};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Google {
    sandbox: Sandbox,
    token: String,
}

/// A status and a JSON body.
type Answer = (u16, Value);

impl Google {
    async fn start(options: Options) -> Result<Self> {
        let sandbox = start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), options).await?;
        let token = fetch_token(&sandbox.base_url(), "any").await?;
        Ok(Self { sandbox, token })
    }

    async fn ingest(&self, events: Value) -> Result<Answer> {
        self.ingest_for(&["77"], events).await
    }

    async fn ingest_for(&self, actions: &[&str], events: Value) -> Result<Answer> {
        let account = json!({"accountType": "GOOGLE_ADS", "accountId": "1234567890"});
        let destinations: Value = actions
            .iter()
            .map(|id| json!({"reference": id, "operatingAccount": account, "productDestinationId": id}))
            .collect();
        let body = json!({"destinations": destinations, "events": events}).to_string();
        call(&self.sandbox.base_url(), "POST", "/v1/events:ingest", &self.token, &body).await
    }

    async fn upload(&self, conversions: Value) -> Result<Answer> {
        upload(self.sandbox.base_url(), self.token.clone(), conversions).await
    }

    async fn status_of(&self, ingested: &Answer) -> Result<Value> {
        Ok(self.receipt_of(ingested).await?["requestStatusPerDestination"][0].clone())
    }

    async fn receipt_of(&self, ingested: &Answer) -> Result<Value> {
        let request_id = ingested.1["requestId"].as_str().context("no request id")?;
        let path = format!("/v1/requestStatus:retrieve?requestId={request_id}");
        Ok(call(&self.sandbox.base_url(), "GET", &path, &self.token, "").await?.1)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        call(&self.sandbox.base_url(), "POST", path, &self.token, &body.to_string()).await
    }

    async fn ledger(&self) -> Result<Value> {
        Ok(call(&self.sandbox.base_url(), "GET", "/sandbox/ledger", "", "").await?.1)
    }
}

async fn upload(base_url: String, token: String, conversions: Value) -> Result<Answer> {
    let body = json!({"conversions": conversions, "partialFailure": true}).to_string();
    call(&base_url, "POST", "/v26/customers/1234567890:uploadClickConversions", &token, &body).await
}

async fn fetch_token(base_url: &str, refresh_token: &str) -> Result<String> {
    let form = format!(
        "grant_type=refresh_token&refresh_token={refresh_token}&client_id=client&client_secret=secret"
    );
    let (_, answer) = call(base_url, "POST", "/token", "", &form).await?;
    Ok(answer["access_token"].as_str().context("no access token")?.to_owned())
}

/// One request on a connection of its own, so that a reset is seen as what it is and never sent again.
async fn call(base_url: &str, method: &str, path: &str, token: &str, body: &str) -> Result<Answer> {
    let address = base_url.strip_prefix("http://").context("not http")?;
    let kind = if path == "/token" { "application/x-www-form-urlencoded" } else { "application/json" };
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {kind}\r\n\
         authorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, serde_json::from_str(body)?))
}

fn an_hour_ago() -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(1)
}

fn event(transaction: &str, gclid: &str) -> Value {
    json!({
        "transactionId": transaction, "eventTimestamp": an_hour_ago().to_string(), "eventSource": "WEB",
        "conversionValue": 12.5, "currency": "EUR", "adIdentifiers": {"gclid": gclid},
    })
}

fn conversion(order: &str, gclid: &str) -> Value {
    let at = an_hour_ago().strftime("%Y-%m-%d %H:%M:%S+00:00").to_string();
    json!({
        "orderId": order, "gclid": gclid, "conversionDateTime": at, "conversionValue": 12.5,
        "conversionAction": "customers/1234567890/conversionActions/88", "currencyCode": "EUR",
    })
}

#[tokio::test]
async fn one_bad_event_refuses_the_whole_request() -> Result<()> {
    let google = Google::start(Options::default()).await?;

    let (status, body) = google.ingest(json!([event("oc_1", "a"), event("2", "b")])).await?;

    assert_eq!(status, 400);
    assert_eq!(body["error"]["details"][2]["fieldViolations"][0]["field"], "events[1]");
    assert_eq!(google.sandbox.summary().totals.conversions_counted, 0);
    Ok(())
}

#[tokio::test]
async fn a_receipt_counts_reasons_and_never_names_a_row() -> Result<()> {
    let google = Google::start(Options { processing: Duration::ZERO, ..Options::default() }).await?;
    let events = json!([event("oc_1", "a"), event("oc_2", "sandbox-reason.CLICK_NOT_FOUND-2")]);

    let ingested = google.ingest(events).await?;

    let status = google.status_of(&ingested).await?;
    assert_eq!(status["requestStatus"], "PARTIAL_SUCCESS");
    assert_eq!(status["eventsIngestionStatus"]["recordCount"], "2");
    let reason = json!({"reason": "PROCESSING_ERROR_REASON_CLICK_NOT_FOUND", "recordCount": "1"});
    assert_eq!(status["errorInfo"]["errorCounts"], json!([reason]));
    Ok(())
}

/// The document as Google's own message type reads it.
fn understood(message: &str, document: Value) -> Result<Value> {
    let mut checked = tests::proto::check(&[("answer", message, document)])?;
    checked.remove(0).understood.map_err(anyhow::Error::msg)
}

#[tokio::test]
async fn a_receipt_is_told_per_destination_in_googles_own_type() -> Result<()> {
    let google = Google::start(Options { processing: Duration::ZERO, ..Options::default() }).await?;
    let mut refused = event("oc_1", "sandbox-reason.CLICK_NOT_FOUND-1");
    refused["destinationReferences"] = json!(["77"]);
    let mut warned = event("oc_2", "sandbox-warning.INTERNAL_ERROR-2");
    warned["destinationReferences"] = json!(["78"]);
    let ingested = google.ingest_for(&["77", "78"], json!([refused, warned])).await?;

    let receipt = google.receipt_of(&ingested).await?;

    let receipt = understood("google.ads.datamanager.v1.RetrieveRequestStatusResponse", receipt)?;
    let [first, second] = receipt["requestStatusPerDestination"].as_array().context("no list")?.as_slice()
    else {
        panic!("{receipt}");
    };
    assert_eq!(
        (&first["destination"]["reference"], &first["requestStatus"]),
        (&json!("77"), &json!("FAILED"))
    );
    assert_eq!(first["errorInfo"]["errorCounts"][0]["recordCount"], "1");
    assert_eq!((&second["requestStatus"], second.get("errorInfo")), (&json!("SUCCESS"), None));
    let warning = json!({"recordCount": "1", "reason": "PROCESSING_WARNING_REASON_INTERNAL_ERROR"});
    assert_eq!(second["warningInfo"]["warningCounts"], json!([warning]));
    Ok(())
}

#[tokio::test]
async fn an_identical_row_of_a_known_transaction_adjusts_it_and_harms_nothing() -> Result<()> {
    let google = Google::start(Options { processing: Duration::ZERO, ..Options::default() }).await?;
    let row = event("oc_1", "a");
    google.ingest(json!([row])).await?;

    let again = google.ingest(json!([row])).await?;

    assert_eq!(google.status_of(&again).await?["requestStatus"], "SUCCESS");
    let entry = google.ledger().await?["entries"][0].clone();
    assert_eq!((&entry["counted"], &entry["adjustments"]), (&json!(1), &json!(1)), "{entry}");
    assert_eq!(entry["last_value"], "12.5");
    Ok(())
}

#[tokio::test]
async fn a_row_that_is_only_validated_is_counted_nowhere() -> Result<()> {
    let google = Google::start(Options::default()).await?;
    let account = json!({"accountType": "GOOGLE_ADS", "accountId": "1234567890"});
    let destinations = json!([{"operatingAccount": account, "productDestinationId": "77"}]);
    let ingest = json!({"destinations": destinations, "events": [event("oc_1", "a")], "validateOnly": true});
    let upload =
        json!({"conversions": [conversion("o1", "a")], "partialFailure": true, "validateOnly": true});

    let (ingested, _) = google.post("/v1/events:ingest", &ingest).await?;
    let (uploaded, answer) = google.post("/v26/customers/1234567890:uploadClickConversions", &upload).await?;

    assert_eq!((ingested, uploaded, answer.get("results")), (200, 200, None));
    assert_eq!(google.sandbox.summary().orders, 0);
    Ok(())
}

#[tokio::test]
async fn a_receipt_is_processing_until_its_time() -> Result<()> {
    let google = Google::start(Options { processing: Duration::from_secs(60), ..Options::default() }).await?;

    let ingested = google.ingest(json!([event("oc_1", "a")])).await?;

    let status = google.status_of(&ingested).await?;
    assert_eq!(status["requestStatus"], "PROCESSING");
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_and_its_resend_count_once() -> Result<()> {
    let google = Google::start(Options::default()).await?;
    let events = json!([event("oc_1", "sandbox-reset*1-1")]);

    let lost = google.ingest(events.clone()).await;
    let (resent, _) = google.ingest(events).await?;

    assert!(lost.is_err());
    assert_eq!(resent, 200);
    let ledger = google.ledger().await?;
    assert_eq!(ledger["entries"][0]["counted"], 1);
    assert_eq!(ledger["entries"][0]["received"], 2);
    Ok(())
}

#[tokio::test]
async fn two_rows_of_one_order_fail_together_and_the_third_is_taken() -> Result<()> {
    let google = Google::start(Options::default()).await?;
    let rows = json!([conversion("o1", "a"), conversion("o1", "b"), conversion("o2", "c")]);

    let (_, answer) = google.upload(rows).await?;

    let errors = answer["partialFailureError"]["details"][0]["errors"].as_array().context("no errors")?;
    let code = json!({"conversionUploadError": "DUPLICATE_ORDER_ID"});
    assert_eq!(errors.iter().filter(|error| error["errorCode"] == code).count(), 2);
    assert_eq!(answer["results"][0], json!({}));
    assert_eq!(answer["results"][2]["gclid"], "c");
    assert_eq!(google.sandbox.summary().totals.conversions_counted, 1);
    Ok(())
}

#[tokio::test]
async fn a_directive_with_times_ends() -> Result<()> {
    let google = Google::start(Options::default()).await?;
    let rows = json!([conversion("o1", "sandbox-http.503*2-1")]);
    let mut statuses = Vec::new();

    for _ in 0..3 {
        statuses.push(google.upload(rows.clone()).await?.0);
    }

    assert_eq!(statuses, [503, 503, 200]);
    Ok(())
}

#[tokio::test]
async fn a_row_spends_its_directive_in_any_company() -> Result<()> {
    let google = Google::start(Options::default()).await?;
    let mut row = event("oc_1", "sandbox-http.503*1-1");
    row["destinationReferences"] = json!(["77"]);

    let alone = google.ingest_for(&["77"], json!([row])).await?;
    let behind_another_action = google.ingest_for(&["66", "77"], json!([row])).await?;

    assert_eq!((alone.0, behind_another_action.0), (503, 200));
    Ok(())
}

#[tokio::test]
async fn a_directive_that_does_not_exist_is_refused() -> Result<()> {
    let google = Google::start(Options::default()).await?;

    let (_, body) = google.ingest(json!([event("oc_1", "sandbox-oops-1")])).await?;

    assert_eq!(body["error"]["details"][0]["reason"], "UNKNOWN_SANDBOX_DIRECTIVE");
    Ok(())
}

#[tokio::test]
async fn an_expired_token_is_refused_and_the_next_one_works() -> Result<()> {
    let mut google = Google::start(Options::default()).await?;
    let mut statuses = Vec::new();

    for _ in 0..2 {
        google.token = fetch_token(&google.sandbox.base_url(), "expired_once").await?;
        statuses.push(google.ingest(json!([event("oc_1", "a")])).await?.0);
    }

    assert_eq!(statuses, [401, 200]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_is_exact_under_concurrency() -> Result<()> {
    let google = std::sync::Arc::new(Google::start(Options::default()).await?);
    let rows: Value = (0..50).map(|n| event(&format!("oc_{n}"), &format!("g{n}"))).collect();
    let mut uploads = tokio::task::JoinSet::new();

    for _ in 0..40 {
        let (google, rows) = (google.clone(), rows.clone());
        uploads.spawn(async move { google.ingest(rows).await.map(|answer| answer.0) });
    }
    for status in uploads.join_all().await {
        assert_eq!(status?, 200);
    }

    let totals = google.sandbox.summary().totals;
    assert_eq!((totals.conversions_counted, totals.duplicates), (50, 1950));
    Ok(())
}

#[tokio::test]
async fn stopping_drops_requests_that_wait_for_an_answer() -> Result<()> {
    let Google { sandbox, token } = Google::start(Options::default()).await?;
    let rows = json!([conversion("o1", "sandbox-timeout-1")]);
    let waiting = tokio::spawn(upload(sandbox.base_url(), token, rows));
    while sandbox.summary().totals.conversions_counted == 0 {
        tokio::task::yield_now().await;
    }

    sandbox.stop().await;

    assert!(waiting.await?.is_err());
    Ok(())
}

#[tokio::test]
async fn stopping_drops_answers_that_are_slow() -> Result<()> {
    let Google { sandbox, token } = Google::start(Options::default()).await?;
    let rows = json!([conversion("o1", "sandbox-slow.60000-1")]);
    let waiting = tokio::spawn(upload(sandbox.base_url(), token, rows));
    while sandbox.summary().totals.conversions_counted == 0 {
        tokio::task::yield_now().await;
    }

    sandbox.stop().await;

    assert!(waiting.await?.is_err());
    Ok(())
}
