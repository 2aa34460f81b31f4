//! The node's addresses, masquerading, and its end of the tunnels.

use std::net::IpAddr;
use std::sync::Arc;

use super::is_usable;
use crate::{Encapsulation, FrontendKind, MIN_PATH_MTU, Masquerade, PortKind, Tables, TablesError, Tunnel};

/// First port that is not the system's (RFC 6335 section 6).
const FIRST_USER_PORT: u16 = 1024;
/// VNIs have 24 bits (RFC 7348 section 5, RFC 8926 section 3.4).
const VNI_END: u32 = 1 << 24;

pub(super) fn check(tables: &Tables) -> Result<(), TablesError> {
    for &address in &tables.node.addresses {
        if let Some(port) = tables.owner(address).filter(|port| port.kind == PortKind::Pod) {
            return Err(TablesError::NodeAddressOfPod { address, port: port.id });
        }
    }
    check_masquerade(tables, &tables.node.masquerade)
}

/// An address that the node speaks from to other nodes, which a Service must therefore not take from it.
fn check_vital(tables: &Tables, address: IpAddr) -> Result<(), TablesError> {
    if let Some(range) = tables.services.service_cidrs().iter().find(|range| range.contains(&address)) {
        return Err(TablesError::NodeInServiceRange { address, range: *range });
    }
    let mut clusters = tables.services.frontends().filter(|(_, kind, _)| *kind == FrontendKind::ClusterIp);
    match clusters.find(|(key, ..)| key.address == address) {
        Some((key, _, service)) => Err(TablesError::ClusterIpOfNode { key, service: Arc::clone(service.name()) }),
        None => Ok(()),
    }
}

fn check_masquerade(tables: &Tables, masquerade: &Masquerade) -> Result<(), TablesError> {
    let (first, last) = masquerade.ports;
    if first > last || first < FIRST_USER_PORT {
        return Err(TablesError::MasqueradePorts { first, last });
    }
    let addresses = masquerade.v4.map(IpAddr::V4).into_iter().chain(masquerade.v6.map(IpAddr::V6));
    for address in addresses {
        if !tables.node.addresses.contains(&address) {
            return Err(TablesError::MasqueradeAddress(address));
        }
        check_vital(tables, address)?;
    }
    Ok(())
}

pub(super) fn check_tunnel(tables: &Tables, tunnel: &Tunnel) -> Result<(), TablesError> {
    if tunnel.encapsulation == Encapsulation::None {
        return Ok(());
    }
    let (first, last) = tables.node.masquerade.ports;
    match () {
        () if tunnel.local.is_unspecified() || !tables.node.addresses.contains(&tunnel.local) => {
            Err(TablesError::TunnelAddress(tunnel.local))
        }
        () if tunnel.vni >= VNI_END => Err(TablesError::TunnelVni(tunnel.vni)),
        () if tunnel.port == 0 || (first..=last).contains(&tunnel.port) => Err(TablesError::TunnelPort(tunnel.port)),
        () if tunnel.inner_mtu < MIN_PATH_MTU => Err(TablesError::TunnelMtu(tunnel.inner_mtu)),
        () if !is_usable(tunnel.mac) => Err(TablesError::TunnelMac),
        () => check_vital(tables, tunnel.local),
    }
}
