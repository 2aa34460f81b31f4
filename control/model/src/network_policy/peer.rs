//! One of a rule's peers.

use std::net::IpAddr;

use ipnet::IpNet;

use super::problem::PolicyProblem;
use crate::check::Check;
use crate::fault::{FieldPath, Problem};
use crate::raw;
use crate::selector::{self, Selector};

/// Somebody a policy speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyPeer {
    /// Pods that have their own network, by their labels and their namespaces'.
    Pods {
        /// Namespaces with these labels; `None`: the policy's own.
        namespaces: Option<Selector>,
        /// Pods with these labels.
        pods: Selector,
    },
    /// Addresses, whoever has them.
    Block(IpBlock),
}

/// A network less some parts of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpBlock {
    /// The network, without bits behind its prefix.
    pub cidr: IpNet,
    /// Parts of it, smaller than itself, that are not meant.
    pub except: Vec<IpNet>,
}

impl IpBlock {
    /// Whether an address is meant.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.cidr.contains(&address) && !self.except.iter().any(|part| part.contains(&address))
    }
}

pub(super) fn check(check: &mut Check, field: &FieldPath, raw: &raw::NetworkPolicyPeer) -> Option<PolicyPeer> {
    let mut selector = |name: &str, raw: &Option<raw::LabelSelector>| {
        raw.as_ref().map(|raw| selector::check(check, &field.clone().key(name), raw))
    };
    let pods = selector("podSelector", &raw.pod_selector);
    let namespaces = selector("namespaceSelector", &raw.namespace_selector);
    match (&raw.ip_block, pods, namespaces) {
        (None, None, None) => check.fault(field.clone(), Problem::Policy(PolicyProblem::NoPeer)),
        (None, pods, namespaces) => Some(PolicyPeer::Pods { namespaces, pods: pods.unwrap_or_default() }),
        (Some(raw), None, None) => check_block(check, &field.clone().key("ipBlock"), raw).map(PolicyPeer::Block),
        (Some(_), _, _) => check.fault(field.clone().key("ipBlock"), Problem::Policy(PolicyProblem::BlockWithSelector)),
    }
}

fn check_block(check: &mut Check, field: &FieldPath, raw: &raw::IpBlock) -> Option<IpBlock> {
    let at = field.clone().key("cidr");
    let cidr = match raw.cidr.as_deref() {
        Some(written) => parse(check, at, written),
        None => check.fault(at, Problem::Missing),
    };
    let mut except = Vec::new();
    for (position, written) in raw.except.iter().flatten().enumerate() {
        let at = field.clone().key("except").index(position);
        let Some(value) = parse(check, at.clone(), written) else { continue };
        match cidr {
            Some(cidr) if !cidr.contains(&value) || cidr == value => {
                check.fault::<()>(at, Problem::Policy(PolicyProblem::NotInside { value, cidr }));
            }
            _ => except.push(value),
        }
    }
    Some(IpBlock { cidr: cidr?, except })
}

/// Bits behind the prefix have no meaning, as the API has it. An IPv4 network written as IPv6 would never match a
/// packet's IPv4 address, so it is refused as the API server does it for new objects.
fn parse(check: &mut Check, field: FieldPath, written: &str) -> Option<IpNet> {
    match written.parse::<IpNet>() {
        Ok(IpNet::V6(network)) if network.addr().to_ipv4_mapped().is_some() && network.prefix_len() >= 96 => {
            check.fault(field, Problem::NotACidr { value: written.to_owned() })
        }
        Ok(network) => Some(network.trunc()),
        Err(_) => check.fault(field, Problem::NotACidr { value: written.to_owned() }),
    }
}
