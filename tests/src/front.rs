//! A function as its callers over HTTP see it, whichever way it is hosted; and signatures, made here and not by our own code.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use shared::providers::http::build_client;

use crate::binaries::binary;
use crate::lambda::{Invocation, LambdaProcess};
use crate::served::ServeProcess;

/// How long an answer is waited for.
const LIMIT: Duration = Duration::from_secs(40);

/// One way in.
#[derive(Debug)]
pub enum Front {
    /// The function's own binary; a body comes as it is, where it is text.
    Lambda(Box<LambdaProcess>),
    /// The same; bodies come in base64.
    LambdaInBase64(Box<LambdaProcess>),
    /// `relay serve`.
    Serve(Box<ServeProcess>),
}

/// What a caller is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The status code.
    pub status: u16,
    /// By their names in lower case.
    pub headers: HashMap<String, String>,
    /// The document: there always is one.
    pub body: Value,
}

impl Front {
    /// Every way to a function.
    pub async fn all(name: &str, environment: &[(&'static str, String)]) -> anyhow::Result<[Self; 3]> {
        let settings: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let start = || async { anyhow::Ok(Box::new(LambdaProcess::start(&binary(name)?, &settings).await?)) };
        Ok([
            Self::Lambda(start().await?),
            Self::LambdaInBase64(start().await?),
            Self::Serve(Box::new(ServeProcess::start(environment, &[]).await?)),
        ])
    }

    /// `relay serve` alone.
    pub async fn serve(environment: &[(&'static str, String)]) -> anyhow::Result<Self> {
        Ok(Self::Serve(Box::new(ServeProcess::start(environment, &[]).await?)))
    }

    /// One call. `path` may carry a query string.
    pub async fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> anyhow::Result<Told> {
        match self {
            Self::Lambda(process) => {
                let text = String::from_utf8(body.to_vec()).context("a body that is no text needs base64")?;
                invoke(process, event(method, path, headers, json!(text), false)).await
            }
            Self::LambdaInBase64(process) => {
                let text = base64::engine::general_purpose::STANDARD.encode(body);
                invoke(process, event(method, path, headers, json!(text), true)).await
            }
            Self::Serve(process) => {
                let url = format!("{}{path}", process.base_url());
                request(&url, method, headers, body).await
            }
        }
    }

    /// What the process logged so far, wherever it does.
    pub fn logged(&self) -> Vec<String> {
        match self {
            Self::Lambda(process) | Self::LambdaInBase64(process) => process.stdout(),
            Self::Serve(process) => process.stderr(),
        }
    }
}

/// One request over the network.
pub async fn request(
    url: &str,
    method: &str,
    headers: &[(&str, String)],
    body: &[u8],
) -> anyhow::Result<Told> {
    let mut request = build_client(LIMIT)?.request(Method::from_bytes(method.as_bytes())?, url);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let answer = request.body(body.to_vec()).send().await.context("send the request")?;
    let header = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        Ok((name.as_str().to_owned(), value.to_str()?.to_owned()))
    };
    let headers = answer.headers().iter().map(header).collect::<anyhow::Result<_>>()?;
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await.context("read the answer")?;
    let body = serde_json::from_slice(&bytes).with_context(|| format!("{status}: no JSON: {bytes:?}"))?;
    Ok(Told { status, headers, body })
}

/// In the shape of payload 2.0.
fn event(method: &str, path: &str, headers: &[(&str, String)], body: Value, encoded: bool) -> Value {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let headers: HashMap<_, _> = headers.iter().map(|(name, value)| (*name, value)).collect();
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": { "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1" } },
        "body": body,
        "isBase64Encoded": encoded,
    })
}

async fn invoke(process: &mut LambdaProcess, event: Value) -> anyhow::Result<Told> {
    let answer = match process.invoke(event, LIMIT).await? {
        Invocation::Answered(answer) => answer,
        other @ (Invocation::Failed(_) | Invocation::Died(_) | Invocation::InitFailed(_)) => {
            bail!("{other:?}; {:?}", process.stdout())
        }
    };
    let headers = answer["headers"].as_object().context("an answer has headers")?;
    let headers = headers
        .iter()
        .map(|(name, value)| Ok((name.clone(), value.as_str().context("a header is text")?.to_owned())));
    let body = answer["body"].as_str().context("an answer has a body")?;
    Ok(Told {
        status: u16::try_from(answer["statusCode"].as_u64().context("an answer has a status")?)?,
        headers: headers.collect::<anyhow::Result<_>>()?,
        body: serde_json::from_str(body).with_context(|| format!("no JSON: {body}"))?,
    })
}

/// The digest of a body at a time, in hexadecimal digits.
pub fn digest(key: &str, at: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The value of `x-relay-signature`.
pub fn signature(key: &str, at: i64, body: &[u8]) -> String {
    format!("t={at},v1={}", digest(key, at, body))
}
