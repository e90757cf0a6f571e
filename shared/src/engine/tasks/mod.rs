//! One file for each task.

pub mod confirm;
pub mod keep_partitions;
pub mod probe_credentials;
pub mod prune;
pub mod recover;
pub mod reseal_credentials;
pub mod seed;
pub mod upload;
