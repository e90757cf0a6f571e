//! What our side plays on: a migrated database, sites with credentials, conversions, and settings for a worker.

use std::collections::HashMap;
use std::env;

use anyhow::{Context as _, ensure};
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};
use shared::boot::{Config, migrate, open_context};
use shared::delivery::ItemAnswer;
use shared::domain::{ConversionInput, ProviderKey, Secret, SiteId};
use shared::engine::Context;
use tokio::process::Command;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::server::{Server, connect};
use crate::worker::Worker;

/// 32 bytes in base64: a key for benchmarks, and for nothing else.
const VAULT_KEY: &str = "YmVuY2gtb25seS1iZW5jaC1vbmx5LWJlbmNoLW9ubHk=";

/// Conversions that go in at once; the door takes 10,000 at most.
const ENQUEUE_BATCH: usize = 2_000;

/// A day in seconds: occurrences are spread over one.
const DAY: usize = 86_400;

/// A migrated database and what goes with it.
pub(crate) struct Stage {
    pub(crate) context: Context,
    /// The superuser's connection.
    pub(crate) sql: Client,
    settings: HashMap<&'static str, String>,
}

impl Stage {
    /// Sets it in a new database. `provider_url` is the loopback provider's, or any where nothing is sent.
    pub(crate) async fn set(server: &Server, database: &str, provider_url: &str) -> anyhow::Result<Self> {
        server.create_database(database).await?;
        let admin = server.url("postgres", database)?;
        let settings = HashMap::from([
            ("APP_ENV", "development".to_owned()),
            ("DATABASE_URL", server.url("relay_service", database)?),
            ("VAULT_KEY", VAULT_KEY.to_owned()),
            ("GOOGLE_ADS_BASE_URL", provider_url.to_owned()),
            ("GOOGLE_DATA_MANAGER_BASE_URL", provider_url.to_owned()),
            ("GOOGLE_OAUTH_TOKEN_URL", format!("{provider_url}/token")),
        ]);
        let owner = settings.clone().into_iter().chain([("DATABASE_URL", admin.clone())]).collect();
        migrate(&config(owner)).await.context("migrate")?;
        let sql = connect(&admin).await?;
        server.propose(&sql).await?;
        let context = open_context(&config(settings.clone())).await.context("open the stage")?;
        Ok(Self { context, sql, settings })
    }

    /// Sites with credentials; `quota_keys` OAuth clients share them.
    pub(crate) async fn put_sites(&self, count: usize, quota_keys: usize) -> anyhow::Result<Vec<SiteId>> {
        let mut sites = Vec::with_capacity(count);
        for number in 0..count {
            let site = SiteId(Uuid::new_v4());
            let client = format!("bench-client-{}", number % quota_keys);
            let customer = 1_000_000_000 + number;
            let credentials = json!({
                "customer_id": customer.to_string(),
                "client_id": client,
                "client_secret": "bench-secret",
                "refresh_token": "bench-refresh-token",
                "conversion_action_resource_name": format!("customers/{customer}/conversionActions/987"),
                "transport": "ads_api",
            });
            let secret = Secret::new(credentials.to_string());
            self.context.access.put_credentials(site, ProviderKey::GoogleAds, &secret).await?;
            sites.push(site);
        }
        Ok(sites)
    }

    /// Takes conversions in, over the sites in turns.
    pub(crate) async fn enqueue(&self, sites: &[SiteId], from: usize, to: usize) -> anyhow::Result<()> {
        let producer = self.context.producer();
        let now = Timestamp::now();
        for first in (from..to).step_by(ENQUEUE_BATCH) {
            let numbers = first..(first + ENQUEUE_BATCH).min(to);
            let items = numbers.map(|number| parse_input(sites[number % sites.len()], number, now)).collect();
            let answers = producer.enqueue(items, now).await?;
            let refused = answers.iter().find(|answer| !matches!(answer, ItemAnswer::Taken { .. }));
            ensure!(refused.is_none(), "not taken in: {refused:?}");
        }
        Ok(())
    }

    /// The environment of a program that is to work on this stage.
    pub(crate) fn settings(&self) -> &HashMap<&'static str, String> {
        &self.settings
    }

    /// A child process of this program for a part of it.
    pub(crate) async fn child(&self, arguments: &[&str]) -> anyhow::Result<Worker> {
        child(arguments, &self.settings).await
    }

    /// Fails where the books do not balance: a fast wrong answer is none.
    pub(crate) async fn check_accounts(&self) -> anyhow::Result<()> {
        let faults = self.context.store.audit_conversions().await?;
        ensure!(faults.is_empty(), "the audit found {} faults, such as {:?}", faults.len(), faults.first());
        Ok(())
    }
}

/// A child process of this program.
pub(crate) async fn child(arguments: &[&str], settings: &HashMap<&str, String>) -> anyhow::Result<Worker> {
    let mut command = Command::new(env::current_exe().context("find this program")?);
    command.args(arguments).envs(settings);
    Worker::start(command).await
}

/// One conversion as a client sends it, read.
pub(crate) fn parse_input(
    site: SiteId,
    number: usize,
    now: Timestamp,
) -> Result<ConversionInput, Vec<shared::domain::FieldError>> {
    ConversionInput::parse(&input(site, number, now))
}

/// About 300 bytes as they are kept: a click id and an address.
pub(crate) fn input(site: SiteId, number: usize, now: Timestamp) -> Value {
    let second = i64::try_from(number % DAY).unwrap_or(0);
    json!({
        "site_id": site.to_string(),
        "provider_key": "google_ads",
        "external_id": format!("sale-{number}"),
        "kind": "conversion",
        "occurred_at": (now - 48.hours() + second.seconds()).to_string(),
        "value": "12.50",
        "currency": "EUR",
        "click_ids": { "gclid": format!("Cj0KCQiA-bench-click-id-of-the-usual-length-of-about-ninety-characters-{number:09}-wcB") },
        "user": { "email": format!("person{number}@example.com") },
    })
}

fn config(settings: HashMap<&'static str, String>) -> Config {
    Config::new(move |name| settings.get(name).cloned())
}
