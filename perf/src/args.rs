//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use sluice_lab::LabName;

use crate::generators::Role;

/// Measure the switch against a direct cable and a kernel bridge, on this machine.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "sluice-perf", version, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring up pods on one node, measure between them, print, take everything down. Under two minutes.
    Demo(DemoArgs),
    /// Interleaved trials of direct cable, kernel bridge and switch: TCP, ping-pong, UDP; medians and spread.
    Foundation(FoundationArgs),
    /// One traffic generator inside a pod; started by the other commands.
    #[command(hide = true)]
    Worker(WorkerArgs),
}

/// The lab to measure in.
#[derive(Debug, clap::Args)]
pub(crate) struct LabArgs {
    /// Directory of Kubernetes manifests; their first two pods on one node are measured.
    #[arg(short = 'f', long = "manifests", value_name = "DIR", default_value = "deploy/examples/lab")]
    pub(crate) manifests: PathBuf,
    /// A setting of the agent, such as superFrames=off.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Core of the switch [default: the last]
    #[arg(long, value_name = "N")]
    pub(crate) switch_core: Option<usize>,
    /// Core of the pods' clients and servers [default: the first]
    #[arg(long, value_name = "N")]
    pub(crate) load_core: Option<usize>,
    /// Also write the results to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) lab: LabArgs,
    /// Name of the lab that is made; one of this name that is there is removed first.
    #[arg(long, value_name = "NAME", default_value = "demo")]
    pub(crate) name: LabName,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FoundationArgs {
    #[command(flatten)]
    pub(crate) lab: LabArgs,
    /// Name of the lab that is made; one of this name that is there is removed first.
    #[arg(long, value_name = "NAME", default_value = "perf")]
    pub(crate) name: LabName,
    /// Trials of each measure on each path.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) trials: u32,
    /// Paths to measure; without sluice no lab is made.
    #[arg(long, value_name = "PATH,..", value_delimiter = ',', default_value = "direct,bridge,sluice")]
    pub(crate) paths: Vec<PathKind>,
    /// Seconds of one measure.
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
}

/// What is between two pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PathKind {
    /// A veth pair and nothing else.
    Direct,
    /// The kernel's bridge.
    Bridge,
    /// The switch.
    Sluice,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    /// Core to stay on.
    #[arg(long)]
    pub(crate) core: Option<usize>,
    #[command(subcommand)]
    pub(crate) role: Role,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }
}
