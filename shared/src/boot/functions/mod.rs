//! The table of functions: a file for each. A binary of Lambda names one of them, `relay serve` all.

mod confirm;
mod health;
mod ingest;
mod maintain;
mod migrate;
mod recover;
mod runner;
mod seed;

pub use confirm::CONFIRM;
pub use health::HEALTH;
pub use ingest::INGEST;
pub use maintain::MAINTAIN;
pub use migrate::MIGRATE;
pub use recover::RECOVER;
pub use runner::RUNNER;
pub use seed::SEED;

use super::function::Function;

/// Every function.
pub const ALL: &[&Function] = &[&RUNNER, &CONFIRM, &RECOVER, &SEED, &MAINTAIN, &INGEST, &HEALTH, &MIGRATE];
