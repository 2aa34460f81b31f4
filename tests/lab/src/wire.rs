//! Further hosts on a lab's wire, beside its nodes: an API server, say, that has to be there before the nodes are.

use std::net::IpAddr;

use crate::error::LabError;
use crate::layout::Layout;
use crate::name::LabName;
use crate::nodes::open_or_create;
use crate::up::{UpOptions, plan};

/// A host on the wire that is no node.
#[derive(Debug, Clone)]
pub struct WireHost {
    /// What it is called, of `a-z` and `0-9`; its network namespace has this in its name.
    pub label: String,
    /// Its addresses on the wire, in the nodes' networks and none's already.
    pub addresses: Vec<IpAddr>,
}

/// Makes the wire of the lab that `options` describe, with the outside behind it and this host on it, and returns the name of
/// the host's network namespace. Nodes and pods are left to [`crate::up`]; what is there stays. [`crate::down`] removes it all, with
/// the processes inside.
///
/// # Errors
/// As [`crate::up`]; [`LabError::NoWire`] when the lab is to have none.
pub fn raise_wire(options: &UpOptions, host: &WireHost) -> Result<String, LabError> {
    let layout = Layout::of(&options.name);
    let (_, _lock, record) = plan(options, &layout)?;
    let underlay = record.underlay.as_ref().ok_or_else(|| LabError::NoWire { name: options.name.to_string() })?;
    record.save(&layout)?;
    underlay.raise()?;
    let netns = options.name.host_netns(&host.label);
    underlay.join(&known_as(&host.label), &open_or_create(&netns)?, &host.addresses)?;
    Ok(netns)
}

/// Plugs a host that is no node into the wire, or pulls its plug; it keeps its addresses and its own loopback.
///
/// # Errors
/// [`LabError::NotUp`] without such a lab, [`LabError::NoWire`] when it has none.
pub fn set_wire(name: &LabName, label: &str, plugged: bool) -> Result<(), LabError> {
    let record = crate::status::record(name)?;
    let underlay = record.underlay.ok_or_else(|| LabError::NoWire { name: name.to_string() })?;
    underlay.plug_port(&known_as(label), plugged)
}

/// A host's name among the ports of the wire. No node's name begins like that.
fn known_as(label: &str) -> String {
    format!("_{label}")
}
