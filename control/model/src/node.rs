//! Nodes: their pod networks and the addresses they are reached at.

mod tunnel_end;

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use sluice_tables::{Family, GATEWAY_IPV4, tunnel_mac};
use sluice_wire::MacAddr;

use crate::check::Check;
use crate::fault::{Fault, FieldPath, Problem};
use crate::name::NodeName;
use crate::object::{Kind, Labels};
use crate::pod_cidr;
use crate::raw;
pub use tunnel_end::TunnelEnd;
pub(crate) use tunnel_end::name as encapsulation_name;

/// A checked Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its labels.
    pub labels: Labels,
    /// Its pod networks in the order written: no two overlap, none has bits behind its prefix, each has room for the
    /// node's own address and a pod. Empty until the cluster has given it some.
    pub pod_cidrs: Vec<IpNet>,
    /// Its addresses of type `InternalIP`, in the order written.
    pub internal_ips: Vec<IpAddr>,
    /// Its addresses of type `ExternalIP`, in the order written.
    pub external_ips: Vec<IpAddr>,
    /// Its name of type `Hostname`.
    pub hostname: Option<String>,
    /// The MAC its end of the tunnel has, where annotations say one.
    pub tunnel_mac: Option<MacAddr>,
    /// What it says of its end of the tunnel otherwise.
    pub tunnel_end: TunnelEnd,
    /// Whether it is being removed: its object is being deleted, or the cluster autoscaler has marked it. Load balancers are to send
    /// it no more connections (KEP-3836).
    pub leaving: bool,
}

/// Label with the zone a node is in.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// Annotation with the MAC of a node's end of the tunnel, where it is not the one that Sluice would take.
const TUNNEL_MAC: &str = "sluice.io/tunnel-mac";
/// Taint that the cluster autoscaler puts on a node before it removes it (`ToBeDeletedTaint` in pkg/proxy/healthcheck of
/// Kubernetes).
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";
/// Annotation in which Flannel tells the same: JSON with a `VtepMAC`.
const FLANNEL_DATA: &str = "flannel.alpha.coreos.com/backend-data";

impl Node {
    /// A node of which nothing but the name is known.
    pub fn named(name: NodeName) -> Node {
        Node {
            name,
            labels: Labels::new(),
            pod_cidrs: Vec::new(),
            internal_ips: Vec::new(),
            external_ips: Vec::new(),
            hostname: None,
            tunnel_mac: None,
            tunnel_end: TunnelEnd::default(),
            leaving: false,
        }
    }

    /// The annotations that say what Sluice reads of them.
    pub(crate) fn annotations(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.tunnel_mac.map(|mac| (TUNNEL_MAC, mac.to_string())).into_iter().chain(self.tunnel_end.annotations())
    }

    /// The zone it is in.
    pub fn zone(&self) -> Option<&str> {
        self.labels.get(ZONE_LABEL).map(String::as_str).filter(|zone| !zone.is_empty())
    }

    /// The first `InternalIP` of a family.
    pub fn internal_ip(&self, family: Family) -> Option<IpAddr> {
        self.internal_ips.iter().copied().find(|address| Family::of(*address) == family)
    }

    /// The MAC of its end of the tunnels, where that end has this address.
    pub fn tunnel_mac_at(&self, address: IpAddr) -> MacAddr {
        self.tunnel_mac.unwrap_or_else(|| tunnel_mac(address))
    }

    /// Every address that counts as the node's: those in the pod network, those of its status, and `live` ones, which
    /// its own stack has. Of those that no other host could reach only link-local ones of IPv4 are among them: pods reach what
    /// a node serves there, as a DNS cache.
    pub fn all_addresses(&self, live: &[IpAddr]) -> BTreeSet<IpAddr> {
        let all = self.own_addresses().into_iter().chain(self.addresses()).chain(live.iter().copied());
        all.filter(|address| is_reachable(*address) || is_link_local_v4(*address)).collect()
    }

    /// All addresses of its status: those inside the cluster first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.internal_ips.iter().chain(&self.external_ips).copied()
    }

    /// The node's own addresses in the pod network: the first usable one of each pod network.
    pub fn own_addresses(&self) -> Vec<IpAddr> {
        self.pod_cidrs.iter().filter_map(pod_cidr::first_usable).collect()
    }
}

pub(crate) fn check(raw: &raw::Node) -> Result<Node, Vec<Fault>> {
    let metadata = raw.metadata.clone().unwrap_or_default();
    let mut check = Check::new(Kind::Node, &metadata);
    let name = check.name(&metadata, NodeName::new);
    let labels = check.labels(&metadata);
    let spec = raw.spec.clone().unwrap_or_default();
    let pod_cidrs = check_pod_cidrs(&mut check, &spec);
    let marked = spec.taints.iter().flatten().any(|taint| taint.key.as_deref() == Some(TO_BE_DELETED));
    let leaving = marked || metadata.deletion_timestamp.is_some();
    let tunnel_mac = check_tunnel_mac(&mut check, &metadata);
    let tunnel_end = tunnel_end::check(&mut check, &metadata);
    let status = raw.status.clone().unwrap_or_default();
    let internal_ips = check_addresses(&mut check, &status, "InternalIP");
    let external_ips = check_addresses(&mut check, &status, "ExternalIP");
    let hostname = status.addresses.iter().flatten().find(|entry| entry.kind.as_deref() == Some("Hostname"));
    let hostname = hostname.and_then(|entry| entry.address.clone());
    check.finish(name.map(|name| Node {
        name,
        labels,
        pod_cidrs,
        internal_ips,
        external_ips,
        hostname,
        tunnel_mac,
        tunnel_end,
        leaving,
    }))
}

/// Sluice's own annotation, else Flannel's: nodes of both can be in one cluster.
fn check_tunnel_mac(check: &mut Check, metadata: &raw::Metadata) -> Option<MacAddr> {
    let annotation = |key: &str| metadata.annotations.as_ref()?.get(key)?.as_deref();
    let (key, text) = match (annotation(TUNNEL_MAC), annotation(FLANNEL_DATA)) {
        (Some(text), _) => (TUNNEL_MAC, text),
        // Other backends of Flannel write other data, or "null".
        (None, Some(data)) => (FLANNEL_DATA, vtep_mac(data)?),
        (None, None) => return None,
    };
    match text.parse::<MacAddr>() {
        Ok(mac) if mac.is_unicast() => Some(mac),
        _ => {
            let field = FieldPath::of(&["metadata", "annotations"]).key(key);
            check.fault(field, Problem::NotAMac { value: text.to_owned() })
        }
    }
}

/// The text of `"VtepMAC"` in a JSON object. A quote inside any JSON text has a backslash before it, so the key with
/// both its quotes can only be a key or a whole text.
fn vtep_mac(data: &str) -> Option<&str> {
    let (_, after) = data.split_once("\"VtepMAC\"")?;
    let value = after.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    value.split_once('"').map(|(mac, _)| mac)
}

fn check_pod_cidrs(check: &mut Check, spec: &raw::NodeSpec) -> Vec<IpNet> {
    let single = FieldPath::of(&["spec", "podCIDR"]);
    let several = FieldPath::of(&["spec", "podCIDRs"]);
    let list = spec.pod_cidrs.as_deref().unwrap_or_default();
    let written: Vec<(FieldPath, &str)> = match (spec.pod_cidr.as_deref(), list) {
        (Some(value), []) if !value.is_empty() => vec![(single, value)],
        (value, list) => {
            if let (Some(value), Some(first)) = (value.filter(|value| !value.is_empty()), list.first())
                && value != first
            {
                let problem =
                    Problem::NotFirst { value: value.to_owned(), list: "spec.podCIDRs", first: first.clone() };
                check.fault::<()>(single, problem);
            }
            list.iter().enumerate().map(|(index, value)| (several.clone().index(index), value.as_str())).collect()
        }
    };
    let mut networks: Vec<IpNet> = Vec::new();
    for (field, value) in written {
        let overlapping = |value: &IpNet| networks.iter().find(|other| pod_cidr::overlap(other, value)).copied();
        let checked = pod_cidr::parse(value).and_then(|value| match overlapping(&value) {
            Some(other) => Err(Problem::Overlap { value, other }),
            None => Ok(value),
        });
        match checked {
            Ok(network) => networks.push(network),
            Err(problem) => {
                check.fault::<()>(field, problem);
            }
        }
    }
    networks
}

/// The addresses of one type; the other types are names for people.
fn check_addresses(check: &mut Check, status: &raw::NodeStatus, kind: &str) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for (index, entry) in status.addresses.iter().flatten().enumerate() {
        if entry.kind.as_deref() != Some(kind) {
            continue;
        }
        let field = FieldPath::of(&["status", "addresses"]).index(index).key("address");
        addresses.extend(check.reachable(field, entry.address.as_deref()));
    }
    addresses
}

/// Whether a node may serve pods at a link-local address of IPv4; the gateway's is the switch's.
fn is_link_local_v4(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.is_link_local() && v4 != GATEWAY_IPV4)
}

/// Whether a host on another link can be reached at the address.
pub(crate) fn is_reachable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !matches!(v4.octets()[0], 0 | 224..),
        IpAddr::V6(v6) => {
            let mapped = v6.to_ipv4_mapped().is_some();
            !(v6.is_unspecified() || v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast() || mapped)
        }
    }
}
