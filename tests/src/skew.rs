//! A clock that goes wrong, for one process: the library that it is preloaded with.

use std::fs;
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
    settings(seconds.to_string())
}

/// A wall clock that jumps while its process runs.
#[derive(Debug)]
pub struct Skew(PathBuf);

impl Skew {
    /// One that goes right.
    ///
    /// # Errors
    /// Where no file can be written.
    pub fn new() -> anyhow::Result<Self> {
        let skew = Self(target_folder()?.join("tmp").join(format!("skew-{}", uuid::Uuid::new_v4())));
        fs::create_dir_all(skew.0.parent().context("the target folder has none")?)?;
        skew.set(0)?;
        Ok(skew)
    }

    /// Off by so many seconds from now on.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn set(&self, seconds: i64) -> anyhow::Result<()> {
        // In one step: the process reads it at any moment.
        let new = self.0.with_extension("new");
        fs::write(&new, seconds.to_string())?;
        Ok(fs::rename(new, &self.0)?)
    }

    /// The settings of the process whose clock it is.
    ///
    /// # Errors
    /// As [`skew`].
    pub fn environment(&self) -> anyhow::Result<[(&'static str, String); 2]> {
        settings(self.0.display().to_string())
    }
}

impl Drop for Skew {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

fn settings(skew: String) -> anyhow::Result<[(&'static str, String); 2]> {
    static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    let library = library.as_ref().map_err(|error| anyhow::anyhow!(error.clone()))?;
    Ok([("LD_PRELOAD", library.display().to_string()), ("RELAY_TEST_SKEW", skew)])
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
