//! What is known of a site besides its credentials.

use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Store, StoreError, count};
use crate::domain::{Consent, ConsentState, Country, ProviderKey, SiteId};

/// What the door needs to know of a site.
#[derive(Debug, Clone)]
pub struct SiteDefaults {
    /// Which one.
    pub site: SiteId,
    /// How its national phone numbers are read.
    pub default_country: Option<Country>,
    /// What holds for a conversion that says nothing of a purpose; nothing where no operator said so.
    pub consent: Consent,
    /// The providers for which it has credentials, and the conversion action that they name, where that is known.
    pub providers: Vec<(ProviderKey, Option<String>)>,
}

/// A change to one of a site's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays as it is.
    Kept,
    /// It is taken away.
    None,
    /// It is set.
    Set(T),
}

/// A site's defaults as they stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StandingDefaults {
    /// How its national phone numbers are read.
    pub country: Option<String>,
    /// What holds where a conversion says nothing of user data being sent for advertising.
    pub ad_user_data: Option<String>,
    /// What holds where a conversion says nothing of personalised advertising.
    pub ad_personalization: Option<String>,
}

/// What off-boarding a site took away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RemovedSite {
    /// Providers that it was delivered to.
    pub providers: u64,
    /// Credentials that were deleted.
    pub credentials: u64,
    /// Keys of its door that were deleted.
    pub ingest_keys: u64,
    /// Whether it had been removed before.
    pub removed_before: bool,
}

/// What one sweep over removed sites ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Conversions that were cancelled.
    pub cancelled: u64,
    /// Those of them that an earlier request may have delivered.
    pub in_doubt: u64,
    /// Nothing waited any more.
    pub finished: bool,
}

impl<T> Change<T> {
    /// The argument: nothing for no change, `none` for none.
    fn argument(&self, text: impl Fn(&T) -> &str) -> Option<&str> {
        match self {
            Change::Kept => None,
            Change::None => Some("none"),
            Change::Set(value) => Some(text(value)),
        }
    }
}

fn read_consent(text: Option<&str>) -> Result<Option<ConsentState>, StoreError> {
    match text {
        None => Ok(None),
        Some("GRANTED") => Ok(Some(ConsentState::Granted)),
        Some("DENIED") => Ok(Some(ConsentState::Denied)),
        Some(_) => Err(StoreError::Unexpected("an unknown state of consent")),
    }
}

fn write_consent(state: &ConsentState) -> &str {
    match state {
        ConsentState::Granted => "GRANTED",
        ConsentState::Denied => "DENIED",
    }
}

/// The defaults among the columns of a row.
pub(super) fn read_defaults(site: SiteId, row: &Row) -> Result<SiteDefaults, StoreError> {
    Ok(SiteDefaults {
        site,
        default_country: row.get::<_, Option<&str>>("default_country").and_then(|text| text.parse().ok()),
        consent: Consent {
            ad_user_data: read_consent(row.get("ad_user_data"))?,
            ad_personalization: read_consent(row.get("ad_personalization"))?,
        },
        // A key of a newer program is none that this one could deliver to.
        providers: row
            .get::<_, Vec<&str>>("provider_keys")
            .into_iter()
            .zip(row.get::<_, Vec<Option<String>>>("conversion_actions"))
            .filter_map(|(key, action)| Some((key.parse().ok()?, action)))
            .collect(),
    })
}

impl Store {
    /// Reads what the door needs to know of sites. Unknown sites are left out.
    pub async fn read_site_facts(&self, sites: &[SiteId]) -> Result<Vec<SiteDefaults>, StoreError> {
        let sites: Vec<Uuid> = sites.iter().map(|site| site.0).collect();
        let rows = self
            .query(
                "select site_id, default_country, ad_user_data, ad_personalization, provider_keys, conversion_actions \
                 from relay.read_site_facts($1)",
                &[(&sites, Type::UUID_ARRAY)],
            )
            .await?;
        rows.iter().map(|row| read_defaults(SiteId(row.get("site_id")), row)).collect()
    }

    /// Sets what holds where a site's conversions say nothing themselves, and answers what stands now.
    pub async fn put_site_defaults(
        &self,
        site: SiteId,
        country: Change<Country>,
        ad_user_data: Change<ConsentState>,
        ad_personalization: Change<ConsentState>,
    ) -> Result<StandingDefaults, StoreError> {
        let row = self
            .query_one(
                "select default_country, ad_user_data, ad_personalization \
                 from relay.put_site_defaults($1, $2, $3, $4)",
                &[
                    (&site.0, Type::UUID),
                    (&country.argument(Country::as_str), Type::TEXT),
                    (&ad_user_data.argument(write_consent), Type::TEXT),
                    (&ad_personalization.argument(write_consent), Type::TEXT),
                ],
            )
            .await?;
        Ok(StandingDefaults {
            country: row.get("default_country"),
            ad_user_data: row.get("ad_user_data"),
            ad_personalization: row.get("ad_personalization"),
        })
    }

    /// Off-boards a site: its credentials and the keys of its door go, and its groups leave the line for good. `None` where
    /// nobody knows it. What waits is ended by [`Store::sweep_removed_sites`].
    pub async fn remove_site(&self, site: SiteId) -> Result<Option<RemovedSite>, StoreError> {
        let rows = self
            .query(
                "select providers, credentials, ingest_keys, removed_before from relay.remove_site($1)",
                &[(&site.0, Type::UUID)],
            )
            .await?;
        Ok(rows.first().map(|row| RemovedSite {
            providers: count(row, "providers"),
            credentials: count(row, "credentials"),
            ingest_keys: count(row, "ingest_keys"),
            removed_before: row.get("removed_before"),
        }))
    }

    /// Ends what waits for a site that was removed, or for all of them, at most `limit` (1 to 100,000) of each place. Call
    /// again until it is finished.
    pub async fn sweep_removed_sites(&self, site: Option<SiteId>, limit: i32) -> Result<Swept, StoreError> {
        let row = self
            .query_one(
                "select cancelled, in_doubt, finished from relay.sweep_removed_sites($1, $2)",
                &[(&site.map(|site| site.0), Type::UUID), (&limit, Type::INT4)],
            )
            .await?;
        Ok(Swept {
            cancelled: count(&row, "cancelled"),
            in_doubt: count(&row, "in_doubt"),
            finished: row.get("finished"),
        })
    }
}
