//! A runner of its own process, killed while the platform has its requests and has not answered.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::lines::SENT_BEFORE_THE_KILL;
use super::stage::Stage;

/// How often to look; the answers are held back for 900 ms.
const LOOK: Duration = Duration::from_millis(2);

/// A runner starts within a second on an idle machine; this is for one that is busy compiling.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A runner that was killed.
#[derive(Debug, Clone, Serialize)]
pub struct Killed {
    /// Its process.
    pub pid: u32,
    /// Requests that it had in flight.
    pub requests_in_flight: u64,
    /// Conversions that the platform had counted by then, and of which no answer was ever recorded.
    pub conversions_counted: u64,
    /// When.
    #[serde(skip)]
    pub(super) at: Instant,
}

/// Starts `relay run --mode worker` and kills it with SIGKILL once the stand-in has its requests and holds its answers
/// back. The stand-in has been asked nothing before.
pub(super) async fn kill_a_runner(stage: &Stage) -> anyhow::Result<Killed> {
    let mut child = start(stage)?;
    let pid = child.id().context("the runner has ended already")?;
    let limit = Instant::now() + START_LIMIT;
    loop {
        let seen = stage.sandbox.summary().totals;
        if seen.conversions_counted >= SENT_BEFORE_THE_KILL {
            child.kill().await.context("kill the runner")?;
            return Ok(Killed {
                pid,
                requests_in_flight: seen.concurrent_requests,
                conversions_counted: seen.conversions_counted,
                at: Instant::now(),
            });
        }
        if let Some(status) = child.try_wait().context("watch the runner")? {
            bail!("the runner that was to be killed ended by itself, with {status}");
        }
        if Instant::now() > limit {
            bail!("the runner that was to be killed sent nothing in {START_LIMIT:?}");
        }
        sleep(LOOK).await;
    }
}

/// The same executable, as an operator starts it; what it is told stands in its own environment.
fn start(stage: &Stage) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("find this program")?;
    let mut command = Command::new(program);
    command.args(["run", "--mode", "worker", "--provider", "google_ads"]);
    command.envs(stage.settings());
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", super::LOG_FILTER);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    command.spawn().context("start a runner")
}
