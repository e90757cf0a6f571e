//! What the demo of AWS takes from a checkout: the functions, as cargo builds them, and the sample events.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::python::told;

const NO_CARGO: &str =
    "cargo is missing: install Rust as https://rustup.rs says; rust-toolchain.toml says which";

/// A checkout of this repository, with the functions built.
pub(super) struct Checkout {
    folder: PathBuf,
    /// Cargo's folder.
    pub(super) target: PathBuf,
    programs: PathBuf,
}

/// A file of `events/`.
pub(super) struct Event {
    /// Its name, without the ending; it begins with the function's.
    pub(super) name: String,
    /// What it says, as it stands.
    pub(super) text: String,
}

impl Event {
    /// The function that it is for.
    pub(super) fn function(&self) -> &str {
        self.name.split('-').next().unwrap_or_default()
    }
}

impl Checkout {
    /// The checkout around the folder that this process works in, with its functions built as this program was.
    pub(super) fn build() -> anyhow::Result<Self> {
        let here = env::current_dir().context("find out where we are")?;
        let folder = here.ancestors().find(|folder| is_ours(folder)).context(
            "this is no checkout of Conversion Relay: `relay demo --aws` builds the functions and reads events/, so clone the \
             repository, change into it, and start it there (cargo run -- demo --aws)",
        )?;
        let program = env::current_exe().context("find this program")?;
        let profile = program.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let profile = if profile == Some("release") { "release" } else { "dev" };
        let target = target(folder, &program)?;
        // All programs at once, as the tests do: so dependencies are built with one set of features, once.
        let mut build = cargo(folder);
        build.args(["build", "--workspace", "--bins", "--locked", "--quiet", "--profile", profile]);
        let output = build.arg("--target-dir").arg(&target).output().context(NO_CARGO)?;
        if !output.status.success() {
            bail!("the functions do not build: {}", told(&output));
        }
        let programs = target.join(if profile == "dev" { "debug" } else { profile });
        Ok(Self { folder: folder.to_path_buf(), target, programs })
    }

    /// The root of the checkout.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A program of the workspace.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Every file of `events/`, by name.
    pub(super) fn events(&self) -> anyhow::Result<Vec<Event>> {
        let entries = std::fs::read_dir(self.folder.join("events")).context("read events/")?;
        let mut events = Vec::new();
        for entry in entries {
            let path = entry.context("read events/")?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).context("an event has no name")?;
            let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            events.push(Event { name: name.to_owned(), text });
        }
        events.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(events)
    }
}

/// The folder that this program was built to; where it was taken elsewhere, the one that cargo names.
fn target(folder: &Path, program: &Path) -> anyhow::Result<PathBuf> {
    if let Some(target) =
        program.ancestors().nth(2).filter(|target| target.join(".rustc_info.json").is_file())
    {
        return Ok(target.to_path_buf());
    }
    let output = cargo(folder).args(["metadata", "--no-deps", "--format-version", "1", "--locked"]).output();
    let output = output.context(NO_CARGO)?;
    ensure!(output.status.success(), "cargo cannot read the checkout: {}", told(&output));
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo's metadata is no JSON")?;
    Ok(metadata["target_directory"].as_str().context("cargo names no target folder")?.into())
}

fn is_ours(folder: &Path) -> bool {
    ["Cargo.toml", "events", "functions/runner/Cargo.toml"].iter().all(|name| folder.join(name).exists())
}

/// Cargo, without what an outer one says of the package that it runs: build scripts that watch it would run again.
fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(folder);
    let told = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"];
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name == "CARGO" || told.iter().any(|start| name.starts_with(start)) {
            command.env_remove(name);
        }
    }
    command
}
