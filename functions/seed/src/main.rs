//! The seed function.
fn main() {}
