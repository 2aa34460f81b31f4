//! The link-local gateway that the switch answers for on every port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sluice_wire::MacAddr;

/// MAC of the gateway, the same on every port. Locally administered (the 02 bit), so no vendor owns it.
pub const GATEWAY_MAC: MacAddr = MacAddr([0x02, 0x53, 0x4c, 0x00, 0x00, 0x01]);
/// IPv4 address of the gateway. Link-local, so it takes nothing from the cluster's ranges.
pub const GATEWAY_IPV4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// IPv6 address of the gateway.
pub const GATEWAY_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// What the switch answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Answer to ARP and neighbour solicitation, and source of every frame the switch sends.
    pub mac: MacAddr,
    /// Address of the gateway for IPv4, source of the switch's ICMP errors.
    pub v4: Ipv4Addr,
    /// Address of the gateway for IPv6, source of the switch's ICMPv6 errors.
    pub v6: Ipv6Addr,
}

impl Gateway {
    /// Whether `address` is one of the gateway's.
    #[must_use]
    #[inline]
    pub fn has_address(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => v4 == self.v4,
            IpAddr::V6(v6) => v6 == self.v6,
        }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self { mac: GATEWAY_MAC, v4: GATEWAY_IPV4, v6: GATEWAY_IPV6 }
    }
}
