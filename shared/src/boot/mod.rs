//! Once per cold start: configuration, telemetry, the database, and the translation between events and tasks.

mod authentication;
mod call;
mod config;
mod context;
mod function;
mod http;
mod lines;
mod migrate;
mod telemetry;

pub use authentication::Secrets;
pub use call::{Call, CallError};
pub use config::{AppEnv, Config, ConfigError, ProviderConfig, new_vault_key};
pub use context::{BootError, PROGRAM_VERSION, open_context, registry};
pub use function::{Boot, Door, Function, InProduction, serve};
pub use http::{HttpAnswer, HttpCall};
pub use migrate::{Migrated, migrate};
pub use telemetry::{Output, start_telemetry};
