//! Python environments with exactly the pinned packages, each made once and kept beside the build.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, bail, ensure};

const HOW_TO_INSTALL: &str = "\
python3 (3.11 to 3.14) with its modules venv and pip is needed; \
install it (Debian and Ubuntu: apt-get install python3 python3-venv; Fedora: dnf install python3; \
Alpine: apk add python3; macOS: brew install python3)";

/// The folder of the programs of an environment below `target`, cargo's folder. It is made unless it holds exactly the packages
/// of `pins` already, the text of its requirements. A lock keeps other processes out meanwhile, and a copy of the pins with the
/// place, which its programs name, tells a whole environment from half a one or one that was moved; it is written last.
///
/// # Errors
/// Where there is no Python, or the packages cannot be had; says what to install.
pub fn environment(target: &Path, name: &str, pins: &str) -> anyhow::Result<PathBuf> {
    let folder = target.join(format!("{name}-environment"));
    let (python, installed) = (folder.join("bin/python"), folder.join("installed.txt"));
    let lock = File::create(folder.with_extension("lock")).context("make the environment's lock")?;
    lock.lock().context("lock the environment")?;

    let whole = format!("# {}\n{pins}", folder.display());
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == whole) && python.exists() {
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
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, pins).context("write down what to install")?;
    let mut command = Command::new(&python);
    command.args(install).arg("--requirement").arg(&requirements);
    let output = command.output().context("run pip")?;
    ensure!(output.status.success(), "pip could not install the pins of {name}: {}", told(&output));
    fs::write(&installed, whole).context("mark the environment as whole")?;
    Ok(folder.join("bin"))
}

/// How a program ended, and what it said.
pub fn told(output: &Output) -> String {
    let told = [&*output.stderr, &*output.stdout].map(String::from_utf8_lossy);
    format!("{}: {}", output.status, told.join("\n").trim())
}
