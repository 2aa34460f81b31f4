//! Further hosts on a lab's wire, beside its nodes: an API server, say, that has to be there before the nodes are.

use std::net::IpAddr;

use crate::error::LabError;
use crate::layout::Layout;
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
    underlay.join(&format!("_{}", host.label), &open_or_create(&netns)?, &host.addresses)?;
    Ok(netns)
}
