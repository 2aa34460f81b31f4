//! What the switch carries, side by side with what people would use instead.
//!
//! ```text
//! run              -> scenario (files) -> run (peers, measures, validity) -> results (JSON) -> table, html; see run
//! compare, report  -> results -> tables, html
//! demo             -> session (a lab, taken down at the end) -> peers (direct, direct-2, bridge, sluice)
//!                  -> series (the paths take turns) -> measure -> worker -> generators, one process each, in the pods
//! calibrate        -> session -> direct -> frames, source and sink by themselves
//! cni              -> session -> calls of the plugin, timed
//! idle-cost        -> session -> what the agent and the machine use, before and with pods
//! datapath         -> the path alone, in memory, no lab
//! control          -> objects to tables, in memory, no lab
//! load             -> many objects in an API server, by requests
//! control-plane    -> an API server, a lab and its daemon, loaded like that
//! ```

#![forbid(unsafe_code)]

mod args;
mod calibrate;
mod cni;
mod commit;
mod compare;
mod control;
mod datapath;
mod demo;
mod devices;
mod generators;
mod html;
mod idle_cost;
mod list;
mod load;
mod machine;
mod measure;
mod metrics;
mod nearest;
mod peers;
mod processors;
mod report;
mod results;
mod retell;
mod run;
mod scenario;
mod search;
mod series;
mod session;
mod stats;
mod wakeup;
mod worker;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use sluice_lab::{LabError, Stop};

use crate::args::{Args, Command};

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// A run came to its end, and of some series no trial is valid.
const NOTHING_VALID: u8 = 3;

fn main() -> ExitCode {
    let Args { command } = Args::parse();
    let outcome = match command {
        Command::Worker(args) => generators::run(args.core, args.role),
        Command::Demo(args) => stop_on_signals().and_then(|stop| demo::run(&args, &stop)),
        Command::List(args) => list::run(&args),
        Command::Run(args) => stop_on_signals().and_then(|stop| run::run(&args, &stop)),
        Command::Compare(args) => compare::run(&args),
        Command::Report(args) => retell::run(&args),
        Command::Calibrate(args) => stop_on_signals().and_then(|stop| calibrate::run(&args, &stop)),
        Command::Datapath(args) => datapath::run(&args),
        Command::Control(args) => control::run(&args),
        Command::Load(args) => stop_on_signals().and_then(|stop| load::run(&args, &stop)),
        Command::ControlPlane(args) => stop_on_signals().and_then(|stop| load::control_plane::run(&args, &stop)),
        Command::Cni(args) => stop_on_signals().and_then(|stop| cni::run(&args, &stop)),
        Command::IdleCost(args) => stop_on_signals().and_then(|stop| idle_cost::run(&args, &stop)),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("sluice-perf: {}", explain(&error));
    match error.downcast_ref::<LabError>() {
        Some(LabError::Interrupted) => ExitCode::from(INTERRUPTED),
        _ if error.is::<run::NothingValid>() => ExitCode::from(NOTHING_VALID),
        _ => ExitCode::FAILURE,
    }
}

/// The error with its causes, less those that the text before names already.
fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A stop that Ctrl-C, a hang-up and SIGTERM raise. A second signal ends the process at once; the next run, or
/// `sluice lab down`, then removes what it leaves.
fn stop_on_signals() -> Result<Stop> {
    let stop = Stop::default();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), stop.flag())?;
        signal_hook::flag::register(signal, stop.flag())?;
    }
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("b").context("a: b").context("while c");
        assert_eq!(explain(&error), "while c: a: b");
        let deeper: anyhow::Result<()> = Err(anyhow::anyhow!("b")).context("a");
        assert_eq!(explain(&deeper.expect_err("it is one")), "a: b");
    }
}
