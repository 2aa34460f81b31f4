//! Five-tuples: what a packet says of the connection it belongs to.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The five-tuple as it stands in a packet.
///
/// ICMP and ICMPv6 echo: a request has the identifier as source port and 0 as destination port, a reply 0 as source
/// port and the identifier as destination port, so that reversing and rewriting work as for UDP. Protocols without
/// ports have 0 for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Source port, in host order.
    pub source_port: u16,
    /// Destination port, in host order.
    pub destination_port: u16,
    /// IP protocol number (RFC 791, RFC 8200 next header).
    pub protocol: u8,
}

impl Tuple {
    /// The tuple of a packet going the other way.
    #[must_use]
    #[inline]
    pub const fn reversed(&self) -> Tuple {
        Tuple {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
        }
    }
}

/// A tuple as words, the form in which it is hashed, stored and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// Both addresses IPv4: source in the upper half.
    V4 { addresses: u64, ports: u32, protocol: u8 },
    /// Both addresses IPv6: source, then destination, each upper half first.
    V6 { addresses: [u64; 4], ports: u32, protocol: u8 },
}

impl Key {
    /// `None` when the families differ: no packet has such a tuple.
    #[inline]
    pub(crate) fn of(tuple: &Tuple) -> Option<Key> {
        let ports = u32::from(tuple.source_port) << 16 | u32::from(tuple.destination_port);
        let protocol = tuple.protocol;
        match (tuple.source, tuple.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let addresses = u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits());
                Some(Key::V4 { addresses, ports, protocol })
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (source, destination) = (halves(source), halves(destination));
                Some(Key::V6 { addresses: [source.0, source.1, destination.0, destination.1], ports, protocol })
            }
            _ => None,
        }
    }

    /// The tuple again.
    #[inline]
    pub(crate) fn tuple(self) -> Tuple {
        match self {
            Key::V4 { addresses, ports, protocol } => Tuple {
                source: IpAddr::V4(Ipv4Addr::from_bits((addresses >> 32) as u32)),
                destination: IpAddr::V4(Ipv4Addr::from_bits(addresses as u32)),
                source_port: (ports >> 16) as u16,
                destination_port: ports as u16,
                protocol,
            },
            Key::V6 { addresses: [a, b, c, d], ports, protocol } => Tuple {
                source: IpAddr::V6(Ipv6Addr::from_bits(u128::from(a) << 64 | u128::from(b))),
                destination: IpAddr::V6(Ipv6Addr::from_bits(u128::from(c) << 64 | u128::from(d))),
                source_port: (ports >> 16) as u16,
                destination_port: ports as u16,
                protocol,
            },
        }
    }
}

#[inline]
fn halves(address: Ipv6Addr) -> (u64, u64) {
    let bits = address.to_bits();
    ((bits >> 64) as u64, bits as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(source: &str, destination: &str) -> Tuple {
        let address = |text: &str| text.parse().expect("a literal address");
        Tuple {
            source: address(source),
            destination: address(destination),
            source_port: 40000,
            destination_port: 53,
            protocol: 17,
        }
    }

    #[test]
    fn a_tuple_comes_back_from_its_words() {
        for tuple in [tuple("10.0.0.1", "10.255.0.2"), tuple("fd00::1", "2001:db8:1:2:3:4:5:6")] {
            assert_eq!(Key::of(&tuple).expect("one family").tuple(), tuple);
            assert_eq!(tuple.reversed().reversed(), tuple);
            assert_ne!(Key::of(&tuple), Key::of(&tuple.reversed()));
        }
    }

    #[test]
    fn a_tuple_of_two_families_has_no_key() {
        assert_eq!(Key::of(&tuple("10.0.0.1", "fd00::1")), None);
        assert_eq!(Key::of(&tuple("fd00::1", "10.0.0.1")), None);
    }
}
