//! One test binary: every file below is a room of the house and what it promises.

// What a test did not expect is a failure, whichever variant it is.
#![allow(clippy::wildcard_enum_match_arm)]

mod aws;
mod cli;
mod conformance;
mod delivery;
mod demo;
mod engine;
mod figures;
mod functions;
mod google_ads;
mod harness;
mod life_of_a_conversion;
mod mutations;
mod openapi;
mod queue;
mod reasons;
mod sandbox;
mod store;
mod tidy;
mod upkeep;
mod vault;
