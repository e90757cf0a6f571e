//! The rooms of Conversion Relay, with stairs in one direction: `domain`, then `store`, `vault` and `providers`
//! side by side, then `delivery`, `engine`, `boot`. `tests/it/tidy.rs` stands on the stairs.

pub mod boot;
pub mod delivery;
pub mod domain;
pub mod engine;
pub mod providers;
pub mod store;
pub mod vault;
