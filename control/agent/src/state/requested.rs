//! What the runtime, or the network's configuration, asked for one attachment beyond the usual.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sluice_cni_protocol::{Bandwidth, PortMapping};

/// Kept with the attachment, so that a restart gives the pod the same again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Requested {
    /// Ports of the node that lead to the pod.
    pub port_mappings: Vec<PortMapping>,
    /// How much it may send and receive.
    pub bandwidth: Option<Bandwidth>,
    /// Whether it has default routes by this interface.
    pub default_route: bool,
    /// Networks that it reaches by this interface, besides.
    pub routes: Vec<IpNet>,
}

impl Default for Requested {
    fn default() -> Requested {
        Requested { port_mappings: Vec::new(), bandwidth: None, default_route: true, routes: Vec::new() }
    }
}
