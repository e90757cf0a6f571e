//! A clock that goes wrong, for one process: the library that it is preloaded with.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, ensure};

use crate::binaries::target_folder;

/// The settings that set a process's wall clock off by so many seconds; its monotonic clock stays right.
///
/// # Errors
/// Where the C compiler that Rust links with is not there, or fails.
pub fn skew(seconds: i64) -> anyhow::Result<[(&'static str, String); 2]> {
    static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    let library = library.as_ref().map_err(|error| anyhow::anyhow!(error.clone()))?;
    Ok([("LD_PRELOAD", library.display().to_string()), ("RELAY_TEST_SKEW", seconds.to_string())])
}

fn build() -> anyhow::Result<PathBuf> {
    let library = target_folder()?.join(format!("skew-{}.so", std::process::id()));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/skew.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source)
        .output()
        .context("run cc, the compiler that Rust links with")?;
    ensure!(compiled.status.success(), "cc failed: {}", String::from_utf8_lossy(&compiled.stderr));
    Ok(library)
}
