//! Answers that no platform ever gave: recorded ones with anything in the wrong place. Whatever the bytes are, nobody
//! panics, every row has one verdict, and nothing is marked delivered that the answer does not plainly say was taken.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::Value;
use shared::domain::{Conversion, ConversionInput, Omitted, Secret, Verdict};
use shared::providers::google_ads::taxonomy::Taxonomy;
use shared::providers::google_ads::{GoogleAds, GoogleConfig, read_answer, read_receipt};
use shared::providers::http::{RawAnswer, build_client};
use shared::providers::{Account, AccountOptions, Provider as _, ReceiptState, Request, Row};

use crate::world::{conversion, credentials};

/// Statuses that mean something, and some that mean nothing.
const STATUSES: [u16; 20] =
    [0, 100, 200, 200, 200, 200, 201, 204, 301, 400, 400, 401, 403, 404, 409, 413, 429, 499, 503, 999];

/// Bytes that break texts, numbers and nesting.
const POISON: [&str; 16] = [
    "null",
    "-1",
    "1e999",
    "18446744073709551616",
    "\"\"",
    "{}",
    "[]",
    "\"SUCCESS\"",
    "\"PARTIAL_SUCCESS\"",
    "\u{0}",
    "\\ud800",
    "true",
    "[[[[[[[[",
    "}",
    "\"index\":",
    "\"requestId\":\"\"",
];

/// What fuzzing works with.
pub struct Ground {
    corpus: Vec<Vec<u8>>,
    requests: Vec<Request>,
    secret: Secret,
}

impl Ground {
    /// Reads every recorded answer under `tests/fixtures`, and builds requests of one to four rows by both transports.
    ///
    /// # Errors
    /// Where a fixture cannot be read.
    pub fn new() -> anyhow::Result<Self> {
        let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/google_ads");
        let mut corpus = Vec::new();
        collect(&fixtures, &mut corpus)?;
        corpus.extend(RECEIPTS.map(|receipt| receipt.as_bytes().to_vec()));
        let adapter =
            GoogleAds::new(GoogleConfig::default(), build_client(std::time::Duration::from_secs(1))?);
        let mut requests = Vec::new();
        for transport in ["ads_api", "data_manager"] {
            let secret = Secret::new(credentials(serde_json::json!({ "transport": transport })).to_string());
            let account = adapter
                .open_account(&secret, &AccountOptions::default())
                .map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
            for rows in 1..=4 {
                requests.push(request(&adapter, account.as_ref(), rows)?);
            }
        }
        let secret = Secret::new(credentials(serde_json::json!({ "transport": "data_manager" })).to_string());
        Ok(Self { corpus, requests, secret })
    }

    /// Reads one answer that nobody gave; the same seed gives the same.
    ///
    /// # Errors
    /// What it was taken for, and must not be.
    pub fn read_one(&self, seed: u64) -> anyhow::Result<()> {
        let mut random = StdRng::seed_from_u64(seed);
        let body = self.body(&mut random);
        let status = *STATUSES.choose(&mut random).context("there are statuses")?;
        let request = self.requests.choose(&mut random).context("there are requests")?;
        let raw = RawAnswer { status, headers: headers(&mut random), body: body.clone().into() };
        let now = Timestamp::from_second(1_795_000_000)?;
        let said = serde_json::from_slice::<Value>(&body).unwrap_or(Value::Null);

        if let Ok(answer) = read_answer(&raw, request, &Taxonomy::default(), now) {
            anyhow::ensure!(
                answer.rows.len() == request.rows.len(),
                "{} rows have a verdict",
                answer.rows.len()
            );
            for (row, answer) in answer.rows.iter().enumerate() {
                let is_told = |taken: bool| status == 200 && taken;
                let result = || said["results"][row].as_object().is_some_and(|result| !result.is_empty());
                let request_id = || said["requestId"].as_str().is_some_and(|id| !id.is_empty());
                let plainly = (answer.verdict != Verdict::Delivered || is_told(result()))
                    && (answer.verdict != Verdict::Submitted || is_told(request_id()));
                anyhow::ensure!(
                    plainly,
                    "row {row} was taken for {:?}: {}",
                    answer.verdict,
                    String::from_utf8_lossy(&body)
                );
            }
        }
        let receipt =
            read_receipt(&raw, &self.secret, now).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
        if let Ok(receipt) = receipt {
            let statuses = &said["requestStatusPerDestination"];
            for (place, part) in receipt.parts.iter().enumerate() {
                let plainly = part.state != ReceiptState::Taken
                    || status == 200 && statuses[place]["requestStatus"] == "SUCCESS";
                anyhow::ensure!(
                    plainly,
                    "destination {place} was taken for {:?}: {}",
                    part.state,
                    String::from_utf8_lossy(&body)
                );
            }
        }
        Ok(())
    }

    /// A recorded body with up to eight things wrong with it, or none of it at all.
    fn body(&self, random: &mut StdRng) -> Vec<u8> {
        let mut body = self.corpus.choose(random).cloned().unwrap_or_default();
        if random.random_ratio(1, 20) {
            body = (0..random.random_range(0..200)).map(|_| random.random()).collect();
        }
        for _ in 0..random.random_range(0..8) {
            let at = random.random_range(0..=body.len());
            let end = random.random_range(at..=body.len().min(at + 40));
            match random.random_range(0..6) {
                0 if !body.is_empty() => {
                    let at = at.min(body.len() - 1);
                    body[at] = random.random();
                }
                1 => drop(body.drain(at..end)),
                2 => {
                    let poison = POISON.choose(random).copied().unwrap_or_default();
                    body.splice(at..end, poison.bytes());
                }
                3 => {
                    let piece = body[at..end].to_vec();
                    body.splice(at..at, piece);
                }
                4 => {
                    let other = self.corpus.choose(random).cloned().unwrap_or_default();
                    let from = random.random_range(0..=other.len());
                    body.splice(at.., other[from..].iter().copied());
                }
                _ => body.truncate(end),
            }
        }
        body
    }
}

/// Receipts as Google's message type writes them.
const RECEIPTS: [&str; 2] = [
    r#"{"requestStatusPerDestination":[{"destination":{"operatingAccount":{"accountType":"GOOGLE_ADS","accountId":"1234567890"},"productDestinationId":"987"},"requestStatus":"SUCCESS","eventsIngestionStatus":{"recordCount":"3"}}]}"#,
    r#"{"requestStatusPerDestination":[{"requestStatus":"PARTIAL_SUCCESS","eventsIngestionStatus":{"recordCount":"3"},"errorInfo":{"errorCounts":[{"recordCount":"1","reason":"PROCESSING_ERROR_REASON_INVALID_GCLID"}]}},{"requestStatus":"FAILED","errorInfo":{"errorCounts":[{"recordCount":2,"reason":"PROCESSING_ERROR_REASON_NO_CONSENT"}]}}]}"#,
];

fn collect(folder: &Path, corpus: &mut Vec<Vec<u8>>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, corpus)?;
            continue;
        }
        let recorded: Value = serde_json::from_slice(&fs::read(&path)?)?;
        if !recorded["body"].is_null() {
            corpus.push(recorded["body"].to_string().into_bytes());
        }
    }
    Ok(())
}

fn request(adapter: &GoogleAds, account: &dyn Account, rows: usize) -> anyhow::Result<Request> {
    let site = shared::domain::SiteId(uuid::Uuid::nil());
    let rows: Vec<Conversion> = (0..rows)
        .map(|number| {
            let fields = crate::world::row("fuzz", "ok", number);
            let input = ConversionInput::parse(&conversion(site, &fields));
            let input = input.map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
            let admitted = adapter.admit(input, None).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
            Ok(admitted.conversion)
        })
        .collect::<anyhow::Result<_>>()?;
    let rows: Vec<Row<'_>> =
        rows.iter().map(|conversion| Row { conversion, omitted: Omitted::NONE }).collect();
    let mut packed = account.pack(&rows, Timestamp::now());
    packed.requests.pop().context("they fit into one request")
}

fn headers(random: &mut StdRng) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if random.random_ratio(1, 3) {
        let waits = ["-1", "0", "99999999999999999999", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", "\u{fffd}"];
        let wait = waits.choose(random).copied().unwrap_or_default();
        if let Ok(wait) = HeaderValue::from_bytes(wait.as_bytes()) {
            headers.insert("retry-after", wait);
        }
    }
    if random.random_ratio(1, 3) {
        headers.insert("request-id", HeaderValue::from_static("recorded-request"));
    }
    headers
}
