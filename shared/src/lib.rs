//! The shared crate.

pub mod vault;
