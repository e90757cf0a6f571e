//! What runs: each job is a task with a request, an answer, and a row of history. The engine names no provider.

mod context;
mod cycle;
pub mod doctor;
mod fault;
mod fields;
mod figures;
mod forever;
pub mod hands;
pub mod maintain;
mod registry;
mod release;
mod retention;
mod run;
mod settings;
mod task;
pub mod tasks;
mod trigger;

pub use context::Context;
pub use cycle::{CycleRequest, Summary, TaskEnd, run_once};
pub use fault::{Fault, TRIES_MAX, wait};
pub use fields::{BadRequest, Fields, whole};
pub use figures::{Figures, Stream};
pub use forever::{Pulse, run_forever};
pub use registry::Tasks;
pub use release::release_holds;
pub use retention::Retention;
pub use run::{Ran, Running, Tally, Work, run};
pub use settings::{LocksByCall, Settings};
pub use task::{Bounds, Calling, Descriptor, Reply, Schedule, Scope, SkipReason, Task, TaskKey, Turns};
pub use trigger::{TRIGGER_FIELDS, Trigger};
