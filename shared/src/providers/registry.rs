//! The only place that lists the platforms.

use std::sync::Arc;

use super::Provider;
use crate::domain::ProviderKey;

/// The platforms of this process.
#[derive(Clone)]
pub struct Registry {
    providers: Vec<Arc<dyn Provider>>,
}

impl Registry {
    /// Takes the platforms in the order in which runs without a provider visit them.
    pub fn new(providers: Vec<Arc<dyn Provider>>) -> Self {
        Self { providers }
    }

    /// The adapter of one platform.
    pub fn get(&self, key: ProviderKey) -> Option<&Arc<dyn Provider>> {
        self.providers.iter().find(|provider| provider.key() == key)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Provider>> {
        self.providers.iter()
    }
}
