//! Finds PostgreSQL's programs on this machine, or fetches them where that needs no installation.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, bail};

use super::account::{Account, reaches};
use super::debian::{self, Bundle};

/// The oldest server that our SQL runs on.
pub(super) const OLDEST_MAJOR: u32 = 15;

/// Where distributions keep servers side by side, one folder per version: parent, start of the name, what follows.
const KNOWN_PLACES: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),          // Debian, Ubuntu
    ("/usr", "pgsql-", "bin"),                   // PostgreSQL's own packages for Fedora and its kin
    ("/usr/libexec", "postgresql", ""),          // Alpine
    ("/opt/homebrew/opt", "postgresql@", "bin"), // macOS
];

const HOW_TO_INSTALL: &str = "\
install PostgreSQL 15 or newer (Debian and Ubuntu: apt-get install postgresql; Fedora: dnf install \
postgresql-server; Alpine: apk add postgresql17; macOS: brew install postgresql@17), \
or set PG_BIN to the folder that holds its `postgres` and `initdb`";

/// The folder of some programs, and of the shared libraries that the system does not have.
#[derive(Debug)]
pub(super) struct Binaries {
    pub(super) folder: PathBuf,
    pub(super) libraries: Vec<PathBuf>,
}

impl Binaries {
    /// A command that finds the libraries and runs as the account.
    pub(super) fn command(&self, program: impl AsRef<Path>, account: Option<Account>) -> Command {
        let mut command = Command::new(program.as_ref());
        if !self.libraries.is_empty() {
            let paths =
                env::join_paths(&self.libraries).expect("folders that we named ourselves hold no colon");
            command.env("LD_LIBRARY_PATH", paths);
        }
        if let Some(Account { uid, gid }) = account {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// The major version, if the account can run these programs at all.
    fn major(&self, account: Option<Account>) -> Option<u32> {
        if !self.folder.join("initdb").is_file() {
            return None;
        }
        let output = self
            .command(self.folder.join("postgres"), account)
            .current_dir("/")
            .arg("--version")
            .output()
            .ok()?;
        output.status.success().then(|| read_major(&String::from_utf8_lossy(&output.stdout)))?
    }
}

/// The programs to use: `PG_BIN`, then `PATH`, then the newest installed, then unpacked from Debian's packages.
pub(super) fn find(account: Option<Account>) -> anyhow::Result<Binaries> {
    if let Some(folder) = env::var_os("PG_BIN").filter(|value| !value.is_empty()) {
        let chosen = Binaries { folder: folder.into(), libraries: Vec::new() };
        return match chosen.major(account) {
            Some(major) if major >= OLDEST_MAJOR => Ok(chosen),
            Some(major) => bail!("PG_BIN holds PostgreSQL {major}; {OLDEST_MAJOR} or newer is needed"),
            None => {
                bail!("PG_BIN holds no `postgres` and `initdb` that can be run: {}", chosen.folder.display())
            }
        };
    }
    let mut path = on_path().into_iter().filter(|found| found.major(account) >= Some(OLDEST_MAJOR));
    if let Some(found) = path.next() {
        return Ok(found);
    }
    let installed = in_known_places().into_iter().map(|found| (found.major(account), found));
    if let Some((_, found)) =
        installed.filter(|(major, _)| *major >= Some(OLDEST_MAJOR)).max_by_key(|(major, _)| *major)
    {
        return Ok(found);
    }
    let fetched = unpacked(Bundle::Server, account).context(HOW_TO_INSTALL)?;
    if fetched.major(account).is_none() {
        bail!("the server unpacked to {} does not run here; {HOW_TO_INSTALL}", fetched.folder.display());
    }
    Ok(fetched)
}

/// What is unpacked from Debian's packages, fetched if it is not in the cache yet.
pub(super) fn unpacked(bundle: Bundle, account: Option<Account>) -> anyhow::Result<Binaries> {
    cache_folder(account).and_then(|cache| debian::unpacked(bundle, &cache))
}

/// Symbolic links are followed, because `initdb` has to be beside `postgres`.
fn on_path() -> Vec<Binaries> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .filter_map(|folder| fs::canonicalize(folder.join("postgres")).ok())
        .filter_map(|program| program.parent().map(Path::to_path_buf))
        .map(|folder| Binaries { folder, libraries: Vec::new() })
        .collect()
}

fn in_known_places() -> Vec<Binaries> {
    let mut found = Vec::new();
    for (parent, start, rest) in KNOWN_PLACES {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(start)) {
            let folder = entry.path().join(rest);
            if folder.join("postgres").is_file() {
                found.push(Binaries { folder, libraries: Vec::new() });
            }
        }
    }
    found
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` and `postgres (PostgreSQL) 18beta1`.
fn read_major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    number.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// Where unpacked packages stay: cargo's target folder in a checkout, else the user's cache. As root it has to be
/// a place that the server's account can walk to, which root's home is not.
fn cache_folder(account: Option<Account>) -> anyhow::Result<PathBuf> {
    let mut places = Vec::from_iter(target_folder());
    match account {
        Some(_) => places.push("/var/cache".into()),
        None => {
            let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
            places.extend(env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home));
        }
    }
    for place in places {
        let cache = place.join("conversion-relay");
        if fs::create_dir_all(&cache).is_ok() && reaches(account, &cache) {
            return Ok(cache);
        }
    }
    bail!("no folder found to unpack packages in")
}

/// Cargo's target folder: told by the environment, or the marked folder that this program was built into.
fn target_folder() -> Option<PathBuf> {
    let told = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    told.filter(|folder| folder.is_absolute()).or_else(|| {
        let program = env::current_exe().ok()?;
        program.ancestors().find(|folder| folder.join(".rustc_info.json").is_file()).map(Path::to_path_buf)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_the_server_says() {
        assert_eq!(read_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(read_major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(read_major("command not found"), None);
    }
}
