//! Benchmarks, one command each. Each starts its own durable PostgreSQL and measures its peers in the same run.

mod claim;
mod cold;
mod enqueue;
mod fairness;
mod function;
mod ingest;
mod long_life;
mod memory;
mod ours;
mod peers;
mod process;
mod provider;
mod report;
mod server;
mod stage;
mod whole_path;
mod worker;

use clap::{Parser, Subcommand};
use shared::boot::{Output, start_telemetry};
use shared::domain::SiteId;
use uuid::Uuid;

use crate::peers::Peers;
use crate::report::Report;
use crate::server::{Looks, Server};

#[derive(Parser)]
#[command(about = "Side-by-side benchmarks, each on a durable PostgreSQL of its own")]
struct Arguments {
    /// Appends the tables to bench/RESULTS.md.
    #[arg(long, global = true)]
    record: bool,
    #[command(flatten)]
    looks: Looks,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    #[command(flatten)]
    Benchmark(Benchmark),
    #[command(flatten)]
    Child(Part),
}

#[derive(Subcommand)]
enum Benchmark {
    /// Claim, upload to a loopback provider, persist everything; beside Graphile Worker, pg-boss and a per-row worker.
    WholePath {
        /// Conversions.
        #[arg(long, default_value_t = 100_000)]
        rows: usize,
    },
    /// The producer in bulk, beside pg-boss and Graphile Worker.
    Enqueue {
        /// Conversions.
        #[arg(long, default_value_t = 100_000)]
        rows: usize,
    },
    /// The door over HTTP: how long a single conversion takes, how many go in by batches.
    Ingest {
        /// Calls with one conversion.
        #[arg(long, default_value_t = 2_000)]
        calls: usize,
    },
    /// A claim of 1,000 rows against the backlog, also under churn and with a held snapshot.
    Claim {
        /// Also 10 million rows in 10,000 groups.
        #[arg(long)]
        full: bool,
    },
    /// One group of many rows that are an hour older, against 1,999 of 20.
    Fairness {
        /// Conversions of the large group.
        #[arg(long, default_value_t = 1_000_000)]
        rows: usize,
    },
    /// Memory of one run.
    Memory {
        /// Conversions.
        #[arg(long, default_value_t = 200_000)]
        rows: usize,
    },
    /// What is left of the busy tables once very many conversions went through them.
    LongLife {
        /// Conversions.
        #[arg(long, default_value_t = 1_000_000)]
        rows: usize,
    },
    /// Cold starts of the release binaries, their memory and their zips, beside a Node function.
    Cold {
        /// Starts of each.
        #[arg(long, default_value_t = 20)]
        starts: usize,
    },
    /// All of them, but for the long life.
    All {
        /// Also 10 million rows in 10,000 groups.
        #[arg(long)]
        full: bool,
    },
}

/// What this program is as its own child.
#[derive(Subcommand)]
enum Part {
    /// The loopback provider, as a child process.
    #[command(hide = true)]
    Provider,
    /// The upload task, as a child process.
    #[command(hide = true)]
    Upload,
    /// `relay serve`, as a child process.
    #[command(hide = true)]
    Serve,
    /// The producer, as a child process.
    #[command(hide = true)]
    Produce {
        rows: usize,
        batch: usize,
        #[arg(value_delimiter = ',')]
        sites: Vec<Uuid>,
    },
}

// As the functions run: one thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    start_telemetry(Output::Stderr, "warn");
    let arguments = Arguments::parse();
    match arguments.what {
        What::Child(Part::Provider) => provider::serve().await,
        What::Child(Part::Upload) => ours::upload().await,
        What::Child(Part::Serve) => ingest::serve().await,
        What::Child(Part::Produce { rows, batch, sites }) => {
            let sites: Vec<SiteId> = sites.into_iter().map(SiteId).collect();
            ours::enqueue(rows, batch, &sites).await
        }
        What::Benchmark(what) => measure(what, arguments.record, arguments.looks).await,
    }
}

async fn measure(what: Benchmark, record: bool, looks: Looks) -> anyhow::Result<()> {
    let server = Server::start(looks).await?;
    let peers = match what {
        Benchmark::WholePath { .. }
        | Benchmark::Enqueue { .. }
        | Benchmark::Cold { .. }
        | Benchmark::All { .. } => install_peers().await,
        Benchmark::Claim { .. }
        | Benchmark::Fairness { .. }
        | Benchmark::Ingest { .. }
        | Benchmark::Memory { .. }
        | Benchmark::LongLife { .. } => None,
    };
    let server = &server;
    let peer = peers.as_ref();
    let reports = match what {
        Benchmark::WholePath { rows } => vec![shown(whole_path::run(server, peer, rows).await?)?],
        Benchmark::Enqueue { rows } => vec![shown(enqueue::run(server, peer, rows).await?)?],
        Benchmark::Ingest { calls } => vec![shown(ingest::run(server, calls).await?)?],
        Benchmark::Claim { full } => vec![shown(claim::run(server, claim::Sizes::of(full)).await?)?],
        Benchmark::Fairness { rows } => vec![shown(fairness::run(server, rows).await?)?],
        Benchmark::Memory { rows } => vec![shown(memory::run(server, rows).await?)?],
        Benchmark::LongLife { rows } => vec![shown(long_life::run(server, rows).await?)?],
        Benchmark::Cold { starts } => vec![shown(cold::run(server, peer, starts).await?)?],
        Benchmark::All { full } => vec![
            shown(whole_path::run(server, peer, 100_000).await?)?,
            shown(enqueue::run(server, peer, 100_000).await?)?,
            shown(ingest::run(server, 2_000).await?)?,
            shown(memory::run(server, 200_000).await?)?,
            shown(cold::run(server, peer, 20).await?)?,
            shown(fairness::run(server, 1_000_000).await?)?,
            shown(claim::run(server, claim::Sizes::of(full)).await?)?,
        ],
    };
    if record {
        let peers = peers.map(|peers| format!("; {}", peers.versions)).unwrap_or_default();
        let proposal = server.proposal().map(|file| format!("; with the proposal {}", file.display()));
        let proposal = proposal.unwrap_or_default();
        report::record(&reports, &format!("PostgreSQL {}{peers}{proposal}", server.version().await?))?;
    }
    Ok(())
}

fn shown(report: Report) -> anyhow::Result<Report> {
    report.print()?;
    Ok(report)
}

/// Without them the rest still runs.
async fn install_peers() -> Option<Peers> {
    match Peers::install().await {
        Ok(peers) => Some(peers),
        Err(error) => {
            tracing::warn!("the peers are left out: {error:#}");
            None
        }
    }
}
