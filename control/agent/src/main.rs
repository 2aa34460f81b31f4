//! The sluiced binary.
fn main() {}
