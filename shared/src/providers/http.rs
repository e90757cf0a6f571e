//! The HTTP client that every adapter sends with, and what can go wrong on the way to an answer.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::HeaderMap;
use rustls_platform_verifier::BuilderVerifierExt;
use zeroize::Zeroizing;

use super::trace::{TRACEPARENT, Trace};

/// Time for name lookup, TCP and TLS together. Ours: a platform that takes longer than this is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest answer that is read, unpacked. Ours: 2,000 rows with an error each are about 1 MiB at Google, and a
/// gzip bomb must not fill a function's memory.
pub const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// Who we are, for a platform's own logs.
const USER_AGENT: &str = concat!("conversion-relay/", env!("CARGO_PKG_VERSION"));

/// The client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The machine's root certificates cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// Anything else.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
}

/// An answer as it came, before anyone judged it.
pub struct RawAnswer {
    /// HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, unpacked; wiped when dropped, as it may hold a token.
    pub body: Zeroizing<Vec<u8>>,
}

impl RawAnswer {
    /// A header's text, where there is one that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// There is no whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request could not be formed: an address or a header is wrong.
    BadRequest,
    /// No connection came about, so nothing was sent.
    NotConnected,
    /// The whole timeout passed after the connection stood.
    TimedOut,
    /// The connection broke after something may have been sent.
    Broken,
    /// The answer is larger than [`MAX_ANSWER_BYTES`].
    TooLarge,
}

impl Fault {
    /// Its code in ledger and outcomes.
    pub fn code(self) -> &'static str {
        match self {
            Fault::BadRequest => "BAD_ADDRESS",
            Fault::NotConnected => "CONNECT_FAILED",
            Fault::TimedOut => "TIMEOUT",
            Fault::Broken => "CONNECTION_LOST",
            Fault::TooLarge => "ANSWER_TOO_LARGE",
        }
    }
}

/// Builds a client. `timeout` covers a request from its first byte to the answer's last. Redirects
/// are not followed: a platform's API has none, and a followed one would hand the token to somebody else. Uses the
/// process's TLS provider, or ring where none was installed.
pub fn build_client(timeout: Duration) -> Result<reqwest::Client, ClientError> {
    let tls = tls()?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
        .gzip(true)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(USER_AGENT)
        .build()?;
    Ok(client)
}

/// The process's one set of root certificates: reading it takes longer than all else that a cold start does by itself.
fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    static TLS: OnceLock<rustls::ClientConfig> = OnceLock::new();
    if let Some(tls) = TLS.get() {
        return Ok(tls.clone());
    }
    let provider = rustls::crypto::CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TLS.get_or_init(|| tls).clone())
}

/// Sends one request, with the trace that it belongs to, and reads its answer to the end.
pub async fn exchange(request: reqwest::RequestBuilder) -> Result<RawAnswer, Fault> {
    let request = match Trace::current() {
        Some(trace) => request.header(TRACEPARENT, trace.traceparent()),
        None => request,
    };
    let mut response = request.send().await.map_err(|error| fault_of(&error))?;
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| fault_of(&error))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Fault::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(RawAnswer { status, headers, body })
}

/// Sorts an error by the one thing that matters: whether the platform can have seen the request.
fn fault_of(error: &reqwest::Error) -> Fault {
    if error.is_builder() {
        Fault::BadRequest
    } else if error.is_connect() {
        // Before the timeout's question: a timeout while connecting sent nothing either.
        Fault::NotConnected
    } else if error.is_timeout() {
        Fault::TimedOut
    } else {
        Fault::Broken
    }
}
