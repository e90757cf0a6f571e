//! What the demo plays on: a database of its own, migrated, and the stand-in for Google.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use shared::boot::{Config, Migrated, migrate, new_vault_key, open_context};
use shared::engine::Context;

use crate::postgres::ThrowawayPostgres;
use crate::sandbox::{self, Sandbox};

/// Timeout of a request: short, because the lease of a claim is twice this and 15 s, and the demo waits for one.
pub(super) const HTTP_TIMEOUT: Duration = Duration::from_secs(2);

/// What each answer of the stand-in takes: about what a platform's front end in the same region takes at best.
pub(super) const LATENCY: Duration = Duration::from_millis(25);

/// How long the stand-in makes up its mind about what it took; Google takes half an hour.
pub(super) const PROCESSING: Duration = Duration::from_millis(300);

/// The database that every new server has.
const DATABASE: &str = "postgres";

/// Everything that is there when the curtain rises.
pub(super) struct Stage {
    pub(super) sandbox: Sandbox,
    pub(super) context: Context,
    settings: Settings,
}

type Settings = HashMap<&'static str, String>;

/// Brings the schema up, as its owner.
pub(super) async fn prepare(server: &ThrowawayPostgres) -> anyhow::Result<Migrated> {
    let admin =
        HashMap::from([("APP_ENV", "development".to_owned()), ("DATABASE_URL", server.url(DATABASE))]);
    migrate(&config(&admin)).await
}

impl Stage {
    /// Starts the stand-in, and opens what tasks work with, as the login that may call functions and nothing else.
    pub(super) async fn set(server: &ThrowawayPostgres) -> anyhow::Result<Self> {
        let options =
            sandbox::Options { latency: LATENCY, processing: PROCESSING, ..sandbox::Options::default() };
        let sandbox = sandbox::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), options).await?;
        let vault_key = new_vault_key().context("make a vault key")?;
        let settings = HashMap::from([
            ("APP_ENV", "development".to_owned()),
            ("DATABASE_URL", server.url_as("relay_service", DATABASE)),
            ("VAULT_KEY", vault_key.expose().to_owned()),
            ("PROVIDER_HTTP_TIMEOUT_MS", HTTP_TIMEOUT.as_millis().to_string()),
            ("GOOGLE_ADS_BASE_URL", sandbox.base_url()),
            ("GOOGLE_DATA_MANAGER_BASE_URL", sandbox.base_url()),
            ("GOOGLE_OAUTH_TOKEN_URL", format!("{}/token", sandbox.base_url())),
        ]);
        let context = open_context(&config(&settings)).await?;
        Ok(Self { sandbox, context, settings })
    }

    /// The environment of a program that is to work on this stage.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// Settings from a list: this process's environment stays as it is.
fn config(settings: &Settings) -> Config {
    let settings = settings.clone();
    Config::new(move |name| settings.get(name).cloned())
}
