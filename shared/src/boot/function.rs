//! A function on AWS Lambda: receives events, opens its door to those who may come in, calls its task, answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info_span};

use super::authentication::{Secrets, TurnedAway};
use super::call::{Call, CallError, event_fields, until};
use super::config::{AppEnv, Config};
use super::context::open_context;
use super::http::{BODY_MAX, HttpAnswer, HttpCall};
use super::telemetry::{Output, start_telemetry};
use crate::delivery::Deadline;
use crate::engine::{Context, Fields};
use crate::providers::trace::{TRACEPARENT, Trace};

/// What a function is.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// Its name: folder, crate, binary and resource.
    pub name: &'static str,
    /// Where it can be called over HTTP; none, where it cannot.
    pub doors: &'static [Door],
    /// Whether it is refused in production, before anything is read.
    pub production: InProduction,
}

/// Whether a function may run in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InProduction {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
}

/// A path that leads to a function.
#[derive(Debug, Clone, Copy)]
pub struct Door {
    /// In capitals.
    pub method: &'static str,
    /// The whole path.
    pub path: &'static str,
    /// Fields that the path itself says, beside those of the call.
    pub says: &'static [(&'static str, &'static str)],
}

/// HTTP APIs wait 30 s for their function; a run that came this way is over before.
const HTTP_DEADLINE: Duration = Duration::from_secs(25);

/// Lambda posts the answer after the handler has returned; an early exit leaves it the time.
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// What a function has at hand, opened when it is first needed.
pub struct Boot {
    /// The settings.
    pub config: Config,
    context: OnceCell<Context>,
}

impl Boot {
    /// With these settings, and nothing open yet.
    pub fn new(config: Config) -> Self {
        Self { config, context: OnceCell::new() }
    }

    /// What tasks work with; opened once, and again on the next call where that failed.
    ///
    /// # Errors
    /// A [`BootError`](super::BootError).
    pub async fn context(&self) -> anyhow::Result<&Context> {
        Ok(self.context.get_or_try_init(|| open_context(&self.config)).await?)
    }
}

/// Serves a function until its process ends. `task` gets each call that may come in, and gives the answer.
///
/// # Errors
/// Where this is no Lambda, or its runtime API does not answer.
pub async fn serve<A: Serialize>(
    function: &Function,
    task: impl AsyncFn(&Boot, Call) -> anyhow::Result<A>,
) -> anyhow::Result<()> {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        bail!(
            "{} is a Lambda function: start it with `cargo lambda watch`, or use the `relay` command line",
            function.name
        );
    }
    start_telemetry(Output::Stdout, "info");
    let boot = Boot::new(Config::from_env());
    let secrets = Secrets::read(&boot.config);
    let shutdown = CancellationToken::new();
    let working = Arc::new(Mutex::new(()));
    tokio::spawn(stop_on_sigterm(shutdown.clone(), Arc::clone(&working)));
    let handler = service_fn(async |event: LambdaEvent<Value>| {
        let _working = working.lock().await;
        let trace = trace(&event);
        let span = info_span!(
            "call", function = function.name, request.id = event.context.request_id, trace.id = %trace
        );
        let deadline = until(event.context.deadline);
        let answered = answer(function, &boot, &secrets, &task, event.payload, deadline, &shutdown);
        trace.scope(answered.instrument(span)).await
    });
    lambda_runtime::run(handler)
        .await
        .map_err(|error| anyhow::anyhow!(error))
        .context("the Lambda runtime API failed")
}

/// The trace that a call belongs to: what its caller says over HTTP, else what Lambda says; else it begins one.
fn trace(event: &LambdaEvent<Value>) -> Trace {
    let caller = HttpCall::from_event(&event.payload);
    let caller = caller.and_then(|call| Trace::from_traceparent(call.headers.get(TRACEPARENT)?));
    let lambda = || event.context.xray_trace_id.as_deref().and_then(Trace::from_xray);
    caller.or_else(lambda).unwrap_or_else(Trace::fresh)
}

/// A host that stops its containers by signal gets the run's end, and then the process's.
async fn stop_on_sigterm(shutdown: CancellationToken, working: Arc<Mutex<()>>) {
    let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        return;
    };
    signal.recv().await;
    shutdown.cancel();
    let _idle = working.lock().await;
    tokio::time::sleep(ANSWER_TIME).await;
    std::process::exit(0);
}

async fn answer<A: Serialize>(
    function: &Function,
    boot: &Boot,
    secrets: &Secrets,
    task: &impl AsyncFn(&Boot, Call) -> anyhow::Result<A>,
    event: Value,
    deadline: Duration,
    shutdown: &CancellationToken,
) -> Result<Value, Diagnostic> {
    let http = HttpCall::from_event(&event);
    let forbidden =
        function.production == InProduction::Refused && boot.config.app_env() == AppEnv::Production;
    let Some(http) = http else {
        let called = if forbidden {
            Err(CallError::Failed(forbidden_in_production(function)))
        } else {
            match event_fields(event) {
                Ok(fields) => call(boot, task, fields, deadline, shutdown).await,
                Err(bad) => Err(CallError::BadRequest(bad.to_string())),
            }
        };
        return called.map_err(|error| {
            error!(kind = error.kind(), error = error.message(), "the call failed");
            Diagnostic { error_type: error.kind().to_owned(), error_message: error.message().to_owned() }
        });
    };
    if forbidden {
        return Ok(HttpAnswer::error(403, forbidden_in_production(function)).into_event());
    }
    let answer = match enter(function, secrets, &http) {
        Ok(fields) => match call(boot, task, fields, deadline.min(HTTP_DEADLINE), shutdown).await {
            Ok(body) => HttpAnswer { status: 200, body },
            Err(error) => refuse(&error),
        },
        Err(answer) => answer,
    };
    Ok(answer.into_event())
}

fn forbidden_in_production(function: &Function) -> String {
    format!("{} is refused in production: use `relay credentials put`", function.name)
}

/// From the path to the fields, in the order in which a caller is turned away.
fn enter(function: &Function, secrets: &Secrets, http: &HttpCall) -> Result<Fields, HttpAnswer> {
    let at_path: Vec<&Door> = function.doors.iter().filter(|door| door.path == http.path).collect();
    if at_path.is_empty() {
        return Err(HttpAnswer::error(404, "no such path"));
    }
    let Some(door) = at_path.iter().find(|door| door.method == http.method) else {
        return Err(HttpAnswer::error(405, format!("the method must be {}", at_path[0].method)));
    };
    secrets.check(&http.headers).map_err(|turned_away| match turned_away {
        TurnedAway::NotConfigured => HttpAnswer::error(500, "CRON_SECRET not configured"),
        TurnedAway::Unauthorized => HttpAnswer::error(401, "Unauthorized"),
    })?;
    if http.body.len() > BODY_MAX {
        return Err(HttpAnswer::error(413, format!("the body must be at most {BODY_MAX} bytes")));
    }
    let mut fields = http.fields().map_err(|bad| HttpAnswer::error(400, bad.to_string()))?;
    for (name, value) in door.says {
        fields.say(name, value).map_err(|bad| HttpAnswer::error(400, bad.to_string()))?;
    }
    Ok(fields)
}

async fn call<A: Serialize>(
    boot: &Boot,
    task: &impl AsyncFn(&Boot, Call) -> anyhow::Result<A>,
    fields: Fields,
    deadline: Duration,
    shutdown: &CancellationToken,
) -> Result<Value, CallError> {
    let call = Call { fields, deadline: Deadline::after(deadline), shutdown: shutdown.clone() };
    let answered = match task(boot, call).await {
        Ok(answer) => serde_json::to_value(answer).context("the answer cannot be written as JSON"),
        Err(error) => Err(error),
    };
    answered.map_err(|error| CallError::new(&error))
}

fn refuse(error: &CallError) -> HttpAnswer {
    match error {
        CallError::BadRequest(told) => HttpAnswer::error(400, told),
        CallError::Unavailable { told, brief } => {
            error!(error = told, "the call failed");
            HttpAnswer::error(503, brief)
        }
        CallError::Failed(told) => {
            error!(error = told, "the call failed");
            HttpAnswer::error(500, "the call failed: see the log")
        }
    }
}
