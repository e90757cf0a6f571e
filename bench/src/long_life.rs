//! A long life: what is left of the busy tables once very many conversions went through them.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::ensure;
use jiff::Timestamp;
use tokio_postgres::Client;

use crate::claim::CLAIM;
use crate::report::{Report, number, quantile};
use crate::server::{Server, connect};
use crate::stage::{Stage, child};

const GROUPS: usize = 100;
const QUOTA_KEYS: usize = 20;

/// Conversions that wait at most: each round brings as many, and delivers them.
const ROUND: usize = 100_000;

/// Conversions that wait while claims are timed, and claims.
const WAITING: usize = 10_000;
const CLAIMS: usize = 50;

/// Bytes of ready and its index for each row that waits at most, or is dead before autovacuum comes.
const GOAL_BYTES: f64 = 176.0;

/// Sizes in bytes, dead rows, and how often autovacuum came to ready.
const FIGURES: &str = "
  select
    pg_relation_size('relay.ready')::float8,
    pg_indexes_size('relay.ready')::float8,
    pg_total_relation_size('relay.inflight')::float8,
    (
      select sum(pg_total_relation_size(inhrelid))::float8
      from pg_inherits
      where inhparent = 'relay.conversion_outcome'::regclass
    ),
    (select count(*)::float8 from relay.conversion_outcome),
    n_dead_tup::float8,
    autovacuum_count::float8
  from pg_stat_user_tables
  where relid = 'relay.ready'::regclass";

/// Runs it.
pub(crate) async fn run(server: &Server, rows: usize) -> anyhow::Result<Report> {
    let provider = child(&["provider"], &HashMap::new()).await?;
    let stage = Stage::set(server, "relay", provider.ready["url"].as_str().unwrap_or_default()).await?;
    let sites = stage.put_sites(GROUPS, QUOTA_KEYS).await?;
    let claims = connect(&server.url("postgres", "relay")?).await?;
    let mut report = Report::new(
        format!("A long life: {rows} conversions delivered, {ROUND} at a time"),
        &[
            "moment",
            "ready MiB",
            "its index MiB",
            "inflight MiB",
            "outcome B/conversion",
            "dead in ready",
            "autovacuums",
            "claim median ms",
            "claim p99 ms",
        ],
    );
    stage.enqueue(&sites, 0, WAITING).await?;
    stage.sql.batch_execute("analyze").await?;
    report.row(moment("new", &stage.sql, &claims).await?);

    let mut delivered = 0.0;
    for first in (WAITING..rows).step_by(ROUND) {
        stage.enqueue(&sites, first, (first + ROUND).min(rows)).await?;
        let mut worker = stage.child(&["upload"]).await?;
        delivered += server.measure(&mut worker, Some(&provider)).await?.rows;
    }
    ensure!(delivered == rows as f64, "{delivered} of {rows} were delivered");
    stage.enqueue(&sites, rows, rows + WAITING).await?;
    report.row(moment("all delivered", &stage.sql, &claims).await?);
    // What autovacuum does in its time.
    for table in ["ready", "inflight", "delivery_group", "upload_slot"] {
        stage.sql.batch_execute(&format!("vacuum relay.{table}")).await?;
    }
    report.row(moment("after a vacuum", &stage.sql, &claims).await?);

    let left = sizes(&stage.sql).await?;
    // 20,000 rows may be dead before autovacuum is asked for.
    let bound = GOAL_BYTES * (ROUND + 20_000) as f64;
    let reached = if left[0] + left[1] <= bound { "reached" } else { "NOT reached" };
    report.note(format!(
        "goal for ready and its index after the vacuum: {} MiB, as large as what waited at most; {reached}",
        number(bound / MIB)
    ));
    let started = Instant::now();
    stage.check_accounts().await?;
    report.note(format!("the audit of all of it took {} s", number(started.elapsed().as_secs_f64())));
    drop((stage, claims));
    server.drop_database("relay").await?;
    Ok(report)
}

const MIB: f64 = 1_048_576.0;

async fn sizes(sql: &Client) -> anyhow::Result<[f64; 7]> {
    // Counts of other connections arrive within a second.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let row = sql.query_one(FIGURES, &[]).await?;
    Ok(std::array::from_fn(|column| row.get::<_, Option<f64>>(column).unwrap_or(0.0)))
}

async fn moment(name: &str, sql: &Client, claims: &Client) -> anyhow::Result<[String; 9]> {
    let [heap, index, inflight, outcome, outcomes, dead, autovacuums] = sizes(sql).await?;
    let mut times = Vec::with_capacity(CLAIMS);
    for _ in 0..CLAIMS {
        claims.batch_execute("begin").await?;
        let started = Instant::now();
        let rows = claims.query(CLAIM, &[&50_i32, &None::<Timestamp>]).await?;
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
        claims.batch_execute("rollback").await?;
        ensure!(!rows.is_empty(), "nothing was claimed");
    }
    Ok([
        name.to_owned(),
        number(heap / MIB),
        number(index / MIB),
        number(inflight / MIB),
        if outcomes > 0.0 { number(outcome / outcomes) } else { String::new() },
        number(dead),
        number(autovacuums),
        number(quantile(&times, 0.5)),
        number(quantile(&times, 0.99)),
    ])
}
