//! The recover function.
fn main() {}
