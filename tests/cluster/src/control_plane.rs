//! The API server with its etcd, the controllers and the scheduler, on a host of their own on the wire.

use std::net::IpAddr;
use std::path::Path;

use sluice_e2e::{ApiServer, ApiServerOptions, LOOPBACK, PORT, Running, SERVICE_RANGES, built};
use sluice_host::Netns;

use crate::error::ClusterError;

/// The ranges that the nodes' podCIDRs are taken from.
pub const POD_RANGES: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/48"];

/// A running control plane. All of it ends with this value.
#[derive(Debug)]
pub struct ControlPlane {
    _scheduler: Running,
    _controllers: Running,
    // After those, who would complain of its going.
    api: ApiServer,
}

impl ControlPlane {
    /// Starts it in the network namespace of this name, with its files in `directory`.
    pub(crate) fn start(netns: &str, directory: &Path, addresses: &[IpAddr]) -> Result<Self, ClusterError> {
        let flags = api_flags(directory);
        let api = ApiServer::start(netns, directory, addresses, ApiServerOptions { flags, ..Default::default() })?;
        let url = format!("https://{LOOPBACK}:{PORT}");
        let netns = Netns::open_named(netns)?;
        let start = |name: &'static str, variable, further: &[(&str, String)]| -> Result<Running, ClusterError> {
            let user = format!("system:{name}");
            let kubeconfig = api.write_user_kubeconfig(&format!("{name}.kubeconfig"), &url, &user, "system:masters")?;
            let mut command = vec![built(name, variable)?.to_string_lossy().into_owned()];
            let common = [
                ("kubeconfig", kubeconfig.to_string_lossy().into_owned()),
                ("leader-elect", "false".to_owned()),
                ("bind-address", LOOPBACK.to_owned()),
            ];
            command.extend(common.iter().chain(further).map(|(flag, value)| format!("--{flag}={value}")));
            Ok(Running::start(&netns, &command, &directory.join(format!("{name}.log")))?)
        };
        let file = |name: &str| api.file(name).to_string_lossy().into_owned();
        let controllers = start(
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
        let scheduler = start("kube-scheduler", "KUBE_SCHEDULER", &[])?;
        Ok(Self { _scheduler: scheduler, _controllers: controllers, api })
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
