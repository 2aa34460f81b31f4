//! Which addresses can be anyone's.

use std::net::IpAddr;

/// Whether a port, a backend or a frontend may have `address`: not this-network, loopback, link-local, multicast,
/// reserved, or an IPv4 address mapped into IPv6. The path relies on it: an address that the tables give a port is not
/// martian, so the path need not ask.
pub(crate) fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !matches!(v4.octets(), [0 | 127 | 224..=255, ..] | [169, 254, ..]),
        IpAddr::V6(v6) => {
            let mapped = v6.to_ipv4_mapped().is_some();
            !(v6.is_unicast_link_local() || v6.is_multicast() || v6.is_loopback() || v6.is_unspecified() || mapped)
        }
    }
}
