//! Breaks one guard of the SQL at a time and looks whether a test notices: `cargo run -p tests --bin mutations`.

#![allow(clippy::print_stdout)]

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tests::mutations::{Mutation, all};
use tests::trial::{End, Trial};
use tests::world::migrated_database;

/// Puts faults into the SQL one at a time and runs the tests, which must notice each.
#[derive(Parser)]
#[command(name = "mutations")]
struct Arguments {
    /// Only those whose function or fault contains this text
    #[arg(long, default_value = "")]
    only: String,
    /// Runs all tests on each fault, not only the one that stands on it: an hour
    #[arg(long)]
    thorough: bool,
    /// Runs the tests that stand on the faults and no other: minutes, also on a busy machine
    #[arg(long, conflicts_with = "thorough")]
    own: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { only, thorough, own } = Arguments::parse();
    let began = Instant::now();
    let chosen: Vec<&Mutation> = all()
        .filter(|mutation| mutation.function.contains(&only) || mutation.fault.contains(&only))
        .collect();
    applied(&chosen).await?;

    let trial = Trial::build()?;
    let unharmed = match own {
        true => trial.run_named(chosen.iter().map(|mutation| mutation.noticed_by)),
        false => trial.run(),
    };
    let tests = match unharmed? {
        End::Passed { tests } => tests,
        end @ (End::Noticed { .. } | End::Wrecked) => {
            println!("the tests fail without any fault, and nothing can be learned from them: {end}");
            return Ok(ExitCode::FAILURE);
        }
    };
    println!("{tests} tests pass without a fault, after {:.0} s", began.elapsed().as_secs_f64());
    let mut missed = 0;
    for mutation in &chosen {
        let end = match (thorough, own) {
            (true, _) => trial.run_all_with(mutation)?,
            (false, true) => trial.run_own_with(mutation)?,
            (false, false) => trial.run_with(mutation)?,
        };
        missed += usize::from(!matches!(end, End::Noticed { .. }));
        println!("{:40} {}\n{:40} {end}", mutation.function, mutation.fault, "");
    }
    println!("{} faults, {missed} unnoticed, {:.0} s", chosen.len(), began.elapsed().as_secs_f64());
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Fails where a faulty function is no SQL any more: that would turn every test red and prove nothing.
async fn applied(chosen: &[&Mutation]) -> anyhow::Result<()> {
    let database = migrated_database().await?;
    let sql = database.connect().await?;
    for mutation in chosen {
        let applied = sql.batch_execute(&mutation.sql()?).await;
        applied.map_err(|error| anyhow::anyhow!("{}: {}: {error:?}", mutation.function, mutation.fault))?;
    }
    Ok(())
}
