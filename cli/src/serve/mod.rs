//! All functions that speak HTTP on one local port: the same table, the same doors and the same code as on Lambda.
//!
//! A call is spawned, so that a caller that goes away ends its own wait and not the work. Everything is bounded: connections,
//! calls in flight (more are answered 429), the time that a head and a body may take to arrive, and the body, of which no more
//! is ever kept than a function takes. Bodies that are on their way take no place from calls whose bodies are there.

mod body;
mod line;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use shared::boot::{self, Boot, Callers, Function, HttpAnswer, HttpCall};
use shared::providers::trace::Trace;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error, info, info_span, warn};
use uuid::Uuid;

use body::Refused;
use line::Line;

/// What the doors take and answer, for clients and for whoever tests them.
pub const OPENAPI: &str = include_str!("../../../docs/openapi.json");

/// Where that document is served.
const OPENAPI_PATH: &str = "/openapi.json";

/// Time for a request's head to arrive, and for the next one on a connection that stays open.
const HEAD_TIME: Duration = Duration::from_secs(15);

/// The same for its body.
const BODY_TIME: Duration = Duration::from_secs(15);

/// Connections at a time. More wait for their turn in the system's queue.
const CONNECTIONS_MAX: usize = 1_024;

/// What is in flight at the end has so long to come to its own.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// After a failed accept: it is most often that there are no file descriptors left, and some will be back.
const ACCEPT_WAIT: Duration = Duration::from_millis(100);

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every call had its answer.
    Clean,
    /// Calls were cut off: their work lapses, or was done and not told.
    CutOff,
}

/// What every connection works with.
struct Host {
    functions: &'static [&'static Function],
    boot: Boot,
    calls: Arc<Semaphore>,
    stop: CancellationToken,
}

/// Listens on an address; port 0 takes any free one.
///
/// # Errors
/// The system's.
pub async fn listen(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr().context("the listener has no address")?;
    Ok((listener, address))
}

/// Serves these functions until `stop`, `calls_max` calls at a time; then what is in flight is seen to its end, for ten seconds.
pub async fn serve(
    listener: TcpListener,
    functions: &'static [&'static Function],
    boot: Boot,
    calls_max: usize,
    stop: CancellationToken,
) -> Ended {
    let calls = Arc::new(Semaphore::new(calls_max));
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let host = Arc::new(Host { functions, boot, calls: Arc::clone(&calls), stop: stop.clone() });
    let graceful = GracefulShutdown::new();
    while let Some((stream, place)) = accept(&listener, &connections, &stop).await {
        // A small answer must not wait for the peer's acknowledgement; a connection without the option still works.
        let _ = stream.set_nodelay(true);
        let host = Arc::clone(&host);
        let service = service_fn(move |request| respond(Arc::clone(&host), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            // What is no HTTP is answered in one piece, which the line knows when it sees it.
            .writev(false)
            .serve_connection(TokioIo::new(Line::new(stream)), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                debug!("a connection ended early: {error}");
            }
        });
    }
    drop(listener);
    let all = u32::try_from(calls_max).unwrap_or(u32::MAX);
    let ended = async {
        graceful.shutdown().await;
        // Calls whose callers went away.
        let _ = calls.acquire_many(all).await;
    };
    match tokio::time::timeout(GRACE, ended).await {
        Ok(()) => Ended::Clean,
        Err(_) => Ended::CutOff,
    }
}

/// The next connection, and its place among them; nothing once it is time to stop.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let next = async {
        let place = Arc::clone(connections).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, place)),
                Err(error) => {
                    warn!("a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_WAIT).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => None,
        next = next => next,
    }
}

async fn respond(host: Arc<Host>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    if head.method == "GET" && head.uri.path() == OPENAPI_PATH {
        return Ok(document(StatusCode::OK, Bytes::from_static(OPENAPI.as_bytes())));
    }
    Ok(response(answer(host, call_of(&head), body).await))
}

/// The head of a request as functions see it. A header that came twice is one with a comma between, as API Gateway has it.
fn call_of(head: &hyper::http::request::Parts) -> HttpCall {
    let mut call = HttpCall {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        ..HttpCall::default()
    };
    for (name, value) in &head.headers {
        let Ok(value) = value.to_str() else { continue };
        call.headers
            .entry(name.as_str().to_owned())
            .and_modify(|known| *known = format!("{known},{value}"))
            .or_insert_with(|| value.to_owned());
    }
    call
}

/// In the order in which callers are turned away: first by what the head says, then by the body, then because there are too
/// many.
async fn answer(host: Arc<Host>, mut call: HttpCall, body: Incoming) -> HttpAnswer {
    let entrance = match boot::enter(host.functions, &host.boot, &call).await {
        Ok(entrance) => entrance,
        Err(answer) => return turn_away(answer, body).await,
    };
    // First the body: whoever is slow to send one must not keep out those who have sent theirs.
    let body = async {
        match entrance.function.callers {
            // Such a function reads none, and its calls are not counted: so none is kept.
            Callers::Anybody => {
                body::pass_over(body).await;
                Ok(Vec::new())
            }
            Callers::WithSecret | Callers::OfItsOwnChoice => body::read(body).await,
        }
    };
    match tokio::time::timeout(BODY_TIME, body).await {
        Ok(Ok(body)) => call.body = body,
        Ok(Err(Refused::TooLarge)) => return HttpAnswer::too_large(),
        Ok(Err(Refused::Broken)) => return HttpAnswer::error(400, "the body cannot be read"),
        Err(_) => return HttpAnswer::error(408, "the body did not arrive in time"),
    }
    // What anybody may ask costs next to nothing, and is asked most when all else is slow.
    let place = match entrance.function.callers {
        Callers::Anybody => None,
        Callers::WithSecret | Callers::OfItsOwnChoice => match Arc::clone(&host.calls).try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => {
                let answer = HttpAnswer::error(429, "too many calls are in flight: try again");
                return answer.header("retry-after", "1");
            }
        },
    };
    let (function, started) = (entrance.function.name, Instant::now());
    let trace = call.trace().unwrap_or_else(Trace::fresh);
    let work = async move {
        let _place = place;
        trace.scope(boot::answer(entrance, &host.boot, call, Duration::MAX, &host.stop)).await
    };
    let span = info_span!("call", function, request.id = %Uuid::new_v4(), trace.id = %trace);
    let answer = match tokio::spawn(work.instrument(span)).await {
        Ok(answer) => answer,
        Err(error) => {
            error!(function, "the call failed: {error}");
            HttpAnswer::error(500, "the call failed: see the log")
        }
    };
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match entrance.function.callers {
        Callers::Anybody => debug!(function, http.status = answer.status, duration_ms, "answered"),
        Callers::WithSecret | Callers::OfItsOwnChoice => {
            info!(function, http.status = answer.status, duration_ms, "answered");
        }
    }
    answer
}

/// Lets go of a body first: a peer that is still sending when its connection is closed may never see the answer.
async fn turn_away(answer: HttpAnswer, body: Incoming) -> HttpAnswer {
    let _ = tokio::time::timeout(BODY_TIME, body::pass_over(body)).await;
    answer
}

fn response(answer: HttpAnswer) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = document(status, Bytes::from(answer.body.to_string()));
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn document(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
