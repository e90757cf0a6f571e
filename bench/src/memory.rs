//! Memory of a run over many conversions.

use crate::report::{Report, number};
use crate::server::Server;
use crate::whole_path;

/// A function of 128 MB has to hold it.
const GOAL_MIB: f64 = 128.0;

/// Runs it.
pub(crate) async fn run(server: &Server, rows: usize) -> anyhow::Result<Report> {
    let cost = whole_path::ours(server, rows).await?;
    let mut report = Report::new(
        format!("Memory of one worker run over {rows} conversions"),
        &["who", "peak MiB", "goal", "reached"],
    );
    let reached = if cost.peak_mib < GOAL_MIB { "yes" } else { "NO" };
    report.row([
        "upload task, worker mode".into(),
        number(cost.peak_mib),
        format!("< {GOAL_MIB}"),
        reached.into(),
    ]);
    Ok(report)
}
