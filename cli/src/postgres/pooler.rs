//! A throwaway PgBouncer in front of a throwaway server, for the tests: what runs behind it in production has to.

use std::fs::OpenOptions;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::time::Instant;
use std::{env, fs, io, thread};

use anyhow::{Context, bail};

use super::account::{Account, account_to_drop_to};
use super::binaries::{self, Binaries};
use super::debian::Bundle;
use super::folder::create_folder;
use super::{POLL, START_LIMIT, ThrowawayPostgres, socket_url};

/// Only the name of the socket file.
const SOCKET_PORT: u16 = 6432;

/// Connections to the server per database and role: half of what one process's pool opens, so that they are shared.
const POOL_SIZE: u32 = 4;

const HOW_TO_INSTALL: &str = "install PgBouncer (Debian and Ubuntu: apt-get install pgbouncer)";

/// A running PgBouncer that pools transactions: two calls of one client may run in two sessions of the server.
///
/// It ends with this process as the server does, and dropping it stops it.
#[derive(Debug)]
pub struct ThrowawayPooler {
    folder: PathBuf,
    supervisor: Child,
    orders: Option<ChildStdin>,
}

impl ThrowawayPooler {
    /// Starts one in front of the server, for these roles, who need no password, and for `postgres`, who may look at
    /// its console: the database `pgbouncer`. Blocks until it is ready.
    pub fn start(server: &ThrowawayPostgres, roles: &[&str]) -> anyhow::Result<Self> {
        let account = account_to_drop_to()?;
        let (binaries, minor) = find(account)?;
        let folder = create_folder(account)?;
        let users: String =
            roles.iter().chain(&["postgres"]).map(|role| format!("\"{role}\" \"\"\n")).collect();
        let files =
            [("users", users), ("pgbouncer.ini", settings(server, &folder, minor)), ("log", String::new())];
        for (name, text) in files {
            let file = folder.join(name);
            fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
            if let Some(Account { uid, gid }) = account {
                chown(&file, Some(uid), Some(gid))
                    .with_context(|| format!("give {} away", file.display()))?;
            }
        }

        let log =
            OpenOptions::new().append(true).open(folder.join("log")).context("open the pooler's log")?;
        let mut command = binaries.command("/bin/sh", account);
        command.arg("-c").arg(include_str!("pooler.sh")).arg("throwaway-pooler");
        command.arg(&folder).arg(binaries.folder.join("pgbouncer"));
        command.process_group(0).current_dir("/");
        command.stdin(Stdio::piped()).stdout(log.try_clone().context("share the log")?).stderr(log);
        let mut supervisor = command.spawn().context("start the supervisor of PgBouncer")?;
        let orders = supervisor.stdin.take();
        let pooler = Self { folder, supervisor, orders };
        pooler.wait_until_ready()?;
        Ok(pooler)
    }

    /// The URL of a database of the server for one of the roles.
    pub fn url_as(&self, role: &str, database: &str) -> String {
        socket_url(&self.folder, SOCKET_PORT, role, database)
    }

    /// The URL of its console, which speaks the simple query protocol only.
    pub fn console_url(&self) -> String {
        self.url_as("postgres", "pgbouncer")
    }

    /// The folder of its socket. It goes when the pooler goes.
    pub fn socket_dir(&self) -> &Path {
        &self.folder
    }

    /// Everything that it has logged so far.
    pub fn log(&self) -> io::Result<String> {
        fs::read(self.folder.join("log")).map(|log| String::from_utf8_lossy(&log).into_owned())
    }

    fn wait_until_ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let socket = self.folder.join(format!(".s.PGSQL.{SOCKET_PORT}"));
        while UnixStream::connect(&socket).is_err() {
            if self.folder.join("ended").exists() || Instant::now() > deadline {
                bail!("PgBouncer did not start; its words:\n{}", self.log().unwrap_or_default());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for ThrowawayPooler {
    fn drop(&mut self) {
        // As with the server: closing the pipe is the order to stop.
        drop(self.orders.take());
        self.supervisor.wait().ok();
    }
}

/// What a pooler is started with; `minor` is the second number of its version.
fn settings(server: &ThrowawayPostgres, folder: &Path, minor: u32) -> String {
    let (host, folder) = (server.socket_dir().display(), folder.display());
    let port = server.port;
    // Before 1.21 it knows no prepared statements and not the word either; since 1.24 it keeps some by default.
    let prepared = if minor >= 21 { "max_prepared_statements = 0\n" } else { "" };
    format!(
        "[databases]\n\
         * = host={host} port={port}\n\
         [pgbouncer]\n\
         unix_socket_dir = {folder}\n\
         listen_port = {SOCKET_PORT}\n\
         auth_type = trust\n\
         auth_file = {folder}/users\n\
         admin_users = postgres\n\
         pool_mode = transaction\n\
         default_pool_size = {POOL_SIZE}\n\
         max_client_conn = 500\n\
         {prepared}"
    )
}

/// The program to use, and the second number of its version: from `PATH` and where Debian puts it, else unpacked from
/// Debian's packages.
fn find(account: Option<Account>) -> anyhow::Result<(Binaries, u32)> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    let installed = folders.map(|folder| Binaries { folder, libraries: Vec::new() });
    for binaries in installed {
        if let Some(minor) = minor(&binaries, account) {
            return Ok((binaries, minor));
        }
    }
    let fetched = binaries::unpacked(Bundle::Pooler, account).context(HOW_TO_INSTALL)?;
    let minor = minor(&fetched, account).with_context(|| {
        format!("what is unpacked to {} does not run here; {HOW_TO_INSTALL}", fetched.folder.display())
    })?;
    Ok((fetched, minor))
}

fn minor(binaries: &Binaries, account: Option<Account>) -> Option<u32> {
    let program = binaries.folder.join("pgbouncer");
    if !program.is_file() {
        return None;
    }
    let output = binaries.command(program, account).current_dir("/").arg("--version").output().ok()?;
    read_minor(&String::from_utf8_lossy(&output.stdout)).filter(|_| output.status.success())
}

/// Reads `PgBouncer 1.18.0`, and nothing of a version that is not 1.
fn read_minor(version: &str) -> Option<u32> {
    version.strip_prefix("PgBouncer 1.")?.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_the_pooler_says() {
        assert_eq!(read_minor("PgBouncer 1.18.0\nlibevent 2.1.12-stable\n"), Some(18));
        assert_eq!(read_minor("PgBouncer 1.24.1"), Some(24));
        assert_eq!(read_minor("command not found"), None);
    }
}
