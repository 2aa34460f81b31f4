//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::{Parser, Subcommand};
use serde::Serialize;
use sluice_lab::LabName;

use crate::generators::Role;
use crate::load::{ChurnPlan, Size};
use crate::peers::Family;
use crate::run::DEFAULT_LOCK;

/// Measure the switch against what people would use instead, on this machine.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a run without a valid trial of something, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "sluice-perf", version, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring up pods on one node, then on two, measure between them, print, take everything down. Under three minutes.
    Demo(DemoArgs),
    /// The scenarios and peers that there are.
    List(ListArgs),
    /// Run scenarios over their peers in turn; print, and write results as JSON and as a page.
    Run(RunArgs),
    /// What differs between two runs, by the files that run --json wrote, and which of it is more than chance.
    Compare(CompareArgs),
    /// Results of an earlier run, by the file that run --json wrote: printed again, or as a page.
    Report(ReportArgs),
    /// What the generators do by themselves, with nothing between them: packets a second on one core, latency.
    Calibrate(crate::calibrate::CalibrateArgs),
    /// What pods cost that are attached and silent: memory and processor time, per pod.
    IdleCost(IdleCostArgs),
    /// How long pods take to be attached and detached, by the plugin as a runtime executes it; how long STATUS takes.
    Cni(CniArgs),
    /// What a packet costs in memory, without kernel or device, on one core: nanoseconds or instructions.
    Datapath(DatapathArgs),
    /// What it takes to make tables of a large cluster's objects, in memory: from nothing, and for one change.
    Control(ControlArgs),
    /// Make a large cluster's objects in an API server, change its endpoints at a steady rate, remove them again.
    Load(LoadArgs),
    /// A node's daemon fed with a large cluster by a real API server, brought up here: start, delay of changes, memory, churn.
    ControlPlane(ControlPlaneArgs),
    /// One traffic generator inside a pod; started by the other commands.
    #[command(hide = true)]
    Worker(WorkerArgs),
}

/// The pods to measure between.
#[derive(Debug, clap::Args)]
pub(crate) struct PodArgs {
    /// Directory of Kubernetes manifests; their first two pods on one node are measured.
    #[arg(short = 'f', long = "manifests", value_name = "DIR", default_value = "deploy/examples/lab")]
    pub(crate) manifests: PathBuf,
}

/// The lab to measure in.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LabArgs {
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
pub(crate) struct ListArgs {
    /// Directory of scenario files, instead of the built-in ones.
    #[arg(long, value_name = "DIR")]
    pub(crate) scenarios: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Scenarios to run, one after another.
    #[arg(required = true, value_name = "SCENARIO")]
    pub(crate) scenario: Vec<String>,
    /// Peers to measure, of those that the scenario has [default: all]
    #[arg(long, value_name = "PEER,..", value_delimiter = ',')]
    pub(crate) peers: Option<Vec<String>>,
    /// Trials of each measure over each peer, after one that only warms up.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) trials: u32,
    /// Seconds of one measure in one trial, 0.1 to 600.
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Directory of scenario files, instead of the built-in ones.
    #[arg(long, value_name = "DIR")]
    pub(crate) scenarios: Option<PathBuf>,
    /// Write the results as one page to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) lab: LabArgs,
    /// Name of the lab that is made; one of this name that is there is removed first.
    #[arg(long, value_name = "NAME", default_value = "perf")]
    pub(crate) name: LabName,
    /// The lock that keeps two runs from measuring each other.
    #[arg(long, value_name = "FILE", hide = true, default_value = DEFAULT_LOCK)]
    pub(crate) lock: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// Results of the first run.
    #[arg(value_name = "A.json")]
    pub(crate) first: PathBuf,
    /// Results of the second run.
    #[arg(value_name = "B.json")]
    pub(crate) second: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Results of a run.
    pub(crate) file: PathBuf,
    /// Write them as one page to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// A number of seconds that makes sense for a measurement.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (0.1..=600.0).contains(&seconds) { Ok(seconds) } else { Err(format!("{text} is not between 0.1 and 600")) }
}

#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) pods: PodArgs,
    #[command(flatten)]
    pub(crate) lab: LabArgs,
    /// Name of the lab that is made; one of this name that is there is removed first.
    #[arg(long, value_name = "NAME", default_value = "demo")]
    pub(crate) name: LabName,
}

#[derive(Debug, clap::Args)]
pub(crate) struct IdleCostArgs {
    #[command(flatten)]
    pub(crate) lab: LabArgs,
    /// Name of the lab that is made; one of this name that is there is removed first.
    #[arg(long, value_name = "NAME", default_value = "idle")]
    pub(crate) name: LabName,
    /// Pods to attach.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..=250))]
    pub(crate) pods: u16,
    /// Seconds over which the agent's use of the processor is taken.
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CniArgs {
    #[command(flatten)]
    pub(crate) lab: LabArgs,
    /// Name of the lab that is made; one of this name that is there is removed first.
    #[arg(long, value_name = "NAME", default_value = "cni")]
    pub(crate) name: LabName,
    /// Pods to attach in a round.
    #[arg(long, value_name = "N", default_value_t = 110, value_parser = clap::value_parser!(u16).range(1..=250))]
    pub(crate) pods: u16,
    /// Calls at a time.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) parallel: u16,
    /// Rounds with so many calls at a time; one with one call at a time follows.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=10))]
    pub(crate) rounds: u16,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DatapathArgs {
    /// Cases whose name holds this [default: all].
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) filter: String,
    /// Seconds over which all cases together are timed.
    #[arg(long, value_name = "S", default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Core to measure on [default: the last]
    #[arg(long, value_name = "N")]
    pub(crate) core: Option<usize>,
    /// Also write the results to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Count instructions under valgrind instead; fails when a case has risen more than 3 % over its baseline.
    #[arg(long)]
    pub(crate) instructions: bool,
    /// The baselines [default: those this program was built with]
    #[arg(long, value_name = "FILE", requires = "instructions")]
    pub(crate) baseline: Option<PathBuf>,
    /// Write the counts as the new baselines.
    #[arg(long, requires = "baseline")]
    pub(crate) write_baseline: bool,
    /// The case to run, where callgrind counts.
    #[arg(long, hide = true, value_name = "CASE")]
    pub(crate) under_callgrind: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ControlArgs {
    /// Changes of each kind to measure.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) changes: usize,
    /// Changes before memory is looked at again.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) churn: usize,
    /// Make the cluster so many times smaller.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::builder::PossibleValuesParser::new(["1", "10", "100"]).map(|n| n.parse::<usize>().unwrap_or(1)))]
    pub(crate) divide: usize,
    /// Also write the results to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// How large a cluster is to be made.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct SizeArgs {
    /// Nodes; beside each other their podCIDRs take up 10.128.0.0/9.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=32_768))]
    pub(crate) nodes: u32,
    /// Services.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) services: u32,
    /// Endpoints of all Services together.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) endpoints: u32,
    /// Pods; at most 250 on a node.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=250_000))]
    pub(crate) pods: u32,
    /// NetworkPolicies.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) policies: u32,
}

impl SizeArgs {
    /// The size, with no more pods than the nodes have addresses for.
    pub(crate) fn size(self) -> Size {
        let Self { nodes, services, endpoints, pods, policies } = self;
        Size { nodes, services, endpoints, pods: pods.min(nodes.saturating_mul(250)), policies }
    }
}

/// How endpoints are to change.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct ChurnArgs {
    /// Endpoints that change in a second; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) rate: u32,
    /// Endpoints of a slice that change with one request.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) together: u32,
    /// Seconds of change.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
}

impl ChurnArgs {
    /// The plan for a rate.
    pub(crate) fn plan(self, rate: u32) -> ChurnPlan {
        ChurnPlan { rate, together: self.together, length: Duration::from_secs(self.seconds) }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct LoadArgs {
    /// The kubeconfig of a user that may make and remove these objects.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: PathBuf,
    #[command(flatten)]
    pub(crate) size: SizeArgs,
    #[command(flatten)]
    pub(crate) churn: ChurnArgs,
    /// Requests at once.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) parallel: u16,
    /// Leave the objects there at the end.
    #[arg(long, conflicts_with = "remove_only")]
    pub(crate) keep: bool,
    /// Make nothing; remove what an earlier run left.
    #[arg(long)]
    pub(crate) remove_only: bool,
    /// Also write the results to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ControlPlaneArgs {
    #[command(flatten)]
    pub(crate) size: SizeArgs,
    #[command(flatten)]
    pub(crate) churn: ChurnArgs,
    /// Seconds of single changes, 20 a second, before that.
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) single_seconds: u64,
    /// Requests at once.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) parallel: u16,
    /// Name of the lab that is made; one of this name that is there is removed first.
    #[arg(long, value_name = "NAME", default_value = "control")]
    pub(crate) name: LabName,
    /// Also write the results to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// What is between two pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PathKind {
    /// A veth pair and nothing else.
    Direct,
    /// The same with client and server on two cores, so that each message wakes another core; ping-pong only.
    #[value(name = "direct-2")]
    #[serde(rename = "direct-2")]
    DirectTwoCores,
    /// The kernel's bridge.
    Bridge,
    /// Two nodes with the kernel's bridge and VXLAN.
    Vxlan,
    /// The kernel as a router, with nftables for Services; in scenarios alone.
    #[value(skip)]
    Nftables,
    /// Open vSwitch with AF_XDP ports; in scenarios alone.
    #[value(skip)]
    #[serde(rename = "openvswitch")]
    OpenVSwitch,
    /// A program that redirects from veth to veth; in scenarios alone.
    #[value(skip)]
    Redirect,
    /// The switch.
    Sluice,
}

impl PathKind {
    /// Its name in one word, as on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::DirectTwoCores => "direct-2",
            Self::Bridge => "bridge",
            Self::Vxlan => "vxlan",
            Self::Nftables => "nftables",
            Self::OpenVSwitch => "openvswitch",
            Self::Redirect => "redirect",
            Self::Sluice => "sluice",
        }
    }

    /// Whether rates are measured on it too. With two cores for the ends alone they would be nobody's yardstick.
    pub(crate) fn has_rates(self) -> bool {
        self != Self::DirectTwoCores
    }
}

/// IP versions to measure over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FamilyChoice {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// Each in turn.
    Both,
}

impl FamilyChoice {
    /// The IP versions chosen.
    pub(crate) fn families(self) -> &'static [Family] {
        match self {
            Self::V4 => &[Family::V4],
            Self::V6 => &[Family::V6],
            Self::Both => &[Family::V4, Family::V6],
        }
    }
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
    use clap::{CommandFactory, ValueEnum};

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_path_has_one_name_everywhere() {
        for kind in PathKind::value_variants() {
            assert_eq!(kind.to_possible_value().expect("none is hidden").get_name(), kind.name());
            assert_eq!(serde_json::to_value(kind).expect("plain data"), kind.name());
        }
    }
}
