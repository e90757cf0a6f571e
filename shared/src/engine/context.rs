//! What every task works with.

use std::sync::Arc;
use std::time::Duration;

use super::{Figures, Settings};
use crate::delivery::{Access, Producer};
use crate::providers::Registry;
use crate::store::{Fence, Store};

/// What every task works with: opened once per process, by `boot`.
#[derive(Clone)]
pub struct Context {
    /// The database.
    pub store: Store,
    /// Credentials and tokens; a vault that cannot be configured is told when it is needed.
    pub access: Arc<Access>,
    /// The platforms.
    pub registry: Registry,
    /// Timeout of one request to a platform.
    pub http_timeout: Duration,
    /// What an operator set for tasks.
    pub settings: Arc<Settings>,
    /// Tells figures to CloudWatch, where that is wanted.
    pub figures: Option<Figures>,
}

impl Context {
    /// The same for the owner of a lock: what it writes, it writes as the owner or not at all.
    pub(super) fn fenced(&self, fence: Fence) -> Self {
        Self { store: self.store.fenced(fence), ..self.clone() }
    }

    /// The door for conversions.
    pub fn producer(&self) -> Producer {
        Producer::new(self.store.clone(), self.registry.clone())
    }
}
