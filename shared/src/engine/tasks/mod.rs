//! One file for each task.

pub mod audit;
pub mod confirm;
pub mod erase;
pub mod expire;
pub mod gauges;
pub mod keep_partitions;
pub mod probe_credentials;
pub mod prune;
pub mod recompute_scores;
pub mod recover;
pub mod reseal_credentials;
pub mod seed;
pub mod upload;
