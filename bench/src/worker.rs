//! A child process that gets ready, works when it is told to, and says what it did: ours and the peers' alike.

use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::process::Stdio;
use std::thread;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A child process; it ends with this.
pub(crate) struct Worker {
    // Killed when it is dropped.
    _child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Its process id.
    pub(crate) pid: u32,
    /// What it said when it was ready.
    pub(crate) ready: Value,
}

impl Worker {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child =
            command.spawn().with_context(|| format!("start {:?}", command.as_std().get_program()))?;
        let orders = child.stdin.take().context("the child's input is ours")?;
        let output = child.stdout.take().context("the child's output is ours")?;
        let pid = child.id().context("the child lives")?;
        let mut worker =
            Self { _child: child, orders, answers: BufReader::new(output).lines(), pid, ready: Value::Null };
        worker.ready = worker.answer().await?;
        Ok(worker)
    }

    /// Lets it work, and waits for what it did.
    pub(crate) async fn work(&mut self) -> anyhow::Result<Value> {
        self.orders.write_all(b"go\n").await.context("reach a child process")?;
        self.answer().await
    }

    async fn answer(&mut self) -> anyhow::Result<Value> {
        let line = self.answers.next_line().await.context("read from a child process")?;
        let Some(line) = line else { bail!("a child process ended early: its words are above") };
        serde_json::from_str(&line).with_context(|| format!("a child process said: {line}"))
    }
}

/// In the child: says that it is ready, and waits for the word.
pub(crate) fn ready(said: &Value) -> anyhow::Result<()> {
    say(said)?;
    wait_for_a_line()
}

/// In the child: says what it did, and waits to be read and ended.
pub(crate) fn done(rows: u64, seconds: f64) -> anyhow::Result<()> {
    say(&json!({ "rows": rows, "seconds": seconds }))?;
    wait_for_a_line()
}

/// In the child: ends this process when its parent ends or lets go of it.
pub(crate) fn end_with_parent() {
    thread::spawn(|| {
        // Whatever comes, the end of it is what counts.
        while stdin().lock().read_line(&mut String::new()).is_ok_and(|read| read > 0) {}
        std::process::exit(0);
    });
}

/// In the child: one line of JSON to the parent.
pub(crate) fn say(said: &Value) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{said}")?;
    Ok(out.flush()?)
}

fn wait_for_a_line() -> anyhow::Result<()> {
    stdin().lock().read_line(&mut String::new()).context("wait for the parent")?;
    Ok(())
}
