//! What must hold in a generation before it may serve. Each file checks one subject and names the object at fault.

mod node;
mod peers;
mod policies;
mod ports;
mod services;

use ipnet::IpNet;
use sluice_wire::MacAddr;

pub(crate) use policies::check as check_policies;
pub(crate) use ports::{check as check_port, check_pod_cidrs};

use crate::{Tables, TablesError, Tunnel};

/// Everything that concerns more than one port. `tunnel` is as given, be it without encapsulation.
pub(crate) fn check_whole(tables: &Tables, tunnel: Option<&Tunnel>) -> Result<(), TablesError> {
    node::check(tables)?;
    if let Some(tunnel) = tunnel {
        node::check_tunnel(tables, tunnel)?;
    }
    peers::check(tables)?;
    services::check(tables)
}

/// Whether a frame can be sent to `mac` and to no group.
fn is_usable(mac: MacAddr) -> bool {
    mac.0 != [0; 6] && !mac.is_multicast()
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}
