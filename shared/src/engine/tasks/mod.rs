//! One file for each task.

pub mod confirm;
pub mod keep_partitions;
pub mod prune;
pub mod recover;
pub mod seed;
pub mod upload;
