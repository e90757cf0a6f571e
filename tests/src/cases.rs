//! How many cases a property test plays, and which.

use std::env;

use proptest::test_runner::{Config, RngSeed};

/// Chosen once and kept: what a change is judged by is the same from one run to the next.
const SEED: u64 = 20_261_122;

/// `usual` cases, the same ones each time; or as many as `RELAY_MODEL_CASES` says, other ones each time.
///
/// Nothing is kept between runs: a failure prints the shortest input that still fails, found in at most 300 steps.
///
/// # Panics
///
/// If `RELAY_MODEL_CASES` is set and is not a whole number.
pub fn cases(usual: u32) -> Config {
    let asked = env::var("RELAY_MODEL_CASES").ok();
    let (cases, rng_seed) = match asked {
        Some(cases) => (cases.parse().expect("RELAY_MODEL_CASES must be a whole number"), RngSeed::Random),
        None => (usual, RngSeed::Fixed(SEED)),
    };
    Config { cases, rng_seed, failure_persistence: None, max_shrink_iters: 300, ..Config::default() }
}
