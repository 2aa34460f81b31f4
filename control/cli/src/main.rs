//! The operator's command line: asks a running agent, and makes labs.

#![forbid(unsafe_code)]

mod args;
mod lab;
mod status;
mod table;
mod uninstall;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let Args { command } = Args::parse();
    let outcome = match command {
        Command::Status(args) => status::run(&args),
        Command::Uninstall(args) => uninstall::run(&args),
        Command::Lab(args) => lab::run(args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            // Our errors name their cause themselves, so the chain behind them would say it twice.
            eprintln!("sluice: {error}");
            ExitCode::FAILURE
        }
    }
}
