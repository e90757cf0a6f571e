//! Seeding: stores a site's provider credentials, sealed. Where it is forbidden is decided before this is called.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};
use tracing::info;

use crate::delivery::AccessError;
use crate::domain::{KeyVersion, ProviderKey, Secret, SiteId};
use crate::engine::{
    self, BadRequest, Bounds, Context, Descriptor, Fields, Ran, Reply, Running, Schedule, Scope,
};
use crate::engine::{Tally, Task, TaskKey, Trigger, Turns, Work};

const DESCRIPTOR: Descriptor = Descriptor {
    key: TaskKey::new("seed"),
    turns: Turns::Concurrent,
    schedule: Schedule::OnRequest,
    lease: Duration::from_secs(60),
    provider: None,
    scope: Scope::BySite,
};

const FIELDS: [&str; 3] = ["site_id", "provider_key", "credentials"];

/// A site's credentials.
#[derive(Debug)]
pub struct Request {
    /// Whose.
    pub site: SiteId,
    /// At which provider.
    pub provider: ProviderKey,
    /// One JSON object, as the provider's adapter reads it.
    pub credentials: Secret,
}

impl Request {
    /// Reads exactly `{"site_id","provider_key","credentials":{…}}`.
    ///
    /// # Errors
    /// Names the field that is wrong and what would be right, never a value.
    pub fn parse(mut fields: Fields) -> Result<Self, BadRequest> {
        let site = fields.parsed("site_id")?.ok_or_else(|| missing("site_id"))?;
        let provider = fields.parsed("provider_key")?.ok_or_else(|| missing("provider_key"))?;
        let credentials = match fields.take("credentials") {
            Some(credentials @ Value::Object(_)) => Secret::new(credentials.to_string()),
            Some(_) => return Err(BadRequest("credentials must be an object".to_owned())),
            None => return Err(missing("credentials")),
        };
        fields.finish(&FIELDS)?;
        Ok(Self { site, provider, credentials })
    }
}

fn missing(name: &str) -> BadRequest {
    BadRequest(format!("{name} is missing: the fields are {}", FIELDS.join(", ")))
}

/// What was stored; never a value.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// Always true.
    pub ok: bool,
    /// Whose.
    pub site_id: SiteId,
    /// At which provider.
    pub provider_key: ProviderKey,
    /// The data key that sealed them.
    pub key_version: KeyVersion,
}

/// Seeding as the registry holds it: never by itself.
pub fn task() -> Task {
    Task::new(DESCRIPTOR, Map::new(), |context, fields, bounds| {
        Box::pin(async move { run(context, &Request::parse(fields)?, bounds).await?.to_json() })
    })
}

/// Checks, seals and stores credentials, and lifts the holds that waited for them.
///
/// # Errors
/// [`BadRequest`] inside where a field of the credentials is wrong; else the vault's or the database's.
pub async fn run(context: &Context, request: &Request, bounds: Bounds) -> anyhow::Result<Reply<Answer>> {
    let narrowed = json!({ "site_id": request.site, "provider_key": request.provider });
    let mut work = Seeding { request, key_version: None };
    let ran = engine::run(context, &DESCRIPTOR, Trigger::default(), &narrowed, bounds, &mut work).await?;
    let (site_id, provider_key) = (request.site, request.provider);
    Ok(match (ran, work.key_version) {
        (Ran::Run(_), Some(key_version)) => {
            Reply::Answer(Answer { ok: true, site_id, provider_key, key_version })
        }
        (Ran::Run(_), None) => anyhow::bail!("nothing was stored"),
        (Ran::Skipped(reason), _) => Reply::skipped(reason),
    })
}

struct Seeding<'a> {
    request: &'a Request,
    key_version: Option<KeyVersion>,
}

impl Work for Seeding<'_> {
    async fn work(&mut self, running: &Running) -> anyhow::Result<()> {
        let Request { site, provider, credentials } = self.request;
        match running.context.access.put_credentials(*site, *provider, credentials).await {
            Ok(version) => {
                info!(site.id = %site, provider = %provider, key.version = %version, "credentials stored");
                self.key_version = Some(version);
                Ok(())
            }
            Err(AccessError::Credentials(errors)) => {
                let told: Vec<_> = errors.iter().map(|error| format!("credentials.{error}")).collect();
                Err(BadRequest(told.join("; ")).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn tally(&self) -> Tally {
        Tally { counters: json!({ "stored": u8::from(self.key_version.is_some()) }), ..Tally::default() }
    }
}
