//! The keys of what lies beyond one node's pods: uplink, tunnels, Services, masquerade, connections.
//!
//! As in `keys.rs`, a key is a flag; `check` turns them into the checked [`Network`].

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sluice_model::NodePortAddresses;

use super::ConfigError;
use super::check::within;

/// How packets travel between nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Encapsulation {
    /// VXLAN (RFC 7348).
    #[default]
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
    /// Direct routing: the network between the nodes knows the way to every node's podCIDRs.
    None,
}

/// How a Service's endpoint is chosen for a new connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum EndpointChoice {
    /// At random.
    #[default]
    Random,
    /// By a consistent hash of the client's address and port, the same on every node.
    Maglev,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Switched {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// What a client of a TCP connection hears whose endpoint is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RemovedEndpoints {
    /// A RST, at once.
    #[default]
    Reset,
    /// Nothing; it notices by its own timeouts.
    Drop,
}

/// The keys of `uplink`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct UplinkKeys {
    /// The node's device towards other nodes and the outside [default: none, pods reach the outside through the node's
    /// own stack and other nodes not at all]
    #[arg(long = "uplink-device", value_name = "DEVICE")]
    pub device: Option<String>,
}

/// The keys of `tunnel`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct TunnelKeys {
    /// How packets travel between nodes, the same on all of them [default: vxlan]
    #[arg(long = "tunnel-encapsulation", value_name = "ENCAPSULATION")]
    pub encapsulation: Option<Encapsulation>,
    /// Number of the network in tunnel headers, 1 to 16777215 [default: 1]
    #[arg(long = "tunnel-vni", value_name = "VNI")]
    pub vni: Option<u64>,
    /// UDP port of the tunnel [default: 4789 for vxlan, 6081 for geneve]
    #[arg(long = "tunnel-port", value_name = "PORT")]
    pub port: Option<u64>,
}

/// The keys of `services`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceKeys {
    /// The cluster's Service ranges (the API server's --service-cluster-ip-range), separated by commas [default: none]
    #[arg(long = "services-cidrs", value_name = "CIDRS", value_delimiter = ',')]
    pub cidrs: Option<Vec<String>>,
    /// How an endpoint is chosen for a new connection [default: random]
    #[arg(long = "services-choice", value_name = "CHOICE")]
    pub choice: Option<EndpointChoice>,
    /// Whether externalIPs of Services are served [default: on]
    #[arg(long = "services-external-ips", value_name = "SWITCH")]
    pub external_ips: Option<Switched>,
    /// Node addresses at which NodePorts are served: primary, all, or networks, separated by commas [default: primary]
    #[arg(long = "services-node-port-addresses", value_name = "ADDRESSES", value_delimiter = ',')]
    pub node_port_addresses: Option<Vec<String>>,
    /// Serve the Services with this label service.kubernetes.io/service-proxy-name [default: those without the label]
    #[arg(long = "services-proxy-name", value_name = "NAME")]
    pub proxy_name: Option<String>,
    /// What a TCP client hears whose endpoint is gone [default: reset]
    #[arg(long = "services-removed-endpoints", value_name = "ANSWER")]
    pub removed_endpoints: Option<RemovedEndpoints>,
}

/// The keys of `masquerade`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct MasqueradeKeys {
    /// Whether pods speak to the outside by the node's address [default: on]
    #[arg(long = "masquerade-outside", value_name = "SWITCH")]
    pub outside: Option<Switched>,
    /// Networks besides the nodes' podCIDRs to which pods speak by their own addresses, separated by commas [default: none]
    #[arg(long = "masquerade-excluded", value_name = "CIDRS", value_delimiter = ',')]
    pub excluded: Option<Vec<String>>,
    /// The node's ports for masqueraded connections; the node itself must not use them [default: 61000-65535]
    #[arg(long = "masquerade-ports", value_name = "LOW-HIGH")]
    pub ports: Option<String>,
}

/// The keys of `connections`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionKeys {
    /// Connections that the node can keep, 1024 to 16777216 [default: by the machine's memory, 65536 to 1048576]
    #[arg(long = "connections-max", value_name = "CONNECTIONS")]
    pub max: Option<u64>,
    /// Percent of them that one pod may have, 1 to 100 [default: 25]
    #[arg(long = "connections-pod-share", value_name = "PERCENT")]
    pub pod_share: Option<u64>,
}

/// All of it, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Name of the uplink, where there is one.
    pub uplink: Option<String>,
    /// How packets travel between nodes.
    pub encapsulation: Encapsulation,
    /// Network number in tunnel headers, 1 to 2^24 - 1.
    pub vni: u32,
    /// UDP port of the tunnel.
    pub tunnel_port: u16,
    /// The cluster's Service ranges.
    pub service_cidrs: Vec<IpNet>,
    /// How an endpoint is chosen.
    pub choice: EndpointChoice,
    /// Whether externalIPs are served.
    pub external_ips: Switched,
    /// Where NodePorts are served.
    pub node_port_addresses: NodePortAddresses,
    /// Whose Services are served; `None` for those without the label.
    pub proxy_name: Option<String>,
    /// What a TCP client hears whose endpoint is gone.
    pub removed_endpoints: RemovedEndpoints,
    /// Whether pods speak to the outside by the node's address.
    pub masquerade_outside: Switched,
    /// Where they speak by their own.
    pub masquerade_excluded: Vec<IpNet>,
    /// Ports for masqueraded connections, first and last.
    pub masquerade_ports: (u16, u16),
    /// Connections that the node can keep; `None` to choose by the machine's memory.
    pub connections: Option<u32>,
    /// Percent of them that one pod may have.
    pub pod_share: u8,
}

/// The default for masqueraded connections: above Linux's ephemeral ports (net.ipv4.ip_local_port_range, 32768-60999)
/// and above the usual NodePorts.
const MASQUERADE_PORTS: (u16, u16) = (61000, 65535);

/// The longest name of a device (IFNAMSIZ less its final zero).
const DEVICE_NAME_LIMIT: usize = 15;

pub(super) fn check(
    uplink: UplinkKeys,
    tunnel: TunnelKeys,
    services: ServiceKeys,
    masquerade: MasqueradeKeys,
    connections: ConnectionKeys,
) -> Result<Network, ConfigError> {
    let encapsulation = tunnel.encapsulation.unwrap_or_default();
    let port = if encapsulation == Encapsulation::Geneve { 6081 } else { 4789 };
    Ok(Network {
        uplink: uplink.device.filter(|name| !name.is_empty()).map(device).transpose()?,
        encapsulation,
        vni: within("tunnel.vni", tunnel.vni.unwrap_or(1), (1, (1 << 24) - 1))?,
        tunnel_port: within("tunnel.port", tunnel.port.unwrap_or(port), (1, 65535))?,
        service_cidrs: networks("services.cidrs", services.cidrs.unwrap_or_default())?,
        choice: services.choice.unwrap_or_default(),
        external_ips: services.external_ips.unwrap_or(Switched::On),
        node_port_addresses: node_port_addresses(services.node_port_addresses.unwrap_or_default())?,
        proxy_name: services.proxy_name.filter(|name| !name.is_empty()),
        removed_endpoints: services.removed_endpoints.unwrap_or_default(),
        masquerade_outside: masquerade.outside.unwrap_or(Switched::On),
        masquerade_excluded: networks("masquerade.excluded", masquerade.excluded.unwrap_or_default())?,
        masquerade_ports: masquerade.ports.map_or(Ok(MASQUERADE_PORTS), port_range)?,
        connections: connections.max.map(|max| within("connections.max", max, (1 << 10, 1 << 24))).transpose()?,
        pod_share: within("connections.podShare", connections.pod_share.unwrap_or(25), (1, 100))?,
    })
}

fn device(name: String) -> Result<String, ConfigError> {
    let good = name.len() <= DEVICE_NAME_LIMIT && !name.bytes().any(|byte| byte == b'/' || byte.is_ascii_whitespace());
    if good && name != "." && name != ".." { Ok(name) } else { Err(ConfigError::BadDevice { value: name }) }
}

fn networks(key: &'static str, written: Vec<String>) -> Result<Vec<IpNet>, ConfigError> {
    let parse = |value: String| match value.parse::<IpNet>() {
        Ok(net) if net.trunc() == net => Ok(net),
        _ => Err(ConfigError::BadNetwork { key, value }),
    };
    written.into_iter().map(parse).collect()
}

fn node_port_addresses(written: Vec<String>) -> Result<NodePortAddresses, ConfigError> {
    match written.as_slice() {
        [] => Ok(NodePortAddresses::Primary),
        [one] if one == "primary" => Ok(NodePortAddresses::Primary),
        [one] if one == "all" => Ok(NodePortAddresses::All),
        _ => networks("services.nodePortAddresses", written).map(NodePortAddresses::Ranges),
    }
}

/// Well-known ports are for the node's own services, whose replies must reach them.
fn port_range(value: String) -> Result<(u16, u16), ConfigError> {
    let parsed = value.split_once('-').and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
    match parsed {
        Some((low, high)) if low >= 1024 && low <= high => Ok((low, high)),
        _ => Err(ConfigError::BadPorts { value }),
    }
}

impl Network {
    /// The keys that give this again.
    pub(super) fn keys(&self) -> (UplinkKeys, TunnelKeys, ServiceKeys, MasqueradeKeys, ConnectionKeys) {
        let Network {
            uplink,
            encapsulation,
            vni,
            tunnel_port,
            service_cidrs,
            choice,
            external_ips,
            node_port_addresses,
            proxy_name,
            removed_endpoints,
            masquerade_outside,
            masquerade_excluded,
            masquerade_ports: (low, high),
            connections,
            pod_share,
        } = self;
        let text = |nets: &[IpNet]| nets.iter().map(ToString::to_string).collect::<Vec<_>>();
        let node_port_addresses = match node_port_addresses {
            NodePortAddresses::Primary => vec!["primary".to_owned()],
            NodePortAddresses::All => vec!["all".to_owned()],
            NodePortAddresses::Ranges(nets) => text(nets),
        };
        (
            UplinkKeys { device: uplink.clone() },
            TunnelKeys {
                encapsulation: Some(*encapsulation),
                vni: Some((*vni).into()),
                port: Some((*tunnel_port).into()),
            },
            ServiceKeys {
                cidrs: Some(text(service_cidrs)),
                choice: Some(*choice),
                external_ips: Some(*external_ips),
                node_port_addresses: Some(node_port_addresses),
                proxy_name: proxy_name.clone(),
                removed_endpoints: Some(*removed_endpoints),
            },
            MasqueradeKeys {
                outside: Some(*masquerade_outside),
                excluded: Some(text(masquerade_excluded)),
                ports: Some(format!("{low}-{high}")),
            },
            ConnectionKeys { max: connections.map(u64::from), pod_share: Some((*pod_share).into()) },
        )
    }
}

impl UplinkKeys {
    pub(super) fn over(self, base: Self) -> Self {
        let Self { device } = self;
        Self { device: device.or(base.device) }
    }
}

impl TunnelKeys {
    pub(super) fn over(self, base: Self) -> Self {
        let Self { encapsulation, vni, port } = self;
        Self { encapsulation: encapsulation.or(base.encapsulation), vni: vni.or(base.vni), port: port.or(base.port) }
    }
}

impl ServiceKeys {
    pub(super) fn over(self, base: Self) -> Self {
        let Self { cidrs, choice, external_ips, node_port_addresses, proxy_name, removed_endpoints } = self;
        Self {
            cidrs: cidrs.or(base.cidrs),
            choice: choice.or(base.choice),
            external_ips: external_ips.or(base.external_ips),
            node_port_addresses: node_port_addresses.or(base.node_port_addresses),
            proxy_name: proxy_name.or(base.proxy_name),
            removed_endpoints: removed_endpoints.or(base.removed_endpoints),
        }
    }
}

impl MasqueradeKeys {
    pub(super) fn over(self, base: Self) -> Self {
        let Self { outside, excluded, ports } = self;
        Self { outside: outside.or(base.outside), excluded: excluded.or(base.excluded), ports: ports.or(base.ports) }
    }
}

impl ConnectionKeys {
    pub(super) fn over(self, base: Self) -> Self {
        let Self { max, pod_share } = self;
        Self { max: max.or(base.max), pod_share: pod_share.or(base.pod_share) }
    }
}
