//! Unpacks programs from Debian's own packages into a cache folder: no root, nothing installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, process};

use anyhow::{Context, bail, ensure};

use super::binaries::{Binaries, OLDEST_MAJOR};

/// What can be unpacked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bundle {
    /// PostgreSQL's server and client.
    Server,
    /// PgBouncer.
    Pooler,
}

impl Bundle {
    /// Its folder in the cache.
    fn name(self) -> &'static str {
        match self {
            Bundle::Server => "postgresql",
            Bundle::Pooler => "pgbouncer",
        }
    }

    /// Where its programs lie below the folder that its packages are unpacked to.
    fn programs(self, root: &Path) -> Option<PathBuf> {
        let (mut folders, program) = match self {
            Bundle::Server => {
                let versions = fs::read_dir(root.join("usr/lib/postgresql")).ok()?.flatten();
                (versions.map(|version| version.path().join("bin")).collect(), "postgres")
            }
            Bundle::Pooler => (vec![root.join("usr/sbin")], "pgbouncer"),
        };
        folders.retain(|folder| folder.join(program).is_file());
        folders.pop()
    }

    /// Its packages, without the libraries that they need.
    fn packages(self, apt: &Apt) -> anyhow::Result<Vec<String>> {
        match self {
            Bundle::Server => {
                let major = apt.newest_server()?;
                let major =
                    major.with_context(|| format!("apt knows no PostgreSQL from {OLDEST_MAJOR} on"))?;
                Ok(vec![
                    format!("postgresql-{major}"),
                    format!("postgresql-client-{major}"),
                    "libpq5".to_owned(),
                ])
            }
            Bundle::Pooler => Ok(vec!["pgbouncer".to_owned()]),
        }
    }
}

/// The bundle in the cache, fetched if it is not there yet.
pub(super) fn unpacked(bundle: Bundle, cache: &Path) -> anyhow::Result<Binaries> {
    if let Some(found) = in_cache(bundle, cache) {
        return Ok(found);
    }
    // Package lists may be missing, as in container images, or outdated. Lists of our own need no root.
    let fetched = fetch(bundle, cache, Lists::OfTheSystem).or_else(|error| {
        tracing::info!("fetching package lists of our own: {error:#}");
        fetch(bundle, cache, Lists::OfOurOwn)
    });
    fetched?;
    in_cache(bundle, cache).with_context(|| format!("the packages hold no {}", bundle.name()))
}

fn in_cache(bundle: Bundle, cache: &Path) -> Option<Binaries> {
    let root = cache.join(bundle.name());
    let folder = bundle.programs(&root)?;
    // Debian keeps libraries in a folder named for the architecture, some packages in /lib and some in /usr/lib.
    let libraries = ["usr/lib", "lib"].into_iter().filter_map(|parent| fs::read_dir(root.join(parent)).ok());
    let libraries = libraries.flatten().flatten().map(|entry| entry.path());
    Some(Binaries {
        folder,
        libraries: libraries.filter(|path| path.to_string_lossy().contains("-linux-")).collect(),
    })
}

fn fetch(bundle: Bundle, cache: &Path, lists: Lists) -> anyhow::Result<()> {
    let staging = cache.join(format!("unpacking-{}-{}", bundle.name(), process::id()));
    fs::create_dir_all(staging.join("root")).with_context(|| format!("create {}", staging.display()))?;
    let fetched = unpack(bundle, cache, Apt { folder: staging.clone(), lists });
    fs::remove_dir_all(&staging).ok();
    fetched
}

/// Works beside the final place and moves there in one step, so that nobody sees half a bundle.
fn unpack(bundle: Bundle, cache: &Path, apt: Apt) -> anyhow::Result<()> {
    let root = apt.folder.join("root");
    match apt.lists {
        Lists::OfTheSystem => {}
        Lists::OfOurOwn => {
            fs::create_dir_all(apt.folder.join("lists/partial"))
                .context("create a folder for package lists")?;
            apt.run("apt-get", &["update"])?;
        }
    }
    let mut packages = bundle.packages(&apt)?;
    tracing::info!("unpacking {} to {}", packages[0], cache.display());
    packages.extend(apt.missing_libraries(&packages[0])?);
    packages.sort();
    packages.dedup();
    let packages = packages.iter().map(String::as_str);
    apt.run("apt-get", &[&["download"], &*packages.collect::<Vec<_>>()].concat())?;
    for entry in fs::read_dir(&apt.folder)?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "deb") {
            apt.run("dpkg", &["-x", &entry.path().to_string_lossy(), &root.to_string_lossy()])?;
        }
    }
    let place = cache.join(bundle.name());
    match fs::rename(&root, &place) {
        Ok(()) => Ok(()),
        Err(_) if in_cache(bundle, cache).is_some() => Ok(()), // Another process was quicker.
        Err(error) => Err(error).with_context(|| format!("move it to {}", place.display())),
    }
}

/// Which package lists apt reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lists {
    OfTheSystem,
    OfOurOwn,
}

/// Apt as an unprivileged reader, working in one folder.
struct Apt {
    folder: PathBuf,
    lists: Lists,
}

impl Apt {
    fn newest_server(&self) -> anyhow::Result<Option<u32>> {
        let found = self.run("apt-cache", &["search", "--names-only", "^postgresql-[0-9]+$"])?;
        let names = found.lines().filter_map(|line| line.split_whitespace().next());
        let majors = names.filter_map(|name| name.strip_prefix("postgresql-")?.parse().ok());
        Ok(majors.filter(|major| *major >= OLDEST_MAJOR).max())
    }

    /// The libraries that an installation would bring to this machine. LLVM only serves just-in-time
    /// compilation, which the server does without, and is five times its size.
    fn missing_libraries(&self, package: &str) -> anyhow::Result<Vec<String>> {
        let plan =
            self.run("apt-get", &["install", "--yes", "--print-uris", "--no-install-recommends", package])?;
        // A line of the plan: 'address' libpq5_15.18-0+deb12u1_amd64.deb 196908 SHA256:…
        let files = plan.lines().filter_map(|line| line.split_whitespace().nth(1));
        let names = files.filter(|file| file.ends_with(".deb")).filter_map(|file| file.split('_').next());
        let wanted = names.filter(|name| name.starts_with("lib") && !name.starts_with("libllvm"));
        Ok(wanted.filter(|name| !name.ends_with("-perl")).map(String::from).collect())
    }

    fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("LC_ALL", "C");
        if program != "dpkg" {
            // Without the first, reading asks for the lock of root; the second is about a folder of ours.
            command.args(["-o", "Debug::NoLocking=true", "-o", "APT::Sandbox::User=root"]);
        }
        if program != "dpkg" && self.lists == Lists::OfOurOwn {
            command.arg("-o").arg(format!("Dir::State::Lists={}", self.folder.join("lists").display()));
            command.arg("-o").arg(format!("Dir::Cache={}", self.folder.display()));
        }
        let output = command.args(arguments).output();
        let output = output.with_context(|| format!("run {program}: is this Debian or one of its kin?"))?;
        if !output.status.success() {
            bail!("{program} {} failed: {}", arguments[0], String::from_utf8_lossy(&output.stderr).trim());
        }
        ensure!(output.stdout.len() < (1 << 24), "{program} said more than anyone can read");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
