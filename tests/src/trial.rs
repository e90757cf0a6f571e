//! Runs the built test binary on a database with a fault in it, until a test fails.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{env, fmt, fs, process, thread};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::binaries::cargo;
use crate::database::MUTATION;
use crate::mutations::Mutation;

/// The rooms that stand on the SQL.
const QUICK: [&str; 5] = ["delivery::", "engine::", "queue::", "store::", "upkeep::"];

/// What takes long, and is asked only where nothing else notices.
const SLOW: [&str; 3] = [
    "queue::chaos::nothing_is_accepted_twice_and_nothing_is_lost_whatever_breaks",
    "delivery::crashes::a_runner_killed_at_any_step_loses_and_doubles_nothing",
    "delivery::crashes::recover_settles_what_was_left_open_and_never_a_live_claim",
];

/// Slow as well, and about something else.
const APART: [&str; 2] = ["store::migrations::", "delivery::holds::a_token_endpoint_that_never_answers"];

/// A fault that turns more than that red is no fault in a guard but a function that does not run.
const PASSED_MIN: usize = 5;

/// A test that hangs has noticed as well.
const LIMIT: Duration = Duration::from_secs(150);

/// More than there are cores: some tests wait.
const THREADS: &str = "4";

/// The test binary.
#[derive(Debug)]
pub struct Trial {
    binary: PathBuf,
}

/// How a trial ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// No test failed.
    Passed {
        /// How many there were.
        tests: usize,
    },
    /// These failed, first of all.
    Noticed {
        /// Their names.
        tests: Vec<String>,
    },
    /// Nearly all failed: the function does not run at all.
    Wrecked,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Passed { tests } => write!(f, "UNNOTICED by {tests} tests"),
            End::Noticed { tests } => f.write_str(&tests.join(", ")),
            End::Wrecked => f.write_str("WRECKED: hardly a test passes, so that none says what is wrong"),
        }
    }
}

impl Trial {
    /// Builds the test binary.
    ///
    /// # Errors
    /// Where it does not build.
    pub fn build() -> anyhow::Result<Self> {
        let mut command = cargo();
        command.args([
            "test",
            "-p",
            "tests",
            "--test",
            "it",
            "--no-run",
            "--locked",
            "--message-format",
            "json",
        ]);
        let output = command.stderr(Stdio::inherit()).output().context("run cargo")?;
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let binary =
            lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|line| {
                (line["target"]["name"] == "it")
                    .then(|| line["executable"].as_str().map(PathBuf::from))
                    .flatten()
            });
        Ok(Self { binary: binary.context("the tests do not build")? })
    }

    /// Runs the quick tests without any fault.
    ///
    /// # Errors
    /// Where the binary cannot be run.
    pub fn run(&self) -> anyhow::Result<End> {
        watch(&mut self.quick(), PASSED_MIN)
    }

    /// Runs these tests alone without any fault.
    ///
    /// # Errors
    /// As [`Trial::run`].
    pub fn run_named<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> anyhow::Result<End> {
        let mut named = Command::new(&self.binary);
        named.arg("--exact").args(names);
        watch(&mut named, 1)
    }

    /// Puts the fault in place and runs the test that stands on it, and no other.
    ///
    /// # Errors
    /// As [`Trial::run`].
    pub fn run_own_with(&self, mutation: &Mutation) -> anyhow::Result<End> {
        let mut own = Command::new(&self.binary);
        own.args(["--exact", mutation.noticed_by]);
        with_fault(mutation, own, 0)
    }

    /// Puts the fault in place and runs the test that stands on it alone; where that does not notice, all.
    ///
    /// # Errors
    /// As [`Trial::run`].
    pub fn run_with(&self, mutation: &Mutation) -> anyhow::Result<End> {
        match self.run_own_with(mutation)? {
            End::Passed { .. } | End::Wrecked => self.run_all_with(mutation),
            noticed @ End::Noticed { .. } => Ok(noticed),
        }
    }

    /// Puts the fault in place and runs the quick tests, and the slow ones where those notice nothing.
    ///
    /// # Errors
    /// As [`Trial::run`].
    pub fn run_all_with(&self, mutation: &Mutation) -> anyhow::Result<End> {
        let mut slow = Command::new(&self.binary);
        slow.args(SLOW);
        match with_fault(mutation, self.quick(), PASSED_MIN)? {
            End::Passed { tests } => match with_fault(mutation, slow, 0)? {
                End::Passed { tests: more } => Ok(End::Passed { tests: tests + more }),
                other @ (End::Noticed { .. } | End::Wrecked) => Ok(other),
            },
            other @ (End::Noticed { .. } | End::Wrecked) => Ok(other),
        }
    }

    fn quick(&self) -> Command {
        let mut quick = Command::new(&self.binary);
        quick.args(QUICK).args(SLOW.iter().chain(&APART).flat_map(|name| ["--skip", name]));
        quick
    }
}

/// Runs tests on the faulty function.
fn with_fault(mutation: &Mutation, mut tests: Command, passed_min: usize) -> anyhow::Result<End> {
    let file = env::temp_dir().join(format!("relay-mutation-{}.sql", process::id()));
    fs::write(&file, mutation.sql()?).context("write the faulty function")?;
    let end = watch(tests.env(MUTATION, &file), passed_min);
    fs::remove_file(&file).context("remove the faulty function")?;
    end
}

/// A child that does not outlive us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Reads the names of the tests as they end, until enough is known.
fn watch(command: &mut Command, passed_min: usize) -> anyhow::Result<End> {
    let command = command.args(["--test-threads", THREADS]).env("RUST_BACKTRACE", "0");
    let mut running =
        Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("run the tests")?);
    let output = running.0.stdout.take().context("read the tests' output")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let limit = Instant::now() + LIMIT;
    let (mut passed, mut failed) = (0, Vec::new());
    loop {
        match lines.recv_timeout(limit.saturating_duration_since(Instant::now())) {
            Ok(line) => match line.strip_prefix("test ").and_then(|line| line.split_once(" ... ")) {
                Some((_, "ok")) => passed += 1,
                Some((name, "FAILED")) => failed.push(name.to_owned()),
                Some(_) | None => {}
            },
            Err(RecvTimeoutError::Timeout) => failed.push("a test that hangs".to_owned()),
            Err(RecvTimeoutError::Disconnected) if failed.is_empty() => {
                let ended = running.0.wait().context("wait for the tests")?;
                if !ended.success() {
                    bail!("the tests ended with {ended} and named none that failed");
                }
                return Ok(End::Passed { tests: passed });
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if !failed.is_empty() && passed >= passed_min || Instant::now() > limit {
            break;
        }
    }
    Ok(if passed >= passed_min { End::Noticed { tests: failed } } else { End::Wrecked })
}
