//! moto, the stand-in for KMS and Secrets Manager: a process of this one, which ends with it, however that ends.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use shared::providers::http::build_client;

use crate::python::environment;

/// The region of everything.
pub const REGION: &str = "eu-central-1";

/// What signs requests; moto looks at none of it.
pub const ACCESS_KEY: &str = "AKIAFORTESTSANDNOTHING";
/// The same.
pub const SECRET_KEY: &str = "for-tests-and-for-nothing-else";

/// One answer. The first one of a service compiles what it is made of.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A running moto.
pub struct Moto {
    url: String,
    child: Child,
    // It ends when this closes.
    open: Option<ChildStdin>,
}

impl Moto {
    /// Starts it on a free port of 127.0.0.1. The Python environment that it needs is made below `target`, cargo's folder.
    ///
    /// # Errors
    /// Where there is no Python, or the packages cannot be had.
    pub fn start(target: &Path) -> anyhow::Result<Self> {
        let mut command =
            Command::new(environment(target, "aws", include_str!("moto/requirements.txt"))?.join("python"));
        // Isolated: the caller's PYTHONPATH and own packages are not what was pinned.
        command.args(["-I", "-c", include_str!("moto/serve.py")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("start moto")?;
        let open = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("read moto's port")?).read_line(&mut line)?;
        let port: u16 = line.trim().parse().context("moto did not start")?;
        Ok(Self { url: format!("http://127.0.0.1:{port}/"), child, open })
    }

    /// What `AWS_ENDPOINT_URL` says.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A new symmetric key: its ARN.
    ///
    /// # Errors
    /// Where moto refuses it, as with all that follow.
    pub async fn key(&self) -> anyhow::Result<String> {
        let wanted = json!({ "KeyUsage": "ENCRYPT_DECRYPT" });
        let made = self.call("kms", "TrentService.CreateKey", wanted).await?;
        Ok(made["KeyMetadata"]["Arn"].as_str().context("moto answers no ARN")?.to_owned())
    }

    /// A new secret: its ARN.
    ///
    /// # Errors
    /// As [`Moto::key`].
    pub async fn secret(&self, value: &str) -> anyhow::Result<String> {
        let name = uuid::Uuid::new_v4().to_string();
        let secret =
            json!({ "Name": name, "SecretString": value, "ClientRequestToken": uuid::Uuid::new_v4() });
        let made = self.call("secretsmanager", "secretsmanager.CreateSecret", secret).await?;
        Ok(made["ARN"].as_str().context("moto answers no ARN")?.to_owned())
    }

    /// Puts a new value in the place of a secret's, which becomes the one before.
    ///
    /// # Errors
    /// As [`Moto::key`].
    pub async fn rotate(&self, secret: &str, value: &str) -> anyhow::Result<()> {
        let new =
            json!({ "SecretId": secret, "SecretString": value, "ClientRequestToken": uuid::Uuid::new_v4() });
        self.call("secretsmanager", "secretsmanager.PutSecretValue", new).await.map(drop)
    }

    async fn call(&self, service: &str, target: &str, body: Value) -> anyhow::Result<Value> {
        let (status, answer) = self.ask(service, target, body).await?;
        ensure!(status == 200, "{target}: {answer}");
        Ok(answer)
    }

    /// Asks anything: status and document. It looks at the region and the service of a signature, and not at the signature.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn ask(&self, service: &str, target: &str, body: Value) -> anyhow::Result<(u16, Value)> {
        let credential = format!("{ACCESS_KEY}/20261122/{REGION}/{service}/aws4_request");
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0");
        let request = build_client(TIMEOUT)?.post(&self.url).header("x-amz-target", target);
        let request = request.header("authorization", authorization);
        let answer = request.header("content-type", "application/x-amz-json-1.1").body(body.to_string());
        let answer = answer.send().await.context("reach moto")?;
        Ok((answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await?)?))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Closing the pipe is the order to stop.
        drop(self.open.take());
        self.child.wait().ok();
    }
}
