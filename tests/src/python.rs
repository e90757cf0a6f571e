//! Python environments with exactly what is pinned, made once and kept in cargo's target folder.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, bail, ensure};

use crate::binaries::target_folder;

const HOW_TO_INSTALL: &str = "\
python3 (3.11 to 3.14) with its modules venv and pip is needed to check messages against Google's own types and for the \
stand-in of AWS; install it (Debian and Ubuntu: apt-get install python3 python3-venv; Fedora: dnf install python3; \
Alpine: apk add python3; macOS: brew install python3)";

/// Makes the environment of this name unless it holds exactly these pinned packages already; answers its python. The lock keeps
/// other test processes out meanwhile, and the copy of the pins, written last, tells a whole environment from half a one.
pub fn ready_environment(name: &str, requirements: &str) -> anyhow::Result<PathBuf> {
    let folder = target_folder()?.join(name);
    let python = folder.join("bin/python");
    let pins = folder.join("installed.txt");
    let lock = File::create(folder.with_extension("lock")).context("create the environment's lock")?;
    lock.lock().context("lock the environment")?;

    let whole = fs::read_to_string(&pins).is_ok_and(|installed| installed == requirements);
    if whole && python.exists() {
        return Ok(python);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("clear {}", folder.display()))?;
    }
    let output =
        Command::new("python3").args(["-m", "venv"]).arg(&folder).output().context(HOW_TO_INSTALL)?;
    if !output.status.success() {
        bail!("{HOW_TO_INSTALL}\npython3 -m venv said: {}", told(&output));
    }
    let wanted = folder.join("requirements.txt");
    fs::write(&wanted, requirements).context("write the pins down")?;
    let mut command = Command::new(&python);
    // The pins are complete, so nothing is left to resolve; few of the thousands of modules are ever compiled.
    command.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
        "--disable-pip-version-check",
    ]);
    command.arg("--requirement").arg(&wanted);
    let output = command.output().context("run pip")?;
    ensure!(output.status.success(), "pip could not install what {name} pins: {}", told(&output));
    fs::write(&pins, requirements).context("mark the environment as whole")?;
    Ok(python)
}

/// How a command ended, with what it said.
pub(crate) fn told(output: &Output) -> String {
    let told = [&*output.stderr, &*output.stdout].map(String::from_utf8_lossy);
    format!("{}: {}", output.status, told.join("\n").trim())
}
