//! One file for each task.

pub mod recover;
pub mod seed;
pub mod upload;
