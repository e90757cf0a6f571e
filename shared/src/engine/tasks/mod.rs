//! One file for each task.

pub mod confirm;
pub mod gauges;
pub mod keep_partitions;
pub mod probe_credentials;
pub mod prune;
pub mod recover;
pub mod seed;
pub mod upload;
