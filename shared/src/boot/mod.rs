//! Once per cold start: configuration, telemetry, the database, and the translation between events and tasks.

mod authentication;
mod aws;
mod call;
mod config;
mod context;
mod custom_resource;
mod database;
mod entrance;
mod function;
pub mod functions;
mod health;
mod http;
mod lambda;
mod lines;
mod migrate;
mod secrets;
mod telemetry;

pub use call::{Call, CallError};
pub use config::{AppEnv, Config, ConfigError, ProviderConfig, new_vault_key};
pub use context::{BootError, PROGRAM_VERSION, open_context, registry};
pub use entrance::{Entrance, answer, enter};
pub use function::{Answer, Boot, Callers, Door, Function, Handler, Handling, InProduction};
pub use http::{BODY_MAX, HttpAnswer, HttpCall};
pub use lambda::serve;
pub use migrate::{Migrated, migrate};
pub use telemetry::{Output, start_telemetry};
