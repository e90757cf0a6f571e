//! Python environments with exactly the pinned packages, each made once and kept beside the build.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, bail, ensure};

use crate::binaries::target_folder;

const HOW_TO_INSTALL: &str = "\
python3 (3.11 to 3.14) with its modules venv and pip is needed; \
install it (Debian and Ubuntu: apt-get install python3 python3-venv; Fedora: dnf install python3; \
Alpine: apk add python3; macOS: brew install python3)";

/// The folder of an environment's programs. It is made unless it holds exactly the packages of `pins` already, the path of
/// its requirements below `tests/`. A lock keeps other test processes out meanwhile, and a copy of the pins, written last,
/// tells a whole environment from half a one.
pub fn environment(name: &str, pins: &str) -> anyhow::Result<PathBuf> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join(pins);
    let wanted = fs::read_to_string(&requirements).with_context(|| format!("read {pins}"))?;
    let folder = target_folder()?.join(format!("{name}-environment"));
    let (python, installed) = (folder.join("bin/python"), folder.join("installed.txt"));
    let lock = File::create(folder.with_extension("lock")).context("create the environment's lock")?;
    lock.lock().context("lock the environment")?;

    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) && python.exists() {
        return Ok(folder.join("bin"));
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("clear {}", folder.display()))?;
    }
    let output =
        Command::new("python3").args(["-m", "venv"]).arg(&folder).output().context(HOW_TO_INSTALL)?;
    if !output.status.success() {
        bail!("{HOW_TO_INSTALL}\npython3 -m venv said: {}", told(&output));
    }
    // The pins are complete, so nothing is left to resolve; few of the thousands of modules are ever compiled.
    let install =
        ["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--disable-pip-version-check"];
    let mut command = Command::new(&python);
    command.args(install).arg("--requirement").arg(&requirements);
    let output = command.output().context("run pip")?;
    ensure!(output.status.success(), "pip could not install tests/{pins}: {}", told(&output));
    fs::write(&installed, wanted).context("mark the environment as whole")?;
    Ok(folder.join("bin"))
}

/// How a program ended, and what it said.
pub(crate) fn told(output: &Output) -> String {
    let told = [&*output.stderr, &*output.stdout].map(String::from_utf8_lossy);
    format!("{}: {}", output.status, told.join("\n").trim())
}
