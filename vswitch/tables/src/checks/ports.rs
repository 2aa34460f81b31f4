//! Each port for itself, and the node's podCIDRs.

use ipnet::IpNet;

use crate::{Gateway, MIN_PATH_MTU, Port, PortKind, TablesError, is_unicast};

pub(crate) fn check_pod_cidrs(cidrs: &[IpNet]) -> Result<(), TablesError> {
    for (position, one) in cidrs.iter().enumerate() {
        for other in &cidrs[position + 1..] {
            if super::overlap(one, other) {
                return Err(TablesError::OverlappingPodCidrs(*one, *other));
            }
        }
    }
    Ok(())
}

pub(crate) fn check(port: &Port, gateway: &Gateway, pod_cidrs: &[IpNet]) -> Result<(), TablesError> {
    if !super::is_usable(port.mac) || port.mac == gateway.mac {
        return Err(TablesError::UnusableMac(port.id));
    }
    if port.path_mtu < MIN_PATH_MTU {
        return Err(TablesError::PathMtuTooSmall { port: port.id, path_mtu: port.path_mtu });
    }
    if port.max_l3_len < u32::from(port.path_mtu) {
        return Err(TablesError::LimitBelowPathMtu {
            port: port.id,
            max_l3_len: port.max_l3_len,
            path_mtu: port.path_mtu,
        });
    }
    if port.kind == PortKind::Uplink && !port.addresses.is_empty() {
        return Err(TablesError::UplinkAddress(port.id));
    }
    for &address in &port.addresses {
        if !is_unicast(address) || gateway.has_address(address) {
            return Err(TablesError::UnusableAddress { address, port: port.id });
        }
        if port.kind == PortKind::Pod && !pod_cidrs.iter().any(|cidr| cidr.contains(&address)) {
            return Err(TablesError::AddressOutsidePodCidrs { address, port: port.id });
        }
    }
    Ok(())
}
