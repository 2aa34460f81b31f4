//! `sluice lab` from the outside: the real programs, the real kernel, and nothing left behind.
//!
//! Each test has a lab of its own name, which it removes first (a killed run may have left it) and at its end.

#![forbid(unsafe_code)]

mod answers;
mod crash;
mod driver;
mod generators;
mod harness;
mod lifecycle;
mod reports;
mod scenarios;
mod traffic;
