//! AWS for tests: moto's KMS and Secrets Manager behind a front that counts calls, and answers itself where moto is wrong.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use relay_cli::moto::{ACCESS_KEY, Moto, REGION, SECRET_KEY};
use serde_json::{Value, json};
use shared::providers::http::build_client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::binaries::target_folder;

/// Unwraps a data key.
pub const DECRYPT: &str = "TrentService.Decrypt";
/// Makes one.
pub const GENERATE: &str = "TrentService.GenerateDataKey";
/// Reads a secret.
pub const READ_SECRET: &str = "secretsmanager.GetSecretValue";

/// Errors of KMS's and Secrets Manager's own, which are answered with 500.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html> and
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>, read 2026-11-22.
const INTERNAL: [&str; 4] =
    ["KMSInternalException", "DependencyTimeoutException", "KeyUnavailableException", "InternalServiceError"];

fn moto() -> anyhow::Result<&'static Moto> {
    static MOTO: LazyLock<Result<Moto, String>> = LazyLock::new(|| {
        target_folder().and_then(|target| Moto::start(&target)).map_err(|error| format!("{error:#}"))
    });
    MOTO.as_ref().map_err(|error| anyhow!(error.clone()))
}

/// AWS as one test sees it.
pub struct Aws {
    front: Arc<Front>,
    server: JoinHandle<()>,
}

struct Front {
    url: String,
    moto: String,
    client: reqwest::Client,
    told: Mutex<Told>,
    gathering: watch::Sender<Gathering>,
}

#[derive(Default)]
struct Told {
    calls: HashMap<String, usize>,
    refusals: HashMap<String, Refusal>,
    /// So many calls of this have to be under way before one of them is answered.
    together: Option<(String, usize)>,
}

/// An error in the place of moto's answer.
struct Refusal {
    code: String,
    /// How often; `None`: until it is mended.
    times: Option<usize>,
}

impl Aws {
    /// A front of its own.
    pub async fn start() -> anyhow::Result<Self> {
        let moto = tokio::task::spawn_blocking(moto).await.context("start moto")??.url().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen on loopback")?;
        let url = format!("http://{}", listener.local_addr()?);
        let client = build_client(Duration::from_secs(60))?;
        let front = Arc::new(Front {
            url,
            moto,
            client,
            told: Mutex::default(),
            gathering: watch::Sender::default(),
        });
        let routes = Router::new().fallback(pass).with_state(Arc::clone(&front));
        let server = tokio::spawn(async move {
            // It ends with the test.
            axum::serve(listener, routes).await.ok();
        });
        Ok(Self { front, server })
    }

    /// What a process needs to reach it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.front.url.clone()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }

    /// How often this was called.
    pub fn calls(&self, target: &str) -> usize {
        self.front.told().calls.get(target).copied().unwrap_or(0)
    }

    /// Answers this error from now on.
    pub fn refuse(&self, target: &str, code: &str) {
        self.put_refusal(target, code, None);
    }

    /// Answers this error so many times.
    pub fn refuse_times(&self, target: &str, code: &str, times: usize) {
        self.put_refusal(target, code, Some(times));
    }

    /// Answers no call of this before so many are under way: what is asked for one after the other is never answered.
    pub fn answer_together(&self, target: &str, calls: usize) {
        self.front.told().together = Some((target.to_owned(), calls));
    }

    /// Answers as moto does again.
    pub fn mend(&self) {
        let mut told = self.front.told();
        told.refusals.clear();
        told.together = None;
    }

    fn put_refusal(&self, target: &str, code: &str, times: Option<usize>) {
        let refusal = Refusal { code: code.to_owned(), times };
        self.front.told().refusals.insert(target.to_owned(), refusal);
    }

    /// A new symmetric key: its ARN.
    pub async fn key(&self) -> anyhow::Result<String> {
        moto()?.key().await
    }

    /// A new secret: its ARN.
    pub async fn secret(&self, value: &str) -> anyhow::Result<String> {
        moto()?.secret(value).await
    }

    /// Puts a new value in the place of a secret's, which becomes the one before.
    pub async fn rotate(&self, secret: &str, value: &str) -> anyhow::Result<()> {
        moto()?.rotate(secret, value).await
    }

    /// The plaintext of a wrapped key under this encryption context, or the error's code.
    pub async fn decrypt(&self, wrapped: &[u8], context: Value) -> anyhow::Result<Result<Vec<u8>, String>> {
        let asked = json!({ "CiphertextBlob": STANDARD.encode(wrapped), "EncryptionContext": context });
        let (status, answer) = moto()?.ask("kms", DECRYPT, asked).await?;
        Ok(match status {
            200 => Ok(STANDARD.decode(answer["Plaintext"].as_str().unwrap_or_default())?),
            _ => Err(answer["__type"].as_str().unwrap_or_default().to_owned()),
        })
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Front {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait_for_others(&self, target: &str) {
        let together = self.told().together.clone().filter(|(waited_for, _)| waited_for == target);
        let Some((_, calls)) = together else { return };
        self.gathering.send_modify(|gathering| {
            gathering.under_way += 1;
            gathering.is_complete |= gathering.under_way >= calls;
        });
        let _under_way = UnderWay(&self.gathering);
        // The sender is ours, so there is no end to wait for.
        self.gathering.subscribe().wait_for(|gathering| gathering.is_complete).await.ok();
    }

    /// Counts a call, and says with which error to answer it.
    fn count(&self, target: &str) -> Option<String> {
        let mut told = self.told();
        *told.calls.entry(target.to_owned()).or_default() += 1;
        let refusal = told.refusals.get_mut(target)?;
        match &mut refusal.times {
            None => Some(refusal.code.clone()),
            Some(0) => None,
            Some(times) => {
                *times -= 1;
                Some(refusal.code.clone())
            }
        }
    }
}

/// Calls that are answered once there are enough of them at the same time.
#[derive(Default)]
struct Gathering {
    under_way: usize,
    is_complete: bool,
}

/// A call that is under way; whoever hangs up is not any more.
struct UnderWay<'a>(&'a watch::Sender<Gathering>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|gathering| gathering.under_way -= 1);
    }
}

async fn pass(State(front): State<Arc<Front>>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let target = header("x-amz-target").to_owned();
    if let Some(code) = front.count(&target) {
        let told = json!({ "__type": code, "message": "as the test wants it" });
        let status = match INTERNAL.contains(&code.as_str()) {
            true => StatusCode::INTERNAL_SERVER_ERROR,
            false => StatusCode::BAD_REQUEST,
        };
        return (status, told.to_string()).into_response();
    }
    front.wait_for_others(&target).await;
    let mut request = front.client.post(&front.moto);
    for name in ["x-amz-target", "authorization", "content-type", "x-amz-date"] {
        request = request.header(name, header(name));
    }
    let answered = async {
        let answer = request.body(body).send().await?;
        Ok::<_, reqwest::Error>((answer.status(), answer.bytes().await?))
    };
    match answered.await {
        Ok((status, body)) => (status, body).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
