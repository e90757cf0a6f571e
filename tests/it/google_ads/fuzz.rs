//! Any bytes for an answer: `cargo run --release -p tests --bin fuzz` goes on for longer.

use tests::fuzz::Ground;

/// Some four seconds.
const ANSWERS: u64 = 40_000;

#[test]
fn whatever_the_bytes_are_nothing_is_taken_for_more_than_they_say() {
    let ground = Ground::new().unwrap();

    for seed in 0..ANSWERS {
        let read = ground.read_one(seed);

        assert!(read.is_ok(), "seed {seed}: {}", read.unwrap_err());
    }
}
