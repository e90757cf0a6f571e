//! The producer: the one door through which conversions come in, whoever brings them.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::limits::FUTURE_LIMIT;
use crate::domain::{
    Conversion, ConversionId, ConversionInput, Country, Digest, FieldError, OrderHash, ProviderKey, SiteId,
};
use crate::providers::Registry;
use crate::store::{EnqueueResult, NewConversion, SiteDefaults, Store, StoreError};

/// Takes conversions in: normalises and hashes by each provider's rule, and keeps them, a batch per transaction.
#[derive(Clone)]
pub struct Producer {
    store: Store,
    registry: Registry,
}

/// Items that were checked, normalised and hashed, and are not kept yet.
#[derive(Debug)]
pub struct Admitted {
    conversions: Vec<NewConversion>,
    /// For each conversion: which item it came from.
    origins: Vec<usize>,
    /// One for each item; those that were read know of no provider yet.
    answers: Vec<ItemAnswer>,
}

/// What became of one item at the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemAnswer {
    /// It was read; each provider has its answer.
    Taken {
        /// One entry per provider.
        providers: Vec<ProviderAnswer>,
        /// Identifiers that were left out, and why.
        dropped: Vec<FieldError>,
    },
    /// Nothing of it went in.
    Invalid(Vec<FieldError>),
}

/// What became of one item for one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderAnswer {
    /// Which one.
    pub provider_key: ProviderKey,
    /// What became of it.
    pub result: EnqueueResult,
    /// Its id, or that of the one that it meets.
    pub conversion_id: Option<ConversionId>,
}

impl Producer {
    /// A door to this database for these platforms.
    pub fn new(store: Store, registry: Registry) -> Self {
        Self { store, registry }
    }

    /// Takes items in, one answer for each, in order. One bad item never sinks the others: what is invalid is
    /// answered, all else goes in, in one transaction of at most 10,000 conversions.
    ///
    /// # Errors
    /// The database's; then nothing went in, and the same call can be made again.
    pub async fn enqueue(
        &self,
        items: Vec<Result<ConversionInput, Vec<FieldError>>>,
        now: Timestamp,
    ) -> Result<Vec<ItemAnswer>, StoreError> {
        self.keep(self.admit(items, now).await?).await
    }

    /// The first half of [`Producer::enqueue`]: reads and checks, and writes nothing. Whoever has many batches admits the next
    /// while one is being kept.
    ///
    /// # Errors
    /// The database's.
    pub async fn admit(
        &self,
        items: Vec<Result<ConversionInput, Vec<FieldError>>>,
        now: Timestamp,
    ) -> Result<Admitted, StoreError> {
        let sites = self.read_sites(&items).await?;
        Ok(self.admit_all(items, &sites, now))
    }

    /// The second half: keeps what was admitted, in one transaction, and answers for all of it.
    ///
    /// # Errors
    /// As [`Producer::enqueue`].
    pub async fn keep(&self, admitted: Admitted) -> Result<Vec<ItemAnswer>, StoreError> {
        let Admitted { conversions, origins, mut answers } = admitted;
        if conversions.is_empty() {
            return Ok(answers);
        }
        let kept = self.store.take_in_offline_conversions(&conversions).await?;
        for ((conversion, answer), origin) in conversions.iter().zip(kept).zip(origins) {
            if let ItemAnswer::Taken { providers, .. } = &mut answers[origin] {
                providers.push(ProviderAnswer {
                    provider_key: conversion.provider,
                    result: answer.result,
                    conversion_id: answer.conversion_id,
                });
            }
        }
        Ok(answers)
    }

    /// [`Producer::enqueue`] for items that are all of one site, of which all is known that the door needs: one round trip.
    ///
    /// # Errors
    /// As [`Producer::enqueue`].
    pub async fn enqueue_of_site(
        &self,
        items: Vec<Result<ConversionInput, Vec<FieldError>>>,
        site: &SiteDefaults,
        now: Timestamp,
    ) -> Result<Vec<ItemAnswer>, StoreError> {
        self.keep(self.admit_all(items, &HashMap::from([(site.site, site.clone())]), now)).await
    }

    fn admit_all(
        &self,
        items: Vec<Result<ConversionInput, Vec<FieldError>>>,
        sites: &HashMap<SiteId, SiteDefaults>,
        now: Timestamp,
    ) -> Admitted {
        let mut conversions = Vec::with_capacity(items.len());
        let mut origins = Vec::with_capacity(items.len());
        let mut answers = Vec::with_capacity(items.len());
        for item in items {
            let admitted = item.and_then(|input| self.admit_one(input, sites, now));
            answers.push(match admitted {
                Ok((new, dropped)) => {
                    origins.extend(new.iter().map(|_| answers.len()));
                    conversions.extend(new);
                    ItemAnswer::Taken { providers: Vec::new(), dropped }
                }
                Err(errors) => ItemAnswer::Invalid(errors),
            });
        }
        Admitted { conversions, origins, answers }
    }

    /// Sites are looked up only where an item needs them: no provider named, a phone number to be read, consent left open,
    /// a conversion action that may be the site's own.
    async fn read_sites(
        &self,
        items: &[Result<ConversionInput, Vec<FieldError>>],
    ) -> Result<HashMap<SiteId, SiteDefaults>, StoreError> {
        let wanted: BTreeSet<SiteId> = items
            .iter()
            .flatten()
            .filter(|input| {
                input.provider_key.is_none()
                    || input.user.phone.is_some()
                    || !input.consent.is_complete()
                    || input.conversion_action.is_some()
            })
            .map(|input| input.site_id)
            .collect();
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let wanted: Vec<SiteId> = wanted.into_iter().collect();
        let sites = self.store.read_site_facts(&wanted).await?;
        Ok(sites.into_iter().map(|site| (site.site, site)).collect())
    }

    /// Makes one conversion per provider of one input.
    fn admit_one(
        &self,
        mut input: ConversionInput,
        sites: &HashMap<SiteId, SiteDefaults>,
        now: Timestamp,
    ) -> Result<(Vec<NewConversion>, Vec<FieldError>), Vec<FieldError>> {
        if input.occurred_at.duration_since(now).unsigned_abs() > FUTURE_LIMIT && input.occurred_at > now {
            return Err(vec![FieldError::new("occurred_at", "lies more than a day in the future")]);
        }
        let site = sites.get(&input.site_id);
        let country: Option<Country> = site.and_then(|site| site.default_country);
        input.consent = input.consent.or(site.map(|site| site.consent).unwrap_or_default());
        let providers = match input.provider_key {
            Some(provider) => vec![provider],
            None => site.iter().flat_map(|site| site.providers.iter().map(|(key, _)| *key)).collect(),
        };
        if providers.is_empty() {
            let known: Vec<_> = ProviderKey::ALL.iter().map(|key| key.as_str()).collect();
            let reason = format!(
                "is missing, and the site has no credentials for any provider: name one ({}), or store credentials first",
                known.join(", ")
            );
            return Err(vec![FieldError::new("provider_key", reason)]);
        }
        let mut new = Vec::with_capacity(providers.len());
        let mut dropped = Vec::new();
        for provider in providers {
            let Some(adapter) = self.registry.get(provider) else {
                let reason = format!("{provider} has no adapter in this program");
                return Err(vec![FieldError::new("provider_key", reason)]);
            };
            let own = site.and_then(|site| site.providers.iter().find(|(key, _)| *key == provider));
            let own = own.and_then(|(_, action)| action.as_deref());
            let admitted = adapter.admit(input.clone(), country)?;
            dropped.extend(admitted.dropped);
            // A time ahead of our clock is no time that a platform takes: such a row waits for it.
            let ahead = Some(admitted.conversion.occurred_at).filter(|occurred_at| *occurred_at > now);
            let action = admitted.conversion.conversion_action.as_deref();
            let action = action.map_or_else(String::new, |action| adapter.action_key(action, own));
            new.push(NewConversion {
                site: input.site_id,
                provider,
                digest: digest(&admitted.conversion),
                order_hash: order_hash(&action, &admitted.conversion),
                conversion: admitted.conversion,
                due_at: admitted.due_at.max(ahead),
                expires_at: admitted.expires_at,
            });
        }
        dropped.dedup();
        Ok((new, dropped))
    }
}

/// Of the canonical content: its JSON has one order of fields, and texts and numbers as they are stored.
fn digest(conversion: &Conversion) -> Digest {
    let json =
        serde_json::to_vec(conversion).expect("a conversion is plain data, which JSON can always hold");
    Digest(first_half(Sha256::digest(json).into()))
}

/// Of the conversion action in its one form and the order's id, for which the external id stands in: what a platform knows
/// the order by. Neither holds control characters, so the one between them keeps them apart.
fn order_hash(action: &str, conversion: &Conversion) -> OrderHash {
    let order = conversion.order_id.as_deref().unwrap_or(&conversion.external_id);
    OrderHash(Uuid::from_bytes(first_half(Sha256::digest(format!("{action}\0{order}")).into())))
}

fn first_half(sha256: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&sha256[..16]);
    half
}
