//! A throwaway PostgreSQL server, for the demo, the benchmarks and the tests; for the tests a pooler in front of it.
//!
//! It is a child of a small shell that waits for the end of a pipe which this process holds. However this process
//! ends, by return, panic, abort or SIGKILL, the pipe closes, the server stops and its folder is deleted.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use anyhow::{Context, bail};

use account::account_to_drop_to;
use folder::create_folder;

mod account;
mod binaries;
mod debian;
mod folder;
mod passwords;
mod pooler;

pub use pooler::ThrowawayPooler;

/// Ready takes 0.4 s on an idle machine; this is for one that is busy compiling.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How often to look whether the server is ready.
const POLL: Duration = Duration::from_millis(10);

/// Ports that are looked at; few are taken.
const FREE_PORT_TRIES: usize = 100;

/// Only the name of the socket file, where the server is not reachable over TCP.
const SOCKET_PORT: u16 = 5432;

/// How many of the server's last log lines an error shows.
const LOG_LINES_SHOWN: usize = 20;

/// What a crash of the machine may cost. A crash of the server costs nothing either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// As in production: what is measured on it is true.
    Durable,
    /// Nothing is flushed to disk. For tests only.
    Fast,
}

/// A running server with the superuser `postgres`, who needs no password.
///
/// Only this user (and root) can reach it, through a socket in a private folder. Dropping it stops it.
#[derive(Debug)]
pub struct ThrowawayPostgres {
    folder: PathBuf,
    port: u16,
    over_tcp: Option<TcpPort>,
    supervisor: Child,
    orders: Option<ChildStdin>,
    starts: u32,
    postmaster_pid: u32,
}

/// A port of the loopback interface.
#[derive(Clone, Copy, Debug)]
struct TcpPort(u16);

impl ThrowawayPostgres {
    /// Starts a server that listens on a Unix socket only. The settings are those of `postgresql.conf`.
    ///
    /// Blocks until the server is ready, half a second as a rule.
    pub fn start(durability: Durability, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_on(None, durability, settings)
    }

    /// Starts a server that also listens on a free port of 127.0.0.1, where every user of this machine can reach it.
    pub fn start_with_tcp(durability: Durability, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_on(Some(TcpPort(free_port()?)), durability, settings)
    }

    fn start_on(
        over_tcp: Option<TcpPort>,
        durability: Durability,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let account = account_to_drop_to()?;
        let binaries = binaries::find(account)?;
        let folder = create_folder(account)?;
        let port = over_tcp.map_or(SOCKET_PORT, |TcpPort(port)| port);

        let log = OpenOptions::new().create(true).append(true).open(folder.join("log"));
        let log = log.with_context(|| format!("create a log in {}", folder.display()))?;
        let mut command = binaries.command("/bin/sh", account);
        command.arg("-c").arg(include_str!("supervisor.sh")).arg("throwaway-postgres");
        command.arg(&folder).arg(&binaries.folder);
        command.arg("-k").arg(&folder).arg("-p").arg(port.to_string());
        for (name, value) in server_settings(over_tcp, durability).iter().chain(settings) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        // In a process group of its own, so that Ctrl-C reaches us and not the server that we still need.
        command.process_group(0).current_dir("/").env_remove("PGDATA").env_remove("PGPORT");
        command.stdin(Stdio::piped()).stdout(log.try_clone().context("share the log")?).stderr(log);
        let mut supervisor = command.spawn().context("start the supervisor of PostgreSQL")?;

        let orders = supervisor.stdin.take();
        let mut server = Self { folder, port, over_tcp, supervisor, orders, starts: 1, postmaster_pid: 0 };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// The URL of a database for the superuser, over the socket; both tokio-postgres and psql read it.
    pub fn url(&self, database: &str) -> String {
        self.url_as("postgres", database)
    }

    /// The URL of a database for another role.
    pub fn url_as(&self, role: &str, database: &str) -> String {
        socket_url(&self.folder, self.port, role, database)
    }

    /// The URL of a database over TCP, if the server was started with it.
    pub fn url_tcp(&self, database: &str) -> Option<String> {
        let TcpPort(port) = self.over_tcp?;
        Some(format!("postgresql://postgres@127.0.0.1:{port}/{}", percent_encoded(database)))
    }

    /// The folder of the server's socket. It goes when the server goes.
    pub fn socket_dir(&self) -> &Path {
        &self.folder
    }

    /// The server's main process, for tests that kill it.
    pub fn postmaster_pid(&self) -> u32 {
        self.postmaster_pid
    }

    /// Everything that the server has logged so far; each line names process, role and database.
    pub fn log(&self) -> io::Result<String> {
        fs::read(self.folder.join("log")).map(|log| String::from_utf8_lossy(&log).into_owned())
    }

    /// Stops without a checkpoint, as in a crash, and starts again: the server recovers from its log.
    pub fn restart_immediately(&mut self) -> anyhow::Result<()> {
        let orders = self.orders.as_mut().expect("orders are taken away only when the server is dropped");
        orders.write_all(b"restart\n").context("reach the supervisor of PostgreSQL")?;
        self.starts += 1;
        self.wait_until_ready()
    }

    /// Stops the server and deletes its folder; dropping it does the same.
    pub fn stop(self) {
        drop(self);
    }

    /// Reads the server's own lock file, where the eighth line is its state: no client and no query needed.
    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let previous = self.postmaster_pid;
        loop {
            let lock = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
            let mut lines = lock.lines();
            let pid = lines.next().and_then(|pid| pid.trim().parse().ok()).filter(|pid| *pid != previous);
            if let (Some(pid), Some("ready")) = (pid, lines.nth(6).map(str::trim)) {
                self.postmaster_pid = pid;
                return Ok(());
            }
            let ended = self.folder.join(format!("ended.{}", self.starts)).exists();
            if ended || self.supervisor.try_wait().context("watch the supervisor of PostgreSQL")?.is_some() {
                bail!("PostgreSQL did not start; its last words:\n{}", self.last_log_lines());
            }
            if Instant::now() > deadline {
                bail!(
                    "PostgreSQL was not ready after {START_LIMIT:?}; its last words:\n{}",
                    self.last_log_lines()
                );
            }
            thread::sleep(POLL);
        }
    }

    fn last_log_lines(&self) -> String {
        let log = self.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

impl Drop for ThrowawayPostgres {
    fn drop(&mut self) {
        // Closing the pipe is the order to stop. An error here leaves nothing to do but what the shell does anyway.
        drop(self.orders.take());
        self.supervisor.wait().ok();
    }
}

/// A port of 127.0.0.1 for a server that cannot choose one itself. It is free until that server takes it, as a rule: it is none
/// of those that the system gives to whoever asks for any, from 32768 on.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let mut ports = (0..FREE_PORT_TRIES).map(|_| 16_384 + rand::random::<u16>() % 16_384);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).context("find a free port")
}

/// What every throwaway server is started with; the caller's settings come after these and win.
fn server_settings(over_tcp: Option<TcpPort>, durability: Durability) -> Vec<(&'static str, &'static str)> {
    let mut settings = vec![
        ("listen_addresses", if over_tcp.is_some() { "127.0.0.1" } else { "" }),
        ("max_connections", "200"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("log_line_prefix", "%m [%p] %q%u@%d "),
    ];
    match durability {
        Durability::Durable => {}
        Durability::Fast => {
            settings.extend([("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "off")]);
        }
    }
    settings
}

/// The URL of a database behind a Unix socket.
fn socket_url(folder: &Path, port: u16, role: &str, database: &str) -> String {
    let host = percent_encoded(&folder.to_string_lossy());
    format!("postgresql://{}@{host}:{port}/{}", percent_encoded(role), percent_encoded(database))
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
