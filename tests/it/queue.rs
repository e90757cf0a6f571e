//! What the queue's SQL functions promise together: by a model, by the shapes of their plans, all of them at once.

mod explained;
mod follow;
mod hammer;
mod hands;
mod model;
mod operation;
mod plans;
mod state_machine;
