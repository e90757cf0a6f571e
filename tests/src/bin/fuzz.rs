//! Reads answers that no platform ever gave, until one is misread: `cargo run --release -p tests --bin fuzz`.

#![allow(clippy::print_stdout)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tests::fuzz::Ground;

/// Reads answers that no platform ever gave, and stops at the first that is misread.
#[derive(Parser)]
#[command(name = "fuzz")]
struct Arguments {
    /// For how long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The first answer; the same number is the same answer
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { seconds, seed } = Arguments::parse();
    let ground = Ground::new()?;
    let began = Instant::now();
    let mut next = seed;
    while began.elapsed() < Duration::from_secs(seconds) {
        let read = catch_unwind(AssertUnwindSafe(|| ground.read_one(next)));
        match read {
            Ok(Ok(())) => next += 1,
            Ok(Err(misread)) => {
                println!("seed {next}: {misread}");
                return Ok(ExitCode::FAILURE);
            }
            Err(_) => {
                println!("seed {next}: a panic");
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    println!("{} answers, none misread", next - seed);
    Ok(ExitCode::SUCCESS)
}
