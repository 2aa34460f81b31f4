//! Builders of packets for tests and benches.
