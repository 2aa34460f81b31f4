//! The API server with its etcd, the controllers and the scheduler, on a host of their own on the wire.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use sluice_e2e::{ApiServer, ApiServerOptions, LOOPBACK, PORT, Running, SERVICE_RANGES, built};
use sluice_host::Netns;

use crate::error::ClusterError;

/// The ranges that the nodes' podCIDRs are taken from.
pub const POD_RANGES: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/48"];

/// A control plane. All of it ends with this value.
#[derive(Debug)]
pub struct ControlPlane {
    /// The controllers and the scheduler, while they run.
    running: Vec<Running>,
    /// How they are started.
    programs: Vec<Program>,
    netns: Netns,
    // After those, who would complain of its going.
    api: ApiServer,
}

#[derive(Debug)]
struct Program {
    command: Vec<String>,
    log: PathBuf,
}

impl ControlPlane {
    /// Starts it in the network namespace of this name, with its files in `directory`.
    pub(crate) fn start(netns: &str, directory: &Path, addresses: &[IpAddr]) -> Result<Self, ClusterError> {
        let flags = api_flags(directory);
        let api = ApiServer::start(netns, directory, addresses, ApiServerOptions { flags, ..Default::default() })?;
        let url = format!("https://{LOOPBACK}:{PORT}");
        let netns = Netns::open_named(netns)?;
        let program = |name: &'static str, variable, further: &[(&str, String)]| -> Result<Program, ClusterError> {
            let user = format!("system:{name}");
            let kubeconfig = api.write_user_kubeconfig(&format!("{name}.kubeconfig"), &url, &user, "system:masters")?;
            let mut command = vec![built(name, variable)?.to_string_lossy().into_owned()];
            let common = [
                ("kubeconfig", kubeconfig.to_string_lossy().into_owned()),
                ("leader-elect", "false".to_owned()),
                ("bind-address", LOOPBACK.to_owned()),
            ];
            command.extend(common.iter().chain(further).map(|(flag, value)| format!("--{flag}={value}")));
            Ok(Program { command, log: directory.join(format!("{name}.log")) })
        };
        let file = |name: &str| api.file(name).to_string_lossy().into_owned();
        let controllers = program(
            "kube-controller-manager",
            "KUBE_CONTROLLER_MANAGER",
            &[
                ("service-account-private-key-file", file("tokens.key")),
                ("root-ca-file", file("admin.ca.crt")),
                ("allocate-node-cidrs", "true".to_owned()),
                ("cluster-cidr", POD_RANGES.join(",")),
                ("service-cluster-ip-range", SERVICE_RANGES.join(",")),
                ("node-cidr-mask-size-ipv4", "24".to_owned()),
                ("node-cidr-mask-size-ipv6", "64".to_owned()),
            ],
        )?;
        let programs = vec![controllers, program("kube-scheduler", "KUBE_SCHEDULER", &[])?];
        let mut plane = Self { running: Vec::new(), programs, netns, api };
        plane.start_programs()?;
        Ok(plane)
    }

    fn start_programs(&mut self) -> Result<(), ClusterError> {
        for Program { command, log } in &self.programs {
            self.running.push(Running::start(&self.netns, command, log)?);
        }
        Ok(())
    }

    /// Ends the API server as a crash does, and with it those that end themselves when they cannot reach it: each controller that elects
    /// its leader does. etcd stays.
    pub fn go_away(&mut self) {
        self.running.clear();
        self.api.kill();
    }

    /// Starts all of that again, if it is away; the API server is ready when this returns.
    ///
    /// # Errors
    /// What does not start, with the end of its log.
    pub fn come_back(&mut self) -> Result<(), ClusterError> {
        if self.running.is_empty() {
            self.api.restart()?;
            self.start_programs()?;
        }
        Ok(())
    }

    /// Its API server.
    pub fn api(&self) -> &ApiServer {
        &self.api
    }

    /// Its API server, for what happens to it.
    pub fn api_mut(&mut self) -> &mut ApiServer {
        &mut self.api
    }
}

/// A cluster's usual admission and authorization, and who the server is to the nodes' kubelets.
fn api_flags(directory: &Path) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    [
        ("authorization-mode", "Node,RBAC".to_owned()),
        ("enable-admission-plugins", "NodeRestriction".to_owned()),
        // Nothing: all that a server usually has.
        ("disable-admission-plugins", String::new()),
        ("kubelet-client-certificate", file("admin.crt")),
        ("kubelet-client-key", file("admin.key")),
        ("kubelet-preferred-address-types", "InternalIP".to_owned()),
    ]
    .map(|(flag, value)| format!("--{flag}={value}"))
    .into()
}
