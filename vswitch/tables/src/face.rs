//! Ports as whole words: what frames from and to each begin with, so that the path compares and copies instead of taking apart.

use std::net::IpAddr;

use sluice_wire::{MacAddr, ethernet::ethertype};

use crate::{Gateway, Port, PortKind};

/// A port as plain IPv4 packets meet it. The words are in the machine's order, as they are read from and written to frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Face {
    /// Bytes 0 to 7 and 6 to 13 of an IPv4 frame that a pod sends the gateway from its own MAC. Of a port that is no pod's:
    /// zeros, which no IPv4 frame begins with.
    pub from: [u64; 2],
    /// The first of a pod's IPv4 addresses; 0 if it has none.
    pub address: u32,
    /// Bytes 0 to 7 and 6 to 13 of an IPv4 frame that the gateway sends to the port's MAC.
    pub to: [u64; 2],
    /// As [`Port::path_mtu`].
    pub path_mtu: u32,
    /// As [`Port::max_l3_len`].
    pub max_l3_len: u32,
    /// As [`Port::kind`].
    pub kind: PortKind,
}

impl Face {
    pub(crate) fn of(port: &Port, gateway: &Gateway) -> Face {
        let address = port.addresses.iter().find_map(|address| match address {
            IpAddr::V4(v4) => Some(v4.to_bits()),
            IpAddr::V6(_) => None,
        });
        let pod = port.kind == PortKind::Pod;
        Face {
            from: if pod { words(gateway.mac, port.mac) } else { [0; 2] },
            address: address.filter(|_| pod).unwrap_or(0),
            to: words(port.mac, gateway.mac),
            path_mtu: port.path_mtu.into(),
            max_l3_len: port.max_l3_len,
            kind: port.kind,
        }
    }
}

/// The Ethernet header of an IPv4 frame as two words that overlap.
fn words(destination: MacAddr, source: MacAddr) -> [u64; 2] {
    let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (destination.0, source.0);
    let [high, low] = ethertype::IPV4.to_be_bytes();
    [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes([g, h, i, j, k, l, high, low])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PortId, WorkerId};

    fn port(kind: PortKind) -> Port {
        Port {
            id: PortId(1),
            kind,
            worker: WorkerId(0),
            mac: MacAddr([2, 3, 4, 5, 6, 7]),
            addresses: vec!["fd00::1".parse().expect("an address"), IpAddr::from([10, 0, 0, 1])],
            path_mtu: 1500,
            max_l3_len: 65_000,
        }
    }

    #[test]
    fn a_face_has_the_bytes_of_the_ethernet_header() {
        let gateway = Gateway::default();
        let face = Face::of(&port(PortKind::Pod), &gateway);
        let frame = |to: MacAddr, from: MacAddr| [&to.0[..], &from.0, &[8, 0]].concat();
        let [sent, received] =
            [frame(gateway.mac, port(PortKind::Pod).mac), frame(port(PortKind::Pod).mac, gateway.mac)];
        for (words, bytes) in [(face.from, sent), (face.to, received)] {
            assert_eq!(words[0].to_ne_bytes(), bytes[..8]);
            assert_eq!(words[1].to_ne_bytes(), bytes[6..]);
        }
        assert_eq!(face.address, 0x0a00_0001);
    }

    #[test]
    fn only_what_a_pod_sends_is_known_by_its_words() {
        for kind in [PortKind::Host, PortKind::Uplink] {
            let face = Face::of(&port(kind), &Gateway::default());
            assert_eq!((face.from, face.address), ([0; 2], 0));
        }
    }
}
