//! The peers from npm: installed beside the build when they are missing, each started as a process.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::worker::Worker;

/// What is installed, with exact versions.
const FILES: [(&str, &str); 7] = [
    ("package.json", include_str!("../peers/package.json")),
    ("package-lock.json", include_str!("../peers/package-lock.json")),
    ("worker.mjs", include_str!("../peers/worker.mjs")),
    ("graphile.mjs", include_str!("../peers/graphile.mjs")),
    ("pgboss.mjs", include_str!("../peers/pgboss.mjs")),
    ("per_row.mjs", include_str!("../peers/per_row.mjs")),
    ("function.mjs", include_str!("../peers/function.mjs")),
];

/// The oldest that graphile-worker 0.18 runs on.
const OLDEST_NODE: (u32, u32) = (22, 18);

/// Fetched from npm where the machine's own is older.
const NODE_PACKAGE: &str = "node@22.23.3";

const HOW_TO_INSTALL: &str = "install Node.js 22.18 or newer with npm (https://nodejs.org, or Debian's nodejs and npm: the newer \
     node is then fetched from npm)";

/// The peers, ready to be started.
pub(crate) struct Peers {
    folder: PathBuf,
    node: PathBuf,
    /// As they are recorded.
    pub(crate) versions: String,
}

impl Peers {
    /// Installs what is missing.
    pub(crate) async fn install() -> anyhow::Result<Self> {
        let folder = target_folder()?.join("bench-peers");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let fresh = fs::read_to_string(folder.join("installed")).ok().as_deref() == Some(FILES[1].1);
        for (name, text) in FILES {
            fs::write(folder.join(name), text).with_context(|| format!("write {name}"))?;
        }
        if !fresh {
            npm(&folder, &["ci", "--no-audit", "--no-fund"]).await?;
        }
        let node = node(&folder).await?;
        fs::write(folder.join("installed"), FILES[1].1).context("remember what is installed")?;
        let version = version(&node).await.context("the node that was found does not run")?;
        let versions =
            format!("graphile-worker 0.18.0, pg-boss 12.35.0, pg 8.23.1 on node {}.{}", version.0, version.1);
        Ok(Self { folder, node, versions })
    }

    /// A function for Lambda; whoever starts it says where the Runtime API is.
    pub(crate) fn function(&self) -> Command {
        let mut command = Command::new(&self.node);
        command.current_dir(&self.folder).arg("function.mjs");
        command
    }

    /// Starts a peer's script; it fills its own database.
    pub(crate) async fn start(
        &self,
        script: &str,
        shape: &str,
        url: &str,
        rows: usize,
        batch: usize,
    ) -> anyhow::Result<Worker> {
        let mut command = Command::new(&self.node);
        command.current_dir(&self.folder).arg(script).arg(shape).arg(url);
        command.arg(rows.to_string()).arg(batch.to_string());
        Worker::start(command).await
    }
}

/// The folder that Cargo builds to: this program stands two levels below it.
fn target_folder() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("find this program")?;
    Ok(program.ancestors().nth(2).context("this program stands in a build folder")?.to_path_buf())
}

/// The machine's own node if it is new enough, else one from npm.
async fn node(folder: &Path) -> anyhow::Result<PathBuf> {
    if version(Path::new("node")).await >= Some(OLDEST_NODE) {
        return Ok("node".into());
    }
    let own = folder.join("node");
    let program = own.join("node_modules/node/bin/node");
    if version(&program).await < Some(OLDEST_NODE) {
        fs::create_dir_all(&own).context("make a folder for node")?;
        fs::write(own.join("package.json"), r#"{"private":true}"#).context("make a folder for node")?;
        npm(&own, &["install", "--no-save", "--no-audit", "--no-fund", NODE_PACKAGE]).await?;
    }
    if version(&program).await < Some(OLDEST_NODE) {
        bail!("{HOW_TO_INSTALL}");
    }
    Ok(program)
}

async fn npm(folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("npm").args(arguments).current_dir(folder).output().await;
    let output = output.with_context(|| format!("npm is missing: {HOW_TO_INSTALL}"))?;
    if !output.status.success() {
        bail!("npm {} failed: {}", arguments[0], String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Major and minor; nothing where it does not run.
async fn version(node: &Path) -> Option<(u32, u32)> {
    let output = Command::new(node).arg("--version").output().await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.trim().strip_prefix('v')?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
