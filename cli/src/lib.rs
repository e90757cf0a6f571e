//! The relay library.

pub mod sandbox;
