//! The workspace's own binaries, built once per test process, so that a test drives what would be deployed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, bail};

/// The path of a binary of this workspace, built as the tests were: `binary("runner")`.
///
/// The first call of a process builds them all. By the time that a test runs, the outer cargo has let go of its
/// lock, so this does not wait for itself.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    let folder = folder.as_ref().map_err(|error| anyhow::anyhow!(error.clone()))?;
    let path = folder.join(name);
    if !path.is_file() {
        bail!("the workspace has no binary named {name}: there is no {}", path.display());
    }
    Ok(path)
}

/// Cargo's target folder, where what is costly to make is kept between runs.
pub fn target_folder() -> anyhow::Result<PathBuf> {
    Ok(Build::of_this_test()?.target)
}

fn build() -> anyhow::Result<PathBuf> {
    let build = Build::of_this_test()?;
    let mut command = cargo();
    command.args(["build", "--workspace", "--bins", "--locked", "--quiet", "--profile", &build.profile]);
    command.arg("--target-dir").arg(&build.target);
    if let Some(triple) = &build.triple {
        command.args(["--target", triple]);
    }
    let output = command.output().context("run cargo")?;
    if !output.status.success() {
        bail!("the workspace's binaries do not build:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(build.folder)
}

/// Cargo, in the workspace.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
    command.current_dir(workspace());
    // Cargo describes the package of the running program in these. Build scripts that watch them (ring's does) would
    // run again for every change of hands between the outer cargo and this one.
    for (name, _) in env::vars_os() {
        if tells_of_a_package(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}

fn tells_of_a_package(name: &str) -> bool {
    let exact =
        ["CARGO", "CARGO_CRATE_NAME", "CARGO_BIN_NAME", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR"];
    let start = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_EXE_"];
    exact.contains(&name) || start.iter().any(|start| name.starts_with(start))
}

/// The workspace's root; this crate lies directly below it.
fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate's folder has a parent")
}

/// How cargo built the running test, read from where it lies.
struct Build {
    target: PathBuf,
    triple: Option<String>,
    profile: String,
    folder: PathBuf,
}

impl Build {
    /// A test is `target/[triple/]debug/deps/it-…`, and only in `target` itself does cargo note what it knows of rustc.
    /// (Its `CACHEDIR.TAG` is no such mark: a folder that was there before cargo gets none.)
    fn of_this_test() -> anyhow::Result<Self> {
        let program = env::current_exe().context("find the running test")?;
        let folder =
            program.parent().and_then(Path::parent).context("a test lies in cargo's target folder")?;
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let profile = name(folder).context("a test lies in the folder of a profile")?;
        let above = folder.parent().context("a profile's folder lies in cargo's target folder")?;
        let (target, triple) = match above.join(".rustc_info.json").is_file() {
            true => (above, None),
            false => {
                (above.parent().context("a triple's folder lies in cargo's target folder")?, name(above))
            }
        };
        // The one profile whose folder has another name.
        let profile = if profile == "debug" { "dev".into() } else { profile };
        Ok(Self { target: target.into(), triple, profile, folder: folder.into() })
    }
}
