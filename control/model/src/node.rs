//! Nodes: their pod networks and the addresses they are reached at.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::check::Check;
use crate::fault::{Fault, FieldPath, Problem};
use crate::name::NodeName;
use crate::object::{Kind, Labels};
use crate::pod_cidr;
use crate::raw;

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
}

impl Node {
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
    let pod_cidrs = check_pod_cidrs(&mut check, &raw.spec.clone().unwrap_or_default());
    let internal_ips = check_addresses(&mut check, &raw.status.clone().unwrap_or_default());
    check.finish(name.map(|name| Node { name, labels, pod_cidrs, internal_ips }))
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
                let problem = Problem::NotFirst { value: value.to_owned(), first: first.clone() };
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

/// Only `InternalIP` is read; the other types are names and addresses for people.
fn check_addresses(check: &mut Check, status: &raw::NodeStatus) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for (index, entry) in status.addresses.iter().flatten().enumerate() {
        if entry.kind.as_deref() != Some("InternalIP") {
            continue;
        }
        let field = FieldPath::of(&["status", "addresses"]).index(index).key("address");
        let parsed = match entry.address.as_deref() {
            None => Err(Problem::Missing),
            Some(text) => text.parse().map_err(|_| Problem::NotAnAddress { value: text.to_owned() }),
        };
        match parsed {
            Ok(value) if is_unicast(value) => addresses.push(value),
            Ok(value) => {
                check.fault::<()>(field, Problem::NotUnicast { value });
            }
            Err(problem) => {
                check.fault::<()>(field, problem);
            }
        }
    }
    addresses
}

/// Whether a host beyond this one can have the address.
pub(crate) fn is_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || broadcast)
}
