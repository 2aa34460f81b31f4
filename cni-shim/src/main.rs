//! sluice-cni: the CNI plugin that the container runtime executes.
//!
//! One call is one request to sluiced over its Unix socket; the shim keeps no state and touches no device. The verb
//! and its parameters come from the environment, the network configuration from stdin. Results and errors go to
//! stdout (errors with exit code 1), everything meant for a person to stderr.

#![forbid(unsafe_code)]

mod call;
mod environment;
mod invocation;

use std::process::ExitCode;

fn main() -> ExitCode {
    invocation::run(&environment::Variables::of_process(), std::io::stdin(), std::io::stdout())
}
