//! The throwaway server, and the pooler in front of it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use relay_cli::postgres::{Durability, ThrowawayPooler, ThrowawayPostgres};
use tests::database::{POOLER, connect};

/// Set in the process that plays the owner which is killed.
const OWNER: &str = "HARNESS_OWNS_A_SERVER";

async fn setting(url: &str, name: &str) -> String {
    let client = connect(url).await.unwrap();
    client.query_one("select current_setting($1)", &[&name]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_server_runs_with_our_settings_and_the_callers() {
    let server = ThrowawayPostgres::start(Durability::Fast, &[("deadlock_timeout", "50ms")]).unwrap();
    let url = server.url("postgres");

    assert_eq!(setting(&url, "deadlock_timeout").await, "50ms");
    assert_eq!(setting(&url, "fsync").await, "off");
    assert_eq!(setting(&url, "max_connections").await, "200");
    assert_eq!(setting(&url, "server_encoding").await, "UTF8");
    assert_eq!(setting(&url, "lc_collate").await, "C");
    assert_eq!(setting(&url, "listen_addresses").await, "");
    assert_eq!(server.url_tcp("postgres"), None);
}

#[tokio::test]
async fn a_server_is_reachable_over_tcp_where_that_was_asked_for() {
    let server = ThrowawayPostgres::start_with_tcp(Durability::Durable, &[]).unwrap();

    let over_tcp = setting(&server.url_tcp("postgres").unwrap(), "listen_addresses").await;
    let over_socket = setting(&server.url("postgres"), "fsync").await;

    assert_eq!((over_tcp.as_str(), over_socket.as_str()), ("127.0.0.1", "on"));
}

#[tokio::test]
async fn a_crash_of_the_server_keeps_what_was_committed() {
    let mut server = ThrowawayPostgres::start(Durability::Durable, &[]).unwrap();
    let client = connect(&server.url("postgres")).await.unwrap();
    client.batch_execute("create table kept (n integer); insert into kept values (1)").await.unwrap();
    let pid = server.postmaster_pid();

    server.restart_immediately().unwrap();

    assert_ne!(server.postmaster_pid(), pid);
    assert!(server.log().unwrap().contains("database system was not properly shut down"));
    let client = connect(&server.url("postgres")).await.unwrap();
    assert_eq!(client.query("select n from kept", &[]).await.unwrap().len(), 1);
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let error = ThrowawayPostgres::start(Durability::Fast, &[("shared_buffers", "plenty")]).unwrap_err();

    assert!(error.to_string().contains("invalid value for parameter \"shared_buffers\""), "{error}");
}

#[test]
fn a_stopped_server_leaves_nothing_behind() {
    let server = ThrowawayPostgres::start(Durability::Fast, &[]).unwrap();
    let (pid, folder) = (server.postmaster_pid(), server.socket_dir().to_path_buf());

    server.stop();

    assert!(!runs(pid) && !folder.exists());
}

#[test]
fn a_server_ends_when_its_owner_is_killed() {
    let owner = Command::new(env::current_exe().unwrap())
        .args(["--exact", "harness::postgres::the_owner_that_is_killed", "--nocapture"])
        .env(OWNER, "yes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut owner = owner.unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told = lines.find_map(|line| line.split_once("owns ").map(|(_, told)| told.to_string())).unwrap();
    let mut told = told.split(' ');
    let pid = told.next().unwrap().parse().unwrap();
    let folders: Vec<_> = told.map(Path::new).collect();
    let all_there = || folders.iter().all(|folder| folder.exists());
    let none_there = || folders.iter().all(|folder| !folder.exists());
    assert!(runs(pid) && all_there());

    owner.kill().unwrap();

    owner.wait().unwrap();
    // Nobody is left who could tell us when it is over.
    let limit = Instant::now() + Duration::from_secs(60);
    while (runs(pid) || !none_there()) && Instant::now() < limit {
        thread::sleep(Duration::from_millis(10));
    }
    assert!(!runs(pid) && none_there());
}

/// Not a fact of its own: the test above runs it in a process that it then kills.
#[test]
fn the_owner_that_is_killed() {
    if env::var_os(OWNER).is_none() {
        return;
    }
    let server = ThrowawayPostgres::start(Durability::Fast, &[]).unwrap();
    let mut told = format!("owns {} {}", server.postmaster_pid(), server.socket_dir().display());
    let asked_for = env::var_os(POOLER).filter(|value| value == "pgbouncer");
    let pooler = asked_for.map(|_| ThrowawayPooler::start(&server, &[]).unwrap());
    if let Some(pooler) = &pooler {
        told = format!("{told} {}", pooler.socket_dir().display());
    }
    told.push('\n');
    std::io::stdout().write_all(told.as_bytes()).unwrap();
    // Waits to be killed, but not for ever: the pipe closes when the test that started us ends.
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// Whether a process exists; signal 0 only asks.
fn runs(pid: u32) -> bool {
    // SAFETY: kill touches no memory of ours.
    unsafe { libc::kill(pid.cast_signed(), 0) == 0 }
}
