//! The sluice-cni binary.
fn main() {}
