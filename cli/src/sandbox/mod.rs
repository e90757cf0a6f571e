//! A local stand-in for Google: its token endpoint, the Data Manager API and the Google Ads API on one port.
//!
//! It checks requests as strictly as Google does, keeps a ledger of what it counted, and misbehaves where a
//! conversion asks it to. Everything lives in memory and is bounded: 1,000,000 conversions (`Options::ledger_max`;
//! beyond, uploads are refused with 503 rather than counted wrongly), 50,000 receipts, 50,000 access tokens,
//! 1,000 logged requests, 200,000 counters of `*times`.
//!
//! # Directives
//!
//! A directive stands in the click id (gclid, gbraid, wbraid) or, where that has none, in the transaction or
//! order id: `sandbox-<directive>[*times][-anything]`, wherever in the id. With `*times` it holds for so many
//! requests that carry the row and is `ok` from then on. A directive that does not exist is refused with 400,
//! the row's place and the code `UNKNOWN_SANDBOX_DIRECTIVE`, so that a typing error never passes for a delivery.
//!
//! | directive | what happens |
//! | --- | --- |
//! | `ok` | the row is judged like any other |
//! | `slow.<ms>` | the answer to the whole request comes so much later (at most 120 s) |
//! | `error.<CODE>`, `error.<family>.<CODE>` | the row is refused: in Google Ads inside a partial failure (the family is the upload service's own unless named), in Data Manager with the whole request, at `events[N]`, with the code as its reason |
//! | `reason.<REASON>` | Data Manager takes the row and its receipt counts it under this reason, with or without `PROCESSING_ERROR_REASON_`; Google Ads has no receipts and takes the row |
//! | `warning.<REASON>` | Data Manager takes the row, and its receipt warns of this reason, with or without `PROCESSING_WARNING_REASON_` |
//! | `receipt.pending` | Data Manager takes the row, and the receipt says `PROCESSING` of its destination for ever |
//! | `receipt.success`, `receipt.records`, `receipt.counts` | the same, and the receipt cannot be true of its destination: a success with an error, a record more than was sent, more errors than records |
//! | `poll.<status>`, `poll.<status>.<seconds>` | Data Manager takes the row, and the question for its receipt is refused with this status, `*times` times |
//! | `http.<status>` | the whole request is refused with this status, nothing recorded |
//! | `http.<status>.<seconds>` | the same with `Retry-After`; a 429 also says so in its body |
//! | `http.400.row` | the same, and the body says which row |
//! | `refuse.<CODE>`, `refuse.<family>.<CODE>` | the whole request is refused with this code and no row's place |
//! | `timeout` | recorded, then never answered |
//! | `reset` | recorded, then the connection is reset |
//! | `reset-before` | the connection is reset, nothing recorded |
//! | `garbage` | recorded, then a 200 that cannot be read |
//!
//! Of several rows that speak for the whole request the first one rules; `slow` adds to any of them. A row's
//! `error` or `reason` is spent only where the request got as far as its rows.
//!
//! # Refresh tokens and accounts
//!
//! A refresh token that contains `invalid_grant`, `invalid_client` or `token_503` is answered so;
//! `scope_missing` gives a token that Data Manager refuses, `adwords_missing` one that the Google Ads API refuses, and the
//! answer says which scope it has; `expired_once` gives a first token that both APIs refuse, and good ones after it.
//! Customer ids that begin with 9991 (not allowlisted for the Google Ads API), 9992 (customer data terms not accepted),
//! 9993 (no permission) and 9994 (not enabled) are accounts out of order. So are conversion actions whose number begins with
//! 9981 (there is none), 9982 (takes no uploads), 9983 (of the account's manager), 9984 (one per click: no braids); 9985 is
//! there twice, the manager's and the account's own. `googleAds:search` knows all of them, and two questions.
//!
//! # Looking inside
//!
//! - `GET /sandbox/ledger`: per account, conversion action and order how often it was `counted` as a new
//!   conversion, how often it was `received` in a request that was processed, its last value; and `totals`.
//! - `POST /sandbox/mend?id=9993000001`: puts an account or a conversion action in order.
//! - `GET /sandbox/requests?last=20`: the last requests, without tokens and bodies.
//! - `DELETE /sandbox/ledger`: forgets all of it, counters of `*times` and receipts included; tokens stay good.

mod account;
mod ads_api;
mod answer;
mod codes;
mod data_manager;
mod directive;
mod inspect;
mod ledger;
mod line;
mod server;
mod shape;
mod state;
mod token;

use anyhow::Context;
use axum::Router;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use server::{Knobs, Stand};
pub use state::Totals;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What can be chosen about a sandbox.
#[derive(Clone)]
pub struct Options {
    /// Time that a receipt says `PROCESSING`, by the sandbox's clock.
    pub processing: Duration,
    /// Time that every answer takes, on top of what directives ask for.
    pub latency: Duration,
    /// Conversions that the ledger holds; beyond, uploads are refused with 503.
    pub ledger_max: usize,
    /// Requests per OAuth client and minute at the two APIs; more are answered 429. Google's number is 300.
    pub requests_per_minute: Option<u32>,
    /// Versions of the Google Ads API that are there. Older ones were sunset and answer `UNSUPPORTED_VERSION`, newer ones
    /// never were. <https://developers.google.com/google-ads/api/docs/sunset-dates>, read 2026-11-22.
    pub versions: RangeInclusive<u32>,
    /// The clock that judges event times, token lifetimes and receipts.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            processing: Duration::from_secs(2),
            latency: Duration::ZERO,
            ledger_max: 1_000_000,
            requests_per_minute: None,
            versions: 23..=26,
            clock: Arc::new(Timestamp::now),
        }
    }
}

/// A sandbox that is running; dropping it stops it as well, without waiting.
pub struct Sandbox {
    address: SocketAddr,
    stand: Arc<Stand>,
    stop: CancellationToken,
    server: Option<JoinHandle<std::io::Result<()>>>,
}

/// What a sandbox has seen so far.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Where it listens.
    pub base_url: String,
    /// Orders in its ledger, counted or not.
    pub orders: usize,
    /// Its counters.
    #[serde(flatten)]
    pub totals: Totals,
}

/// Starts a sandbox; port 0 takes any free one.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn start(listen: SocketAddr, options: Options) -> anyhow::Result<Sandbox> {
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("the sandbox cannot listen on {listen}"))?;
    let address = listener.local_addr().context("the sandbox has no address")?;
    let knobs = Knobs {
        name: uuid::Uuid::new_v4().simple().to_string(),
        processing: SignedDuration::try_from(options.processing).context("processing is too long")?,
        latency: options.latency,
        ledger_max: options.ledger_max,
        requests_per_minute: options.requests_per_minute,
        versions: options.versions,
    };
    let stand = Arc::new(Stand { state: Mutex::default(), knobs, clock: options.clock });
    let stop = CancellationToken::new();
    let lines = line::Lines { listener, stop: stop.clone() };
    let service = Router::new()
        .fallback(server::serve)
        .with_state(stand.clone())
        .into_make_service_with_connect_info::<line::Scissors>();
    let serving = axum::serve(lines, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let server = tokio::spawn(async move { serving.await });
    Ok(Sandbox { address, stand, stop, server: Some(server) })
}

impl Sandbox {
    /// The address for every base URL that the programs under test take; the token URL is this and `/token`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has seen so far.
    pub fn summary(&self) -> Summary {
        let state = server::lock(&self.stand.state);
        Summary { base_url: self.base_url(), orders: state.ledger.len(), totals: state.totals.clone() }
    }

    /// Stops listening, resets the connections that are open, and waits until the last one is gone.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take()
            && let Err(error) = server.await
        {
            tracing::warn!("the sandbox did not stop cleanly: {error}");
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
