//! The whole path: claim, upload to a loopback provider, persist everything; beside the peers, who deliver nothing.

use std::collections::HashMap;

use anyhow::ensure;

use crate::peers::Peers;
use crate::report::{Report, number, times};
use crate::server::{Cost, Server};
use crate::stage::{Stage, child};

/// Tenants, and the OAuth clients that they share: enough that slots bound nobody.
const GROUPS: usize = 100;
const QUOTA_KEYS: usize = 20;

/// The slow peers get this part of the rows.
const SLOW_PART: usize = 5;

/// A contestant: its name, its script and shape, the part of the rows that it gets.
const CONTESTANTS: [(&str, &str, &str, usize); 4] = [
    ("graphile-worker, no-op", "graphile.mjs", "no-op", 1),
    ("graphile-worker, persists an outcome", "graphile.mjs", "persist", SLOW_PART),
    ("pg-boss, fetch 2000 + complete", "pgboss.mjs", "fetch", 1),
    ("per-row worker, pool of 10", "per_row.mjs", "pool", SLOW_PART),
];

/// Runs it.
pub(crate) async fn run(server: &Server, peers: Option<&Peers>, rows: usize) -> anyhow::Result<Report> {
    let mut report = Report::new(
        format!("Whole path, {rows} conversions in {GROUPS} groups"),
        &[
            "who",
            "rows",
            "conversions/s",
            "PG CPU s/100k",
            "worker CPU s/100k",
            "provider CPU s/100k",
            "conversions/core-s",
            "WAL B/conversion",
            "peak MiB",
            "ours/theirs by s",
            "by core-s",
        ],
    );
    let ours = ours(server, rows).await?;
    report.row(cells("relay: HTTP upload, all persisted", &ours, None));
    for (name, script, shape, part) in CONTESTANTS {
        let Some(peers) = peers else { continue };
        let theirs = peer(server, peers, script, shape, rows / part).await?;
        report.row(cells(name, &theirs, Some(&ours)));
    }
    if peers.is_none() {
        report.note("without the peers: they could not be installed");
    }
    Ok(report)
}

/// Our upload task over a queue that the producer filled.
pub(crate) async fn ours(server: &Server, rows: usize) -> anyhow::Result<Cost> {
    let provider = child(&["provider"], &HashMap::new()).await?;
    let stage = Stage::set(server, "relay", provider.ready["url"].as_str().unwrap_or_default()).await?;
    let sites = stage.put_sites(GROUPS, QUOTA_KEYS).await?;
    server.checkpoint().await?;
    stage.enqueue(&sites, 0, rows).await?;
    stage.sql.batch_execute("analyze").await?;
    let mut worker = stage.child(&["upload"]).await?;
    let cost = server.measure(&mut worker, Some(&provider)).await?;
    ensure!(cost.rows == rows as f64, "{} of {rows} were delivered", cost.rows);
    stage.check_accounts().await?;
    drop((stage, worker));
    server.drop_database("relay").await?;
    Ok(cost)
}

async fn peer(
    server: &Server,
    peers: &Peers,
    script: &str,
    shape: &str,
    rows: usize,
) -> anyhow::Result<Cost> {
    server.create_database("peer").await?;
    server.checkpoint().await?;
    let url = server.url("postgres", "peer")?;
    let mut worker = peers.start(script, shape, &url, rows, 2_000).await?;
    let cost = server.measure(&mut worker, None).await?;
    ensure!(cost.rows == rows as f64, "{} of {rows} were done", cost.rows);
    drop(worker);
    server.drop_database("peer").await?;
    Ok(cost)
}

fn cells(name: &str, cost: &Cost, ours: Option<&Cost>) -> [String; 11] {
    [
        name.to_owned(),
        number(cost.rows),
        number(cost.per_second()),
        number(cost.per_100k(cost.postgres_cpu)),
        number(cost.per_100k(cost.worker_cpu)),
        if ours.is_some() { String::new() } else { number(cost.per_100k(cost.provider_cpu)) },
        number(cost.per_core_second()),
        number(cost.wal_per_row()),
        number(cost.peak_mib),
        ours.map(|ours| times(ours.per_second() / cost.per_second())).unwrap_or_default(),
        ours.map(|ours| times(ours.per_core_second() / cost.per_core_second())).unwrap_or_default(),
    ]
}
