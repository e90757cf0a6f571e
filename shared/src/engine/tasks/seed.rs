//! Seeding: stores a site's provider credentials, sealed. Where it is forbidden is decided before this is called.

use serde::Serialize;
use serde_json::Value;
use tracing::info;

use crate::delivery::AccessError;
use crate::domain::{KeyVersion, ProviderKey, Secret, SiteId};
use crate::engine::{BadRequest, Context, Fields};

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

/// Checks, seals and stores credentials, and lifts the holds that waited for them.
///
/// # Errors
/// [`BadRequest`] inside where a field of the credentials is wrong; else the vault's or the database's.
pub async fn run(context: &Context, request: &Request) -> anyhow::Result<Answer> {
    let stored = context.access.put_credentials(request.site, request.provider, &request.credentials).await;
    let key_version = match stored {
        Ok(version) => version,
        Err(AccessError::Credentials(errors)) => {
            let told: Vec<_> = errors.iter().map(|error| format!("credentials.{error}")).collect();
            return Err(BadRequest(told.join("; ")).into());
        }
        Err(error) => return Err(error.into()),
    };
    info!(site.id = %request.site, provider = %request.provider, key.version = %key_version, "credentials stored");
    Ok(Answer { ok: true, site_id: request.site, provider_key: request.provider, key_version })
}
