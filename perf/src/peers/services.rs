//! Services as peers of the switch play them: their addresses follow one another, and all lead to the server.

use std::net::{IpAddr, SocketAddr};

use super::Family;

/// The Services of a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Services {
    /// How many.
    pub(crate) count: u32,
    /// The addresses of the one with this number.
    pub(crate) addresses: fn(u32) -> [IpAddr; 2],
    /// The networks that these are from.
    pub(crate) ranges: [&'static str; 2],
    /// Their port, and the server's behind it.
    pub(crate) port: u16,
    pub(crate) server_port: u16,
}

/// One Service of one IP version, and where it leads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mapping {
    pub(super) frontend: SocketAddr,
    pub(super) backend: SocketAddr,
}

impl Services {
    /// Every Service of one IP version.
    pub(super) fn mappings(&self, family: Family, server: IpAddr) -> impl Iterator<Item = Mapping> {
        let Self { count, addresses, port, server_port, .. } = *self;
        (0..count).map(move |number| {
            let [v4, v6] = addresses(number);
            let frontend = if family == Family::V4 { v4 } else { v6 };
            Mapping { frontend: SocketAddr::new(frontend, port), backend: SocketAddr::new(server, server_port) }
        })
    }

    /// Where the client goes: to the last of them, if there are any.
    pub(crate) fn frontend(&self, family: Family) -> Option<SocketAddr> {
        let [v4, v6] = (self.addresses)(self.count.checked_sub(1)?);
        Some(SocketAddr::new(if family == Family::V4 { v4 } else { v6 }, self.port))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    /// So many Services in the documentation's networks.
    pub(in crate::peers) fn some(count: u32) -> Services {
        fn addresses(number: u32) -> [IpAddr; 2] {
            let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 96, 0, 0, 0, number as u16);
            [Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 51, 100, 0)) + number).into(), v6.into()]
        }
        let ranges = ["198.51.100.0/24", "2001:db8:0:60::/112"];
        Services { count, addresses, ranges, port: 80, server_port: 8080 }
    }

    #[test]
    fn the_client_goes_to_the_last_service() {
        assert_eq!(some(0).frontend(Family::V4), None);
        assert_eq!(some(3).frontend(Family::V4), Some(([198, 51, 100, 2], 80).into()));
        let server = IpAddr::from([192, 0, 2, 2]);
        let mappings: Vec<Mapping> = some(3).mappings(Family::V4, server).collect();
        assert_eq!(Some(mappings[2].frontend), some(3).frontend(Family::V4));
        assert!(mappings.iter().all(|mapping| mapping.backend == SocketAddr::new(server, 8080)));
    }
}
