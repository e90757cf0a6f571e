//! Runs `relay serve`, the real binary, on a port of its own.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::binaries::binary;
use crate::lambda::Lines;

/// How long its start and its end are waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// The process. Dropping it kills it.
#[derive(Debug)]
pub struct ServeProcess {
    child: Child,
    base_url: String,
    stderr: Lines,
}

impl ServeProcess {
    /// Starts it with this environment and nothing else, and with these arguments besides.
    pub async fn start(environment: &[(&'static str, String)], arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(binary("relay")?);
        command.args(["serve", "--listen", "127.0.0.1:0", "--json"]).args(arguments);
        command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("start relay serve")?;
        let stderr = Lines::of(child.stderr.take().context("read its standard error")?);
        let mut stdout = BufReader::new(child.stdout.take().context("read its standard output")?);
        let mut line = String::new();
        timeout(LIMIT, stdout.read_line(&mut line)).await.context("wait for relay serve")??;
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("relay serve said {line:?}"))?;
        ensure!(answer["ok"] == true, "relay serve said {line}");
        let base_url = answer["base_url"].as_str().context("relay serve says where it listens")?.to_owned();
        Ok(Self { child, base_url, stderr })
    }

    /// Where it listens.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The same without the scheme.
    pub fn address(&self) -> &str {
        self.base_url.trim_start_matches("http://")
    }

    /// Sends it a signal, such as `libc::SIGTERM`.
    pub fn signal(&self, signal: i32) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id().context("it runs no more")?)?;
        // SAFETY: kill takes two numbers and touches no memory of ours.
        ensure!(unsafe { libc::kill(pid, signal) } == 0, "the signal was not sent");
        Ok(())
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(timeout(LIMIT, self.child.wait()).await.context("wait for the end of relay serve")??)
    }

    /// What it logged so far.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.so_far()
    }
}
