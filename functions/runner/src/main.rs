//! The runner function.
fn main() {}
