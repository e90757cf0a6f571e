//! What the queue's SQL functions promise together: by a model, by the shapes of their plans, all of them at once.

mod follow;
mod hands;
mod model;
mod operation;
mod state_machine;
