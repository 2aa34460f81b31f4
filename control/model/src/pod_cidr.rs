//! Which addresses of a pod network can be used, and which networks pods may have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::fault::Problem;

/// Ranges that cannot be pod networks: "this network", loopback, link-local (the gateway's own), multicast and the rest
/// above it (IANA special-purpose registries).
const RESERVED: [IpNet; 8] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 3)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 96)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8)),
];

/// The first address of a network that a host can have: behind the network address (IPv4) or the subnet-router anycast
/// address (IPv6, RFC 4291 section 2.6.1). It is the node's own address in the pod network. `None` for a network that
/// has none (IPv4 longer than /30, IPv6 /128).
pub fn first_usable(network: &IpNet) -> Option<IpAddr> {
    if network.prefix_len() > longest(network) {
        return None;
    }
    match network.network() {
        IpAddr::V4(first) => Some(IpAddr::V4(Ipv4Addr::from_bits(first.to_bits() + 1))),
        IpAddr::V6(first) => Some(IpAddr::V6(Ipv6Addr::from_bits(first.to_bits() + 1))),
    }
}

/// The last address of a network that a host can have: before the broadcast address (IPv4), the last one (IPv6). `None`
/// where [`first_usable`] is.
pub fn last_usable(network: &IpNet) -> Option<IpAddr> {
    if network.prefix_len() > longest(network) {
        return None;
    }
    match network.broadcast() {
        IpAddr::V4(last) => Some(IpAddr::V4(Ipv4Addr::from_bits(last.to_bits() - 1))),
        last @ IpAddr::V6(_) => Some(last),
    }
}

/// Longest prefix that still has a usable address.
fn longest(network: &IpNet) -> u8 {
    match network {
        IpNet::V4(_) => 30,
        IpNet::V6(_) => 127,
    }
}

/// One written pod network.
pub(crate) fn parse(written: &str) -> Result<IpNet, Problem> {
    let value: IpNet = written.parse().map_err(|_| Problem::NotACidr { value: written.to_owned() })?;
    let network = value.trunc();
    if network != value {
        return Err(Problem::HostBits { value, network });
    }
    if let Some(reserved) = RESERVED.into_iter().find(|reserved| overlap(reserved, &value)) {
        return Err(Problem::ReservedRange { value, reserved });
    }
    // The first usable address is the node's, so a pod needs a second.
    if first_usable(&value) == last_usable(&value) {
        return Err(Problem::TooSmall { value });
    }
    Ok(value)
}

/// Whether two networks share an address: one holds the other.
pub(crate) fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn usable_addresses_leave_out_network_and_broadcast() {
        for (network, first, last) in [
            ("10.1.2.0/24", "10.1.2.1", "10.1.2.254"),
            ("10.1.2.8/30", "10.1.2.9", "10.1.2.10"),
            ("fd00:1::/64", "fd00:1::1", "fd00:1::ffff:ffff:ffff:ffff"),
            ("fd00::/126", "fd00::1", "fd00::3"),
            ("fd00::/127", "fd00::1", "fd00::1"),
        ] {
            assert_eq!(first_usable(&net(network)), Some(first.parse().unwrap()), "{network}");
            assert_eq!(last_usable(&net(network)), Some(last.parse().unwrap()), "{network}");
        }
        for none in ["10.0.0.0/31", "10.0.0.1/32", "fd00::1/128"] {
            assert_eq!((first_usable(&net(none)), last_usable(&net(none))), (None, None), "{none}");
        }
    }

    #[test]
    fn networks_that_pods_cannot_have_are_refused() {
        assert!(parse("10.0.0.0/24").is_ok() && parse("fd00::/64").is_ok() && parse("100.64.0.0/10").is_ok());
        assert!(matches!(parse("10.0.0.0"), Err(Problem::NotACidr { .. })));
        assert!(matches!(parse("10.0.0.0/33"), Err(Problem::NotACidr { .. })));
        assert_eq!(
            parse("10.0.0.5/24"),
            Err(Problem::HostBits { value: net("10.0.0.5/24"), network: net("10.0.0.0/24") })
        );
        for reserved in ["127.0.0.0/16", "169.254.0.0/16", "224.0.0.0/8", "0.0.0.0/0", "::/0", "fe80::/64", "ff02::/64"]
        {
            assert!(matches!(parse(reserved), Err(Problem::ReservedRange { .. })), "{reserved}");
        }
        for small in ["10.0.0.0/31", "10.0.0.1/32", "fd00::/127", "fd00::1/128"] {
            assert!(matches!(parse(small), Err(Problem::TooSmall { .. })), "{small}");
        }
    }
}
