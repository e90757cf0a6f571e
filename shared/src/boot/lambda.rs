//! A function on AWS Lambda: receives events, opens its door to those who may come in, answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info_span};

use super::call::{Call, CallError, event_fields, until};
use super::config::Config;
use super::entrance::{answer as answer_http, enter};
use super::function::{Boot, Callers, Function};
use super::http::HttpCall;
use super::telemetry::{Output, start_telemetry};
use crate::delivery::Deadline;
use crate::domain::{Twice, read_json};
use crate::engine::BadRequest;
use crate::providers::trace::Trace;

/// Lambda posts the answer after the handler has returned; an early exit leaves it the time.
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// Serves a function until its process ends.
///
/// # Errors
/// Where this is no Lambda, or its runtime API does not answer.
pub async fn serve(function: &Function) -> anyhow::Result<()> {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        bail!(
            "{} is a Lambda function: start it with `cargo lambda watch`, or use the `relay` command line",
            function.name
        );
    }
    start_telemetry(Output::Stdout, "info");
    let boot = Boot::new(Config::from_env());
    let shutdown = CancellationToken::new();
    let working = Arc::new(Mutex::new(()));
    tokio::spawn(stop_on_sigterm(shutdown.clone(), Arc::clone(&working)));
    // The event as it came: a parsed one could not tell any more which names stood twice.
    let handler = service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let _working = working.lock().await;
        let deadline = until(event.context.deadline);
        let came = Came::read(&event.payload);
        // The trace of whoever called over HTTP, else Lambda's own.
        let trace = came.http.as_ref().and_then(HttpCall::trace);
        let lambda = || Trace::from_xray(event.context.xray_trace_id.as_deref()?);
        let trace = trace.or_else(lambda).unwrap_or_else(Trace::fresh);
        let request = &event.context.request_id;
        let span = info_span!("call", function = function.name, request.id = request, trace.id = %trace);
        trace.scope(answer(function, &boot, came, deadline, &shutdown).instrument(span)).await
    });
    lambda_runtime::run(handler)
        .await
        .map_err(|error| anyhow::anyhow!(error))
        .context("the Lambda runtime API failed")
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

/// An event as it came.
struct Came {
    /// `None`: it cannot be read. That is no event without fields, which would mean everything.
    event: Option<Value>,
    /// Names that stood twice.
    twice: Vec<Twice>,
    /// The call, where it came over HTTP.
    http: Option<HttpCall>,
}

impl Came {
    fn read(event: &RawValue) -> Self {
        match read_json(event.get().as_bytes()) {
            Ok((event, twice)) => Self { http: HttpCall::from_event(&event), event: Some(event), twice },
            Err(_) => Self { event: None, twice: Vec::new(), http: None },
        }
    }
}

async fn answer(
    function: &Function,
    boot: &Boot,
    Came { event, twice, http }: Came,
    deadline: Duration,
    shutdown: &CancellationToken,
) -> Result<Value, Diagnostic> {
    if let Some(http) = http {
        let called = async move {
            match enter(&[function], boot, &http).await {
                Ok(entrance) => answer_http(entrance, boot, http, deadline, shutdown).await,
                Err(turned_away) => turned_away,
            }
        };
        let answer = match function.callers {
            Callers::WithSecret => boot.open_beside(called).await,
            Callers::OfItsOwnChoice | Callers::Anybody => called.await,
        };
        return Ok(answer.into_event());
    }
    let called = if function.is_forbidden(boot.config.app_env()) {
        Err(CallError::Failed(function.forbidden()))
    } else if let Some(twice) = twice.first() {
        Err(CallError::BadRequest(format!("{twice} is given twice")))
    } else if let Some(event) = event {
        invoke(function, boot, event, deadline, shutdown).await
    } else {
        Err(CallError::BadRequest("the event cannot be read as JSON".to_owned()))
    };
    called.map_err(|error| {
        error!(kind = error.kind(), error = error.message(), "the call failed");
        Diagnostic { error_type: error.kind().to_owned(), error_message: error.message().to_owned() }
    })
}

/// A direct invoke, or a schedule's.
async fn invoke(
    function: &Function,
    boot: &Boot,
    event: Value,
    deadline: Duration,
    shutdown: &CancellationToken,
) -> Result<Value, CallError> {
    let fields = event_fields(event).map_err(|BadRequest(told)| CallError::BadRequest(told))?;
    let deadline = Deadline::after(deadline);
    let call = Call { fields, http: None, deadline, shutdown: shutdown.clone() };
    let answered = (function.handler)(boot, call).await;
    answered.map(|answer| answer.body).map_err(|error| CallError::new(&error))
}
