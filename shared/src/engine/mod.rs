//! What runs: each job is a task with a request, an answer, and a row of history. The engine names no provider.

mod context;
pub mod doctor;
mod fields;
pub mod hands;
mod retention;
pub mod tasks;

pub use context::Context;
pub use fields::{BadRequest, Fields};
pub use retention::Retention;
