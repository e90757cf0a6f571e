//! Everything breaks at once, and nothing is lost.

use anyhow::Context as _;
use tests::chaos::{Plan, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_accepted_twice_and_nothing_is_lost_whatever_breaks() -> anyhow::Result<()> {
    let seed = rand::random();

    let report =
        run(Plan { attempts: 40_000, runners: 8, seed }).await.with_context(|| format!("seed {seed}"))?;

    assert!(report.faults.is_empty(), "seed {seed}: {:#?}\n{:#?}", report.faults, report.counts);
    Ok(())
}
