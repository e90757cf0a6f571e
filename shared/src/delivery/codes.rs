//! What codes mean in one run: read once when it begins; and those that came and that nobody knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::warn;

use super::claimed::Part;
use super::report::RunReport;
use crate::domain::{ErrorCode, ProviderKey};
use crate::providers::{Override, Overrides, Reply};
use crate::store::{Store, StoreError, TaxonomyOverride};

/// Unknown codes that a run tells apart, for what a platform makes up with each answer; the rest is counted together.
const UNKNOWN_MAX: usize = 100;

/// What codes mean in this run.
#[derive(Debug, Default)]
pub(super) struct Codes {
    overrides: BTreeMap<ProviderKey, Arc<Overrides>>,
    /// Those that this run has told of.
    told: Mutex<BTreeSet<(ProviderKey, ErrorCode)>>,
}

impl Codes {
    /// What operators said of these providers' codes, in one round trip.
    pub(super) async fn read(store: &Store, providers: &[ProviderKey]) -> Result<Self, StoreError> {
        let said = store.read_taxonomy_meanings(providers).await?;
        let of = |provider: &ProviderKey| {
            let of_it = said.iter().filter(|said| said.provider_key == provider.as_str());
            (*provider, Arc::new(of_it.map(meaning).collect()))
        };
        Ok(Self { overrides: providers.iter().map(of).collect(), told: Mutex::default() })
    }

    /// What operators said of one provider's codes.
    pub(super) fn overrides(&self, provider: ProviderKey) -> Arc<Overrides> {
        self.overrides.get(&provider).cloned().unwrap_or_default()
    }

    /// Counts the codes of an answer that nobody knows, and tells of each once.
    pub(super) fn note(&self, part: &Part, reply: &Reply, report: &mut RunReport) {
        for code in &reply.unknown {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let mut known = (part.provider, code.clone());
            if told.len() >= UNKNOWN_MAX && !told.contains(&known) {
                known.1 = ErrorCode::own("AND_MORE");
            }
            *report.unknown_codes.entry(known.clone()).or_default() += 1;
            if told.insert(known.clone()) {
                let code = known.1;
                warn!(site.id = %part.site, provider = %part.provider, code = %code, event = "unknown_code", "{} gave a code that nobody has said the meaning of", part.provider);
                let told = format!(
                    "{code}: nobody has said what this code means; tried three times, then given up on"
                );
                report.error(part.site, part.provider, told);
            }
        }
    }

    /// Keeps what the run counted. A code that could not be kept was logged all the same.
    pub(super) async fn record(&self, store: &Store, report: &RunReport) {
        let codes: Vec<_> = report
            .unknown_codes
            .iter()
            .map(|((provider, code), times)| (*provider, code.clone(), *times))
            .collect();
        if codes.is_empty() {
            return;
        }
        if let Err(error) = store.record_unknown_codes(&codes).await {
            warn!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "the codes that nobody knows could not be kept"
            );
        }
    }
}

fn meaning(said: &TaxonomyOverride) -> (String, Override) {
    let meaning = Override {
        class: said.class,
        scope: said.scope,
        wait: said.wait_seconds.and_then(|wait| u64::try_from(wait).ok()).map(Duration::from_secs),
        max_attempts: said.max_attempts.and_then(|most| u8::try_from(most).ok()),
        whole: said.whole,
    };
    (said.code.clone(), meaning)
}
