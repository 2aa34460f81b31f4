//! What was found in a pod's namespace beside what was told of it: a pure function.
//!
//! Plugins behind ours in a chain may add addresses, devices and routes, take routes away that the result they handed on does
//! not list any more, move them to another table, and make packets smaller. None of that is a difference.

use ipnet::IpNet;
use sluice_cni_protocol::AddResult;
use sluice_cni_protocol::result::{Interface, Route as ToldRoute};
use sluice_host::{Link, Route};
use sluice_tables::{GATEWAY_IPV4, GATEWAY_IPV6};
use sluice_wire::MacAddr;

use crate::shape::Shape;
use crate::state::StoredAttachment;

/// The pod's device as it was found; no device, nothing else.
#[derive(Debug, Clone, Default)]
pub(super) struct Inside {
    pub(super) link: Option<Link>,
    pub(super) addresses: Vec<IpNet>,
    /// Those by this device, of all tables.
    pub(super) routes: Vec<Route>,
}

/// All that is another thing than `told`, the result of ADD and the plugins behind it, or than we need it to be.
pub(super) fn differences(told: &AddResult, stored: &StoredAttachment, inside: &Inside, shape: Shape) -> Vec<String> {
    let Some(link) = &inside.link else { return vec![format!("{} is gone from the pod", stored.ifname)] };
    let ours = told.interfaces.iter().position(|it| it.name == stored.ifname && it.sandbox.is_some());
    let Some(ours) = ours else { return vec![format!("prevResult lists no interface {} in a pod", stored.ifname)] };
    let mut found = Vec::new();
    compare_link(&told.interfaces[ours], stored, link, shape, &mut found);
    compare_addresses(told, ours, stored, &inside.addresses, &mut found);
    let told_of_ours = told.routes.iter().filter(|route| is_ours(route));
    found.extend(told_of_ours.filter_map(|route| compare_route(route, &stored.ifname, &inside.routes)));
    found
}

fn compare_link(told: &Interface, stored: &StoredAttachment, link: &Link, shape: Shape, found: &mut Vec<String>) {
    let name = &stored.ifname;
    if !link.up {
        found.push(format!("{name} is down"));
    }
    let has = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
    let needs = MacAddr(stored.mac).to_string();
    if let Some(mac) = told.mac.as_ref().filter(|mac| !mac.eq_ignore_ascii_case(&has)) {
        found.push(format!("{name} has the hardware address {has} and not {mac}"));
    } else if has != needs {
        found.push(format!("{name} has the hardware address {has}, and the switch takes packets of {needs} alone"));
    }
    let most = told.mtu.unwrap_or(u32::MAX).min(shape.link_mtu());
    if link.mtu > most {
        found.push(format!("{name} has an MTU of {} and not of {most}", link.mtu));
    }
}

fn compare_addresses(
    told: &AddResult,
    ours: usize,
    stored: &StoredAttachment,
    there: &[IpNet],
    found: &mut Vec<String>,
) {
    let name = &stored.ifname;
    let listed = |ip: &IpNet| told.ips.iter().any(|it| it.address.addr() == ip.addr());
    for address in stored.addresses.iter().copied().map(IpNet::from) {
        if !listed(&address) {
            found.push(format!("prevResult does not list its address {}", address.addr()));
        }
        if !there.contains(&address) {
            found.push(format!("{name} lacks its address {}", address.addr()));
        }
    }
    // Also those of plugins behind ours.
    let of_ours = told.ips.iter().filter(|ip| ip.interface == Some(ours)).map(|ip| ip.address);
    let others = of_ours.filter(|ip| !stored.addresses.contains(&ip.addr()));
    let lacking = others.filter(|ip| !there.iter().any(|net| net.addr() == ip.addr()));
    found.extend(lacking.map(|ip| format!("{name} lacks the address {ip} of prevResult")));
}

/// A result does not say whose a route is; ours lead to our gateway.
fn is_ours(route: &ToldRoute) -> bool {
    let gateways = [GATEWAY_IPV4.into(), GATEWAY_IPV6.into()];
    match route.gw {
        Some(gateway) => gateways.contains(&gateway),
        None => gateways.contains(&route.dst.addr()),
    }
}

fn compare_route(told: &ToldRoute, ifname: &str, there: &[Route]) -> Option<String> {
    let via = told.gw.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
    let mut same = there.iter().filter(|it| it.destination == told.dst.trunc() && it.gateway == told.gw).peekable();
    if same.peek().is_none() {
        return Some(format!("{ifname} lacks the route to {}{via}", told.dst));
    }
    // Packets beyond the path MTU do not arrive.
    let most = told.mtu?;
    if same.any(|route| route.mtu.is_some_and(|mtu| mtu <= most)) {
        return None;
    }
    Some(format!("the route of {ifname} to {}{via} does not keep to the path MTU of {most}", told.dst))
}

#[cfg(test)]
mod tests;
