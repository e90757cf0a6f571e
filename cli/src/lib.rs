//! What the `relay` command line is made of; the tests and the benchmarks use its local parts.

pub mod demo;
pub mod postgres;
pub mod sandbox;
