//! What every task works with.

use std::sync::Arc;
use std::time::Duration;

use super::Retention;
use crate::delivery::{Access, Producer};
use crate::providers::Registry;
use crate::store::Store;

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
    /// How long things are kept.
    pub retention: Retention,
}

impl Context {
    /// The door for conversions.
    pub fn producer(&self) -> Producer {
        Producer::new(self.store.clone(), self.registry.clone())
    }
}
