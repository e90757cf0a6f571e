//! The door over HTTP: `relay serve` as a child process, signed calls, each conversion kept durably before its answer.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;
use shared::boot::{Boot, Config, functions};
use shared::domain::SiteId;
use shared::providers::http::build_client;
use tokio_util::sync::CancellationToken;

use crate::process;
use crate::report::{Report, number, quantile};
use crate::server::Server;
use crate::stage::{Stage, input};
use crate::worker::{self, Worker};

/// A single conversion's answer, for 99 of 100.
const GOAL_P99_MS: f64 = 20.0;

/// Conversions a second in batches.
const GOAL_PER_SECOND: f64 = 5_000.0;

/// The most that one call takes.
const BATCH: usize = 1_000;

/// Calls that nobody counts: connections are opened, plans made, keys unsealed.
const WARM_UP: usize = 200;

/// What is sent in one measurement.
struct Load {
    name: &'static str,
    calls: usize,
    batch: usize,
    clients: usize,
}

/// Who sends, where to.
#[derive(Clone)]
struct Sender {
    http: reqwest::Client,
    url: String,
    site: SiteId,
    key: String,
}

/// Runs it.
pub(crate) async fn run(server: &Server, calls: usize) -> anyhow::Result<Report> {
    let stage = Stage::set(server, "relay", "http://127.0.0.1:1").await?;
    let site = stage.put_sites(1, 1).await?[0];
    let (_, key) =
        stage.context.access.add_ingest_key(site).await?.context("a new site has room for a key")?;
    let child = stage.child(&["serve"]).await?;
    let url = child.ready["url"].as_str().context("the server says where it listens")?;
    let sender = Sender {
        http: build_client(Duration::from_secs(60))?,
        url: format!("{url}/v1/conversions"),
        site,
        key: key.expose().to_owned(),
    };
    let mut sent = 0;
    let warm_up = Load { name: "", calls: WARM_UP, batch: 1, clients: 1 };
    send(&sender, &warm_up, &mut sent).await?;

    let batches = calls.div_ceil(20);
    let mut report = Report::new(
        format!("The door over HTTP, {calls} single conversions and {batches} batches"),
        &[
            "what",
            "clients",
            "calls",
            "p50 ms",
            "p99 ms",
            "most ms",
            "conversions/s",
            "PG CPU s/100k",
            "server CPU s/100k",
            "goal",
            "reached",
        ],
    );
    for load in [
        Load { name: "one conversion a call", calls, batch: 1, clients: 1 },
        Load { name: "one conversion a call", calls, batch: 1, clients: 8 },
        Load { name: "1,000 conversions a call", calls: batches, batch: BATCH, clients: 1 },
        Load { name: "1,000 conversions a call", calls: batches, batch: BATCH, clients: 4 },
    ] {
        report.row(measure(server, &child, &sender, &load, &mut sent).await?);
    }
    stage.check_accounts().await?;
    drop((stage, child));
    server.drop_database("relay").await?;
    report.note("one signed call after the other for each client, over a connection that stays open; the client is on the same cores");
    Ok(report)
}

/// Sends a load: a row of the report.
async fn measure(
    server: &Server,
    child: &Worker,
    sender: &Sender,
    load: &Load,
    sent: &mut usize,
) -> anyhow::Result<[String; 11]> {
    server.checkpoint().await?;
    let (postgres, own) = (server.postgres_cpu()?, process::cpu_seconds(child.pid)?);
    let started = Instant::now();
    let milliseconds = send(sender, load, sent).await?;
    let seconds = started.elapsed().as_secs_f64();
    let conversions = (load.calls * load.batch) as f64;
    let (p99, rate) = (quantile(&milliseconds, 0.99), conversions / seconds);
    let (goal, reached) = match load.batch {
        1 => (format!("p99 < {GOAL_P99_MS} ms"), p99 < GOAL_P99_MS),
        _ => (format!("> {GOAL_PER_SECOND}/s"), rate > GOAL_PER_SECOND),
    };
    Ok([
        load.name.to_owned(),
        load.clients.to_string(),
        load.calls.to_string(),
        number(quantile(&milliseconds, 0.5)),
        number(p99),
        number(quantile(&milliseconds, 1.0)),
        number(rate),
        number((server.postgres_cpu()? - postgres) / conversions * 1e5),
        number((process::cpu_seconds(child.pid)? - own) / conversions * 1e5),
        goal,
        if reached { "yes" } else { "NO" }.to_owned(),
    ])
}

/// Sends a load, and says how long each call took.
async fn send(sender: &Sender, load: &Load, sent: &mut usize) -> anyhow::Result<Vec<f64>> {
    let mut clients = Vec::new();
    for client in 0..load.clients {
        let (sender, batch, first) = (sender.clone(), load.batch, *sent);
        let places = (client..load.calls).step_by(load.clients);
        clients.push(tokio::spawn(async move {
            let mut milliseconds = Vec::new();
            for place in places {
                milliseconds.push(sender.call(first + place * batch, batch).await?);
            }
            anyhow::Ok(milliseconds)
        }));
    }
    *sent += load.calls * load.batch;
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await??);
    }
    Ok(all)
}

impl Sender {
    /// One call; how long its answer took.
    async fn call(&self, first: usize, batch: usize) -> anyhow::Result<f64> {
        let now = Timestamp::now();
        let items = (first..first + batch).map(|number| input(self.site, number, now));
        let body = json!(items.collect::<Vec<_>>()).to_string();
        let at = now.as_second();
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes())?;
        mac.update(format!("{at}.").as_bytes());
        mac.update(body.as_bytes());
        let digest = mac.finalize().into_bytes();
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let request = self
            .http
            .post(&self.url)
            .header("x-relay-site", self.site.to_string())
            .header("x-relay-signature", format!("t={at},v1={digest}"))
            .body(body);

        let started = Instant::now();
        let answer = request.send().await.context("reach the server")?;
        let status = answer.status();
        let told: Value = serde_json::from_slice(&answer.bytes().await?)?;
        let milliseconds = started.elapsed().as_secs_f64() * 1e3;

        let queued = told["counts"]["queued"].as_u64();
        ensure!(status == 202 && queued == Some(batch as u64), "not taken in: {status} {told}");
        Ok(milliseconds)
    }
}

/// `relay serve` on a free port, with threads as it has, until the parent lets go.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let serving = tokio::task::spawn_blocking(|| {
        tokio::runtime::Runtime::new()?.block_on(async {
            let (listener, address) = relay_cli::serve::listen(([127, 0, 0, 1], 0).into()).await?;
            worker::say(&json!({ "url": format!("http://{address}") }))?;
            worker::end_with_parent();
            let boot = Boot::new(Config::from_env());
            relay_cli::serve::serve(listener, functions::ALL, boot, 64, CancellationToken::new()).await;
            anyhow::Ok(())
        })
    });
    serving.await?
}
