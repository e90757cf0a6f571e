//! A stand-in for the Lambda Runtime API: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

/// The largest answer that Lambda takes from a function, in bytes, as measured by
/// <https://zaccharles.medium.com/deep-dive-lambdas-request-payload-size-limit-2-2-6350c1ae5577>, read 2026-11-22.
const ANSWER_MAX: usize = 6 * 1024 * 1024 + 100;

/// One invocation that waits to be fetched.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) id: Uuid,
    pub(super) deadline_ms: u128,
    pub(super) body: String,
}

/// What the process told the Runtime API.
#[derive(Debug)]
pub(super) enum Report {
    Response(Uuid, Value),
    Error(Uuid, Value),
    InitError(Value),
}

/// Lambda as the process sees it: events to fetch, and somewhere to report.
pub(super) struct RuntimeApi {
    waiting: Mutex<mpsc::UnboundedReceiver<Event>>,
    report: mpsc::UnboundedSender<Report>,
}

impl RuntimeApi {
    pub(super) fn new(
        waiting: mpsc::UnboundedReceiver<Event>,
        report: mpsc::UnboundedSender<Report>,
    ) -> Self {
        Self { waiting: Mutex::new(waiting), report }
    }

    /// Lambda answers 202 to every report; a test that has stopped listening changes nothing about that.
    fn take(&self, report: Report) -> StatusCode {
        self.report.send(report).ok();
        StatusCode::ACCEPTED
    }
}

type Api = State<Arc<RuntimeApi>>;

pub(super) fn routes(api: RuntimeApi) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .layer(DefaultBodyLimit::max(ANSWER_MAX))
        .with_state(Arc::new(api))
}

/// Holds the request until there is an event, as Lambda does.
async fn next(State(api): Api) -> Result<([(&'static str, String); 5], String), StatusCode> {
    let Event { id, deadline_ms, body } = api.waiting.lock().await.recv().await.ok_or(StatusCode::GONE)?;
    let arn = "arn:aws:lambda:eu-central-1:000000000000:function:function-under-test";
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", id.to_string()),
        ("lambda-runtime-deadline-ms", deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", arn.to_string()),
        ("lambda-runtime-trace-id", format!("Root=1-00000000-{:024x};Sampled=0", id.as_u128() >> 32)),
    ];
    Ok((headers, body))
}

async fn response(State(api): Api, Path(id): Path<Uuid>, body: String) -> StatusCode {
    api.take(Report::Response(id, read_body(body)))
}

async fn error(State(api): Api, Path(id): Path<Uuid>, body: String) -> StatusCode {
    api.take(Report::Error(id, read_body(body)))
}

async fn init_error(State(api): Api, body: String) -> StatusCode {
    api.take(Report::InitError(read_body(body)))
}

/// A body that is not JSON is a mistake of the function, which the test should get to see.
fn read_body(body: String) -> Value {
    serde_json::from_str(&body).unwrap_or(Value::String(body))
}
