//! Enqueue in bulk through the producer, beside the peers' own bulk calls.

use crate::peers::Peers;
use crate::report::{Report, number, times};
use crate::server::{Cost, Server};
use crate::stage::Stage;

const GROUPS: usize = 100;
const BATCHES: [usize; 2] = [1_000, 2_000];

/// Runs it.
pub(crate) async fn run(server: &Server, peers: Option<&Peers>, rows: usize) -> anyhow::Result<Report> {
    let mut report = Report::new(
        format!("Enqueue in bulk, {rows} conversions, one caller"),
        &[
            "who",
            "batch",
            "rows/s",
            "PG CPU s/100k",
            "caller CPU s/100k",
            "rows/core-s",
            "WAL B/row",
            "ours/theirs by s",
            "by core-s",
        ],
    );
    for batch in BATCHES {
        let ours = ours(server, rows, batch).await?;
        report.row(cells("relay: checked, hashed, once per external id", batch, &ours, None));
        let Some(peers) = peers else { continue };
        for (name, script) in [("pg-boss insert", "pgboss.mjs"), ("graphile-worker addJobs", "graphile.mjs")]
        {
            server.create_database("peer").await?;
            server.checkpoint().await?;
            let mut worker =
                peers.start(script, "enqueue", &server.url("postgres", "peer")?, rows, batch).await?;
            let theirs = server.measure(&mut worker, None).await?;
            drop(worker);
            server.drop_database("peer").await?;
            report.row(cells(name, batch, &theirs, Some(&ours)));
        }
    }
    Ok(report)
}

async fn ours(server: &Server, rows: usize, batch: usize) -> anyhow::Result<Cost> {
    let stage = Stage::set(server, "relay", "http://127.0.0.1:1").await?;
    let sites = stage.put_sites(GROUPS, 1).await?;
    server.checkpoint().await?;
    let sites: Vec<String> = sites.iter().map(ToString::to_string).collect();
    let mut worker =
        stage.child(&["produce", &rows.to_string(), &batch.to_string(), &sites.join(",")]).await?;
    let cost = server.measure(&mut worker, None).await?;
    drop((stage, worker));
    server.drop_database("relay").await?;
    Ok(cost)
}

fn cells(name: &str, batch: usize, cost: &Cost, ours: Option<&Cost>) -> [String; 9] {
    [
        name.to_owned(),
        batch.to_string(),
        number(cost.per_second()),
        number(cost.per_100k(cost.postgres_cpu)),
        number(cost.per_100k(cost.worker_cpu)),
        number(cost.per_core_second()),
        number(cost.wal_per_row()),
        ours.map(|ours| times(ours.per_second() / cost.per_second())).unwrap_or_default(),
        ours.map(|ours| times(ours.per_core_second() / cost.per_core_second())).unwrap_or_default(),
    ]
}
