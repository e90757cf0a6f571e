//! Runs a function's real binary as Lambda would.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use runtime_api::{Event, Report, RuntimeApi, routes};

mod runtime_api;

/// What every function finds in its environment on AWS, by the names that AWS gives.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("AWS_LAMBDA_FUNCTION_NAME", "function-under-test"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
    ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/function-under-test"),
    ("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
];

/// How long to wait for the last lines of a process that has ended.
const LAST_LINES_LIMIT: Duration = Duration::from_secs(5);

/// How one invocation ended.
#[derive(Debug)]
pub enum Invocation {
    /// The function answered.
    Answered(Value),
    /// The function reported an error.
    Failed(Value),
    /// The process ended without an answer, or was killed because its deadline had passed, as Lambda does.
    Died(ExitStatus),
    /// The function reported that it cannot start.
    InitFailed(Value),
}

/// A function's process. Dropping it kills it.
#[derive(Debug)]
pub struct LambdaProcess {
    child: Child,
    events: mpsc::UnboundedSender<Event>,
    reports: mpsc::UnboundedReceiver<Report>,
    server: JoinHandle<()>,
    stdout: Lines,
    stderr: Lines,
}

impl LambdaProcess {
    /// Starts a binary with this environment and nothing else but `PATH`, `HOME` and what Lambda itself sets.
    pub async fn start(program: &Path, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen on loopback")?;
        let address = listener.local_addr().context("listen on loopback")?;
        let (events, waiting) = mpsc::unbounded_channel();
        let (report, reports) = mpsc::unbounded_channel();
        let api = RuntimeApi::new(waiting, report);
        let server = tokio::spawn(async move {
            // It ends with the process under test; until then there is nobody to tell about an error.
            axum::serve(listener, routes(api)).await.ok();
        });

        let mut command = Command::new(program);
        command.env_clear().envs(std::env::vars().filter(|(name, _)| name == "PATH" || name == "HOME"));
        command.env("AWS_LAMBDA_RUNTIME_API", address.to_string()).envs(ENVIRONMENT);
        command.envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let stdout = Lines::of(child.stdout.take().context("read its standard output")?);
        let stderr = Lines::of(child.stderr.take().context("read its standard error")?);
        Ok(Self { child, events, reports, server, stdout, stderr })
    }

    /// Sends one event and waits for its end. After `deadline` the process is killed.
    pub async fn invoke(&mut self, event: Value, deadline: Duration) -> anyhow::Result<Invocation> {
        self.invoke_text(event.to_string(), deadline).await
    }

    /// The same of an event as it stands, which may say things that no [`Value`] holds.
    pub async fn invoke_text(&mut self, event: String, deadline: Duration) -> anyhow::Result<Invocation> {
        let ends_at = SystemTime::now() + deadline;
        let deadline_ms =
            ends_at.duration_since(SystemTime::UNIX_EPOCH).context("tell the time")?.as_millis();
        let id = Uuid::new_v4();
        self.events.send(Event { id, deadline_ms, body: event }).context("reach the stand-in's server")?;
        let timer = sleep(deadline);
        tokio::pin!(timer);
        loop {
            tokio::select! {
                // Reports first: a process that reports and then ends has reported.
                biased;
                report = self.reports.recv() => match report.context("the stand-in's server is gone")? {
                    Report::Response(of, body) if of == id => return Ok(Invocation::Answered(body)),
                    Report::Error(of, body) if of == id => return Ok(Invocation::Failed(body)),
                    Report::InitError(body) => return Ok(Invocation::InitFailed(body)),
                    // An answer that came after its own invocation was given up.
                    Report::Response(..) | Report::Error(..) => {}
                },
                status = self.child.wait() => break self.bury(status).await,
                () = &mut timer => {
                    self.kill();
                    let status = self.child.wait().await;
                    break self.bury(status).await;
                }
            }
        }
    }

    /// Kills the process with SIGKILL, as a crash or Lambda itself would. The next invocation finds it dead.
    pub fn kill(&mut self) {
        // The only error is that it has ended already.
        self.child.start_kill().ok();
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The lines of its standard output so far; after its end, all of them.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.so_far()
    }

    /// The lines of its standard error so far; after its end, all of them.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.so_far()
    }

    /// Reads what the process wrote to its end. A child that it left behind may keep the pipes open for ever.
    async fn bury(&mut self, status: io::Result<ExitStatus>) -> anyhow::Result<Invocation> {
        for lines in [&mut self.stdout, &mut self.stderr] {
            if let Some(reader) = lines.reader.take() {
                // What was read until then is kept, however the reader ends.
                timeout(LAST_LINES_LIMIT, reader).await.ok();
            }
        }
        Ok(Invocation::Died(status.context("wait for the process")?))
    }
}

impl Drop for LambdaProcess {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What a process writes, line by line.
#[derive(Debug)]
pub(crate) struct Lines {
    read: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    pub(crate) fn of(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let read = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&read);
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { read, reader: Some(reader) }
    }

    pub(crate) fn so_far(&self) -> Vec<String> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
