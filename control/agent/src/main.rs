//! The sluiced binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluiced::main()
}
