//! What the `relay` command line is made of; the tests and the benchmarks use its local parts.

pub mod commands;
pub mod demo;
mod failure;
mod intake;
pub mod moto;
mod output;
pub mod plan;
pub mod postgres;
pub mod python;
pub mod sandbox;
pub mod serve;
mod signals;
