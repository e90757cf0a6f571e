//! A function's process under a stand-in for Lambda's Runtime API that takes the time:
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::env;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::process;

/// A function has so long for an event, as it is told; the longest that Lambda gives.
const DEADLINE: Duration = Duration::from_secs(900);

/// Nothing here takes so long: a process that hangs must not hang the benchmark.
const PATIENCE: Duration = Duration::from_secs(120);

/// A function's process; it ends with this.
pub(crate) struct Function {
    // Killed when it is dropped.
    child: Child,
    server: JoinHandle<()>,
    events: mpsc::UnboundedSender<String>,
    heard: mpsc::UnboundedReceiver<(Instant, Heard)>,
    started: Instant,
}

enum Heard {
    /// It asked for an event.
    Asked,
    Answered(String),
    Failed(String),
}

struct Api {
    events: Mutex<mpsc::UnboundedReceiver<String>>,
    tell: mpsc::UnboundedSender<(Instant, Heard)>,
}

impl Api {
    /// Whoever has stopped listening changes nothing for the process.
    fn tell(&self, heard: Heard) -> StatusCode {
        self.tell.send((Instant::now(), heard)).ok();
        StatusCode::ACCEPTED
    }
}

impl Function {
    /// Starts it with this environment, and what Lambda itself sets.
    pub(crate) async fn start<'a>(
        mut command: Command,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("find a free port")?;
        let address = listener.local_addr().context("find a free port")?.to_string();
        let (events, waiting) = mpsc::unbounded_channel();
        let (tell, heard) = mpsc::unbounded_channel();
        let app = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .with_state(Arc::new(Api { events: Mutex::new(waiting), tell }));
        let server = tokio::spawn(async move {
            // It ends with the process.
            axum::serve(listener, app).await.ok();
        });
        command.env_clear().envs(env::vars().filter(|(name, _)| name == "PATH" || name == "HOME"));
        command.env("AWS_LAMBDA_RUNTIME_API", address).env("AWS_LAMBDA_FUNCTION_NAME", "bench");
        command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128").env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
        command.env("AWS_LAMBDA_LOG_GROUP_NAME", "bench").env("AWS_LAMBDA_LOG_STREAM_NAME", "bench");
        command.envs(environment).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let started = Instant::now();
        let child = command.spawn().with_context(|| format!("start {:?}", command.as_std().get_program()))?;
        Ok(Self { child, server, events, heard, started })
    }

    /// Milliseconds from its start to its first request for an event.
    pub(crate) async fn asked(&mut self) -> anyhow::Result<f64> {
        match self.hear().await? {
            (at, Heard::Asked) => Ok(self.milliseconds(at)),
            (_, Heard::Answered(said) | Heard::Failed(said)) => bail!("it did not ask for an event: {said}"),
        }
    }

    /// Gives it an event, after it asked: what it answered, and milliseconds from its start to that.
    pub(crate) async fn invoke(&mut self, event: &Value) -> anyhow::Result<(Value, f64)> {
        self.events.send(event.to_string()).context("reach the stand-in")?;
        loop {
            match self.hear().await? {
                (_, Heard::Asked) => {}
                (at, Heard::Answered(said)) => {
                    let answer = serde_json::from_str(&said).context("it answered no JSON")?;
                    return Ok((answer, self.milliseconds(at)));
                }
                (_, Heard::Failed(said)) => bail!("it failed: {said}"),
            }
        }
    }

    /// The most memory that it ever had resident, in MiB.
    pub(crate) fn peak_mib(&self) -> anyhow::Result<f64> {
        process::peak_mib(self.child.id().context("it has ended")?)
    }

    /// Its end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("end a function")
    }

    async fn hear(&mut self) -> anyhow::Result<(Instant, Heard)> {
        tokio::select! {
            // What it said comes before its end.
            biased;
            heard = timeout(PATIENCE, self.heard.recv()) => {
                heard.context("it is silent")?.context("the stand-in is gone")
            }
            status = self.child.wait() => bail!("it ended: {}", status.context("watch a function")?),
        }
    }

    fn milliseconds(&self, at: Instant) -> f64 {
        at.duration_since(self.started).as_secs_f64() * 1e3
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.server.abort();
    }
}

type Shared = State<Arc<Api>>;

/// Holds the request until there is an event, as Lambda does.
async fn next(State(api): Shared) -> Result<([(&'static str, String); 3], String), StatusCode> {
    api.tell(Heard::Asked);
    let event = api.events.lock().await.recv().await.ok_or(StatusCode::GONE)?;
    let deadline = SystemTime::now() + DEADLINE;
    let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let headers = [
        ("lambda-runtime-aws-request-id", uuid::Uuid::new_v4().to_string()),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-central-1:000000000000:function:bench".to_owned(),
        ),
    ];
    Ok((headers, event))
}

async fn response(State(api): Shared, Path(_): Path<String>, body: String) -> StatusCode {
    api.tell(Heard::Answered(body))
}

async fn error(State(api): Shared, Path(_): Path<String>, body: String) -> StatusCode {
    api.tell(Heard::Failed(body))
}

async fn init_error(State(api): Shared, body: String) -> StatusCode {
    api.tell(Heard::Failed(body))
}
