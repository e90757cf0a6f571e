//! The relay library.

pub mod postgres;
