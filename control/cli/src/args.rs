//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use sluice_cni_protocol::installation;
use sluice_lab::LabName;

/// Operate a Sluice node network.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage; `lab exec` and `lab node` pass on the code of the command they run.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what the agent of this node does: ports, generation, drops, features, workers.
    Status(StatusArgs),
    /// Take from this node what sluiced put there for the container runtime: the network list, then the plugin.
    ///
    /// To be called when the DaemonSet is deleted. As long as pods are attached the plugin stays, for without it they could not
    /// be removed: delete them and call again.
    Uninstall(UninstallArgs),
    /// Nodes and pods in network namespaces of this machine, with real agents.
    #[command(subcommand)]
    Lab(LabCommand),
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Run directory of the agent, where its socket is.
    #[arg(long, value_name = "DIR", default_value = sluice_cni_protocol::DEFAULT_RUN_DIR)]
    pub(crate) run_dir: PathBuf,
    /// Print the agent's status document as it is.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UninstallArgs {
    /// Where the network list is: cni.confDir of sluiced.
    #[arg(long, value_name = "DIR", default_value = installation::DEFAULT_CONF_DIR)]
    pub(crate) conf_dir: PathBuf,
    /// Where the plugin is: cni.binDir of sluiced.
    #[arg(long, value_name = "DIR", default_value = installation::DEFAULT_BIN_DIR)]
    pub(crate) bin_dir: PathBuf,
    /// State directory of the agent, which knows what is attached.
    #[arg(long, value_name = "DIR", default_value = sluice_cni_protocol::DEFAULT_STATE_DIR)]
    pub(crate) state_dir: PathBuf,
    /// Take the plugin away although pods are attached.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Make a lab, or bring the one that is up to what its manifests say now.
    ///
    /// A second call with nothing changed does nothing. A call that fails leaves what it made, for a look at the logs.
    Up(UpArgs),
    /// Run a command in a pod.
    Exec(ExecArgs),
    /// Run a command on a node.
    Node(NodeArgs),
    /// Run a command outside the cluster, at the other end of the nodes' wire.
    Outside(OutsideArgs),
    /// Show nodes, pods, addresses, namespaces, processes, sockets.
    Status(LabStatusArgs),
    /// Remove a lab with everything of it, also one that a crash left half made.
    Down(DownArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct LabSelector {
    /// Which lab; give names to have several beside each other. 1 to 16 of a-z and 0-9.
    #[arg(long, value_name = "NAME", default_value_t)]
    pub(crate) name: LabName,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) lab: LabSelector,
    /// Directory of Kubernetes manifests: Nodes, Pods, Namespaces. The agents watch it.
    #[arg(short = 'f', long = "manifests", value_name = "DIR", default_value = "deploy/examples/lab")]
    pub(crate) manifests: PathBuf,
    /// Cores for each node's switch [default: the machine's last]
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    pub(crate) cores: Vec<usize>,
    /// Join the nodes by a wire of MTU 1500, with an outside behind it; their InternalIPs must be in one network.
    #[arg(long)]
    pub(crate) underlay: bool,
    /// A setting of every agent, such as superFrames=off or features.txMetadata=off.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) lab: LabSelector,
    /// Kubernetes namespace of the pod; may be left out when the pod's name is in one namespace only.
    #[arg(short = 'n', long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// The pod.
    pub(crate) pod: String,
    /// The command with its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    #[command(flatten)]
    pub(crate) lab: LabSelector,
    /// The node.
    pub(crate) node: String,
    /// The command with its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OutsideArgs {
    #[command(flatten)]
    pub(crate) lab: LabSelector,
    /// The command with its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LabStatusArgs {
    #[command(flatten)]
    pub(crate) lab: LabSelector,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) lab: LabSelector,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_command_s_own_options_stay_with_it() {
        let args = Args::try_parse_from(["sluice", "lab", "exec", "-n", "demo", "web", "--", "ping", "-c", "1", "-n"]);
        let Ok(Args { command: Command::Lab(LabCommand::Exec(exec)) }) = args else { panic!("{args:?}") };
        assert_eq!((exec.namespace.as_deref(), exec.pod.as_str()), (Some("demo"), "web"));
        assert_eq!(exec.command, ["ping", "-c", "1", "-n"]);
        assert_eq!(exec.lab.name, LabName::default());
    }

    #[test]
    fn wrong_usage_is_refused() {
        for line in ["sluice", "sluice lab up --name a-b", "sluice lab exec web", "sluice lab exec -- ls", "sluice x"] {
            let error = Args::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
