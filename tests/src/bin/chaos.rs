//! The long form of the chaos test: `cargo run --release -p tests --bin chaos -- --attempts 2000000`.

#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use clap::Parser;
use tests::chaos::{Plan, Report, run};

/// Lets many runners work on one queue while they die, report late, lose their connections and once the server, and
/// proves that nothing was accepted twice and nothing was lost.
#[derive(Parser)]
#[command(name = "chaos")]
struct Arguments {
    /// Attempts to make before the queue is drained: conversions, each as often as it is claimed
    #[arg(long, default_value_t = 2_000_000)]
    attempts: u64,
    /// Runners at once
    #[arg(long, default_value_t = 8)]
    runners: u64,
    /// Where chance begins; drawn where none is given
    #[arg(long)]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { attempts, runners, seed } = Arguments::parse();
    let plan = Plan { attempts, runners, seed: seed.unwrap_or_else(rand::random) };
    println!("{attempts} attempts by {runners} runners, seed {}", plan.seed);
    let report = run(plan).await?;
    print(&report);
    if report.faults.is_empty() {
        println!("nothing was accepted twice and nothing was lost");
        return Ok(ExitCode::SUCCESS);
    }
    println!("again with: --attempts {attempts} --runners {runners} --seed {}", plan.seed);
    Ok(ExitCode::FAILURE)
}

fn print(report: &Report) {
    for (what, number) in &report.counts {
        println!("{number:>12}  {what}");
    }
    println!("{:>12.1}  seconds", report.duration.as_secs_f64());
    for fault in &report.faults {
        println!("FAULT: {fault}");
    }
}
