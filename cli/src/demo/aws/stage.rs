//! What the demo of AWS plays on: moto with a key and secrets, the stand-in for Google, and the functions with their settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use shared::boot::functions;
use tokio::process::Command;

use super::checkout::Checkout;
use super::lambda::{Lambda, Settings};
use crate::moto::{ACCESS_KEY, Moto, REGION, SECRET_KEY};
use crate::postgres::ThrowawayPostgres;
use crate::sandbox::{self, Sandbox};

/// The login of the functions.
pub(super) const SERVICE: &str = "relay_service";
const OWNER: &str = "postgres";

/// What the events of HTTP show.
const CRON_SECRET: &str = "cron-secret-for-local-use";
const INTERNAL_SECRET: &str = "internal-secret-for-local-use";

/// How long the stand-in makes up its mind about what it took; Google takes half an hour.
pub(super) const PROCESSING: Duration = Duration::from_millis(300);

/// Everything that is there.
pub(super) struct Stage<'a> {
    checkout: &'a Checkout,
    server: &'a ThrowawayPostgres,
    pub(super) lambda: Lambda,
    /// A runner whose key is another than the one that sealed, behind a stand-in of its own: a function has one name.
    pub(super) denied: Lambda,
    pub(super) sandbox: Sandbox,
    moto: Moto,
    /// The ARN of the login's secret.
    login: String,
    settings: Settings,
}

impl<'a> Stage<'a> {
    /// Starts everything; the functions but `migrate` come later, when their login is there.
    pub(super) async fn set(checkout: &'a Checkout, server: &'a ThrowawayPostgres) -> anyhow::Result<Self> {
        server.rotate_password(OWNER, "owner-1").await?;
        server.demand_passwords().await?;
        let target = checkout.target.clone();
        let moto =
            tokio::task::spawn_blocking(move || Moto::start(&target)).await.context("start moto")??;
        let options = sandbox::Options { processing: PROCESSING, ..sandbox::Options::default() };
        let sandbox = sandbox::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), options).await?;
        let login = moto.secret(&secret(server, SERVICE, "service-1")?).await?;
        let owner = moto.secret(&secret(server, OWNER, "owner-1")?).await?;
        let settings = Settings::from([
            ("APP_ENV", "development".to_owned()),
            ("DATABASE_SECRET_ID", login.clone()),
            ("KMS_KEY_ID", moto.key().await?),
            ("CRON_SECRET_ID", moto.secret(CRON_SECRET).await?),
            ("INTERNAL_SECRET_ID", moto.secret(INTERNAL_SECRET).await?),
            ("AWS_ENDPOINT_URL", moto.url().to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("GOOGLE_ADS_BASE_URL", sandbox.base_url()),
            ("GOOGLE_DATA_MANAGER_BASE_URL", sandbox.base_url()),
            ("GOOGLE_OAUTH_TOKEN_URL", format!("{}/token", sandbox.base_url())),
        ]);
        let mut lambda = Lambda::start(checkout, server.socket_dir())?;
        let denied = Lambda::start(checkout, server.socket_dir())?;
        let mut owners = settings.clone();
        owners.insert("DATABASE_SECRET_ID", owner);
        lambda.add("migrate", &checkout.program("migrate"), &owners)?;
        Ok(Self { checkout, server, lambda, denied, sandbox, moto, login, settings })
    }

    /// Starts the other functions; the schema is there, and their login with it.
    pub(super) async fn open(&mut self) -> anyhow::Result<()> {
        self.server.rotate_password(SERVICE, "service-1").await?;
        for function in functions::ALL.iter().filter(|function| function.name != "migrate") {
            self.lambda.add(function.name, &self.checkout.program(function.name), &self.settings)?;
        }
        let mut denied = self.settings.clone();
        denied.insert("KMS_KEY_ID", self.moto.key().await?);
        self.denied.add("runner", &self.checkout.program("runner"), &denied)
    }

    /// As RDS does it: the new password first in the database, where it ends all connections, then in the secret.
    pub(super) async fn rotate_login(&self) -> anyhow::Result<()> {
        self.server.rotate_password(SERVICE, "service-2").await?;
        self.moto.rotate(&self.login, &secret(self.server, SERVICE, "service-2")?).await
    }

    /// Invokes a function, which has to answer.
    pub(super) async fn ask(&self, function: &str, event: &Value) -> anyhow::Result<Value> {
        ask(&self.lambda, function, event).await
    }

    /// Runs the `relay` command line with the functions' settings: its exit code and its document.
    pub(super) async fn relay(&self, arguments: &[&str]) -> anyhow::Result<(Option<i32>, Value)> {
        let mut command = Command::new(self.checkout.program("relay"));
        command.args(arguments).arg("--json").envs(&self.settings).stdin(Stdio::null()).kill_on_drop(true);
        let Output { status, stdout, stderr } = command.output().await.context("run relay")?;
        let said = if stdout.is_empty() { stderr } else { stdout };
        let document = serde_json::from_slice(&said)
            .with_context(|| format!("relay said: {}", String::from_utf8_lossy(&said)))?;
        Ok((status.code(), document))
    }
}

/// Invokes a function, which has to answer.
pub(super) async fn ask(lambda: &Lambda, function: &str, event: &Value) -> anyhow::Result<Value> {
    let (status, answer) = lambda.invoke(function, &event.to_string()).await?;
    ensure!(status == 200, "{function} answered {status}: {answer}");
    Ok(answer)
}

/// A secret as RDS writes it.
fn secret(server: &ThrowawayPostgres, role: &str, password: &str) -> anyhow::Result<String> {
    let port = server.port().context("the server was started with TCP")?;
    Ok(json!({
        "engine": "postgres", "host": "127.0.0.1", "port": port, "dbname": "postgres",
        "username": role, "password": password,
    })
    .to_string())
}
