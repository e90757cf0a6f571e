//! One test binary: every file below is a room of the house and what it promises.

mod demo;
mod google_ads;
mod harness;
mod life_of_a_conversion;
mod sandbox;
mod vault;
