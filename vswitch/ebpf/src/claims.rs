//! What is in the maps of the uplink's program, and how they are brought from one state to the next.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use aya::Ebpf;
use aya::maps::lpm_trie::Key;
use aya::maps::{Array, HashMap, LpmTrie, MapData, MapError};
use ipnet::IpNet;
use sluice_tables::Claims;

use crate::EbpfError;
use crate::error::load_error;

/// Flags of a node address, as in `uplink.bpf.c`.
pub(crate) mod flag {
    /// Packets to its masquerade ports are taken.
    pub(crate) const MASQUERADE: u32 = 1;
    /// Packets to claimed ports are taken.
    pub(crate) const NODE_PORTS: u32 = 2;
    /// Packets to the tunnel port are taken.
    pub(crate) const TUNNEL: u32 = 4;
}

/// `struct settings` of `uplink.bpf.c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The tunnel's UDP port; 0 for none.
    pub(crate) tunnel_port: u16,
    /// Masquerade ports, first and last; none if the first is the greater.
    pub(crate) masquerade: (u16, u16),
    /// Whether fragments to node addresses are taken.
    pub(crate) fragments: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { tunnel_port: 0, masquerade: (1, 0), fragments: false }
    }
}

impl Settings {
    fn words(self) -> [u32; 4] {
        [self.tunnel_port.into(), self.masquerade.0.into(), self.masquerade.1.into(), self.fragments.into()]
    }
}

/// Everything that is claimed, in the form of the maps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Claimed {
    pub(crate) settings: Settings,
    pub(crate) prefixes: BTreeSet<IpNet>,
    /// Node addresses with their flags.
    pub(crate) nodes: BTreeMap<IpAddr, u32>,
    /// Protocol and port.
    pub(crate) ports: BTreeSet<(u8, u16)>,
}

impl From<&Claims> for Claimed {
    fn from(claims: &Claims) -> Claimed {
        let mut nodes: BTreeMap<IpAddr, u32> = BTreeMap::new();
        let mut mark = |address: IpAddr, flag| *nodes.entry(address).or_default() |= flag;
        claims.node_addresses.iter().for_each(|address| mark(*address, flag::NODE_PORTS));
        claims.tunnel.iter().for_each(|tunnel| mark(tunnel.local, flag::TUNNEL));
        claims
            .masquerade
            .iter()
            .flat_map(|claim| &claim.addresses)
            .for_each(|address| mark(*address, flag::MASQUERADE));
        let settings = Settings {
            tunnel_port: claims.tunnel.map_or(0, |tunnel| tunnel.port),
            masquerade: claims.masquerade.as_ref().map_or(Settings::default().masquerade, |claim| claim.ports),
            fragments: claims.fragments,
        };
        Claimed {
            settings,
            prefixes: claims.networks.iter().map(IpNet::trunc).collect(),
            nodes,
            ports: claims.ports.iter().map(|claim| (claim.protocol, claim.port)).collect(),
        }
    }
}

/// The maps, and what is known to be in them.
pub(crate) struct ClaimMaps {
    settings: Array<MapData, [u32; 4]>,
    prefixes4: LpmTrie<MapData, [u8; 4], u32>,
    prefixes6: LpmTrie<MapData, [u8; 16], u32>,
    nodes4: HashMap<MapData, [u8; 4], u32>,
    nodes6: HashMap<MapData, [u8; 16], u32>,
    ports: HashMap<MapData, u32, u32>,
    present: Claimed,
}

impl ClaimMaps {
    /// The maps of a freshly loaded object; nothing is claimed.
    pub(crate) fn take(ebpf: &mut Ebpf) -> Result<ClaimMaps, EbpfError> {
        let mut map =
            |name: &str| ebpf.take_map(name).ok_or_else(|| EbpfError::Load(format!("the object lacks the map {name}")));
        let mut maps = ClaimMaps {
            settings: Array::try_from(map("settings")?).map_err(load_error)?,
            prefixes4: LpmTrie::try_from(map("prefixes4")?).map_err(load_error)?,
            prefixes6: LpmTrie::try_from(map("prefixes6")?).map_err(load_error)?,
            nodes4: HashMap::try_from(map("nodes4")?).map_err(load_error)?,
            nodes6: HashMap::try_from(map("nodes6")?).map_err(load_error)?,
            ports: HashMap::try_from(map("node_ports")?).map_err(load_error)?,
            present: Claimed::default(),
        };
        // All zeroes, as the kernel makes it, would be the masquerade range 0 to 0.
        maps.set(Settings::default())?;
        Ok(maps)
    }

    /// Brings the maps from what is present to `wanted`: first what is no longer claimed goes, so that nothing is taken that
    /// the new tables do not know; then what is new comes. Whatever fails, `present` stays true, and the rest is still tried;
    /// the first failure is returned.
    pub(crate) fn apply(&mut self, wanted: &Claimed) -> Result<(), EbpfError> {
        let mut result = Ok(());
        let mut note = |one: Result<(), EbpfError>| {
            if result.is_ok() {
                result = one;
            }
        };
        let gone: Vec<IpNet> = self.present.prefixes.difference(&wanted.prefixes).copied().collect();
        gone.into_iter().for_each(|net| note(self.drop_prefix(net)));
        let gone: Vec<(u8, u16)> = self.present.ports.difference(&wanted.ports).copied().collect();
        gone.into_iter().for_each(|port| note(self.drop_port(port)));
        let gone: Vec<IpAddr> = self.present.nodes.keys().filter(|a| !wanted.nodes.contains_key(a)).copied().collect();
        gone.into_iter().for_each(|address| note(self.drop_node(address)));
        if self.present.settings != wanted.settings {
            note(self.set(wanted.settings));
        }
        let mut new: Vec<(IpAddr, u32)> = wanted.nodes.iter().map(|(address, flags)| (*address, *flags)).collect();
        new.retain(|(address, flags)| self.present.nodes.get(address) != Some(flags));
        // If there is no room for all: the tunnel's and the masquerade's come first.
        new.sort_by_key(|(_, flags)| std::cmp::Reverse(*flags));
        new.into_iter().for_each(|(address, flags)| note(self.put_node(address, flags)));
        let new: Vec<(u8, u16)> = wanted.ports.difference(&self.present.ports).copied().collect();
        new.into_iter().for_each(|port| note(self.put_port(port)));
        let new: Vec<IpNet> = wanted.prefixes.difference(&self.present.prefixes).copied().collect();
        new.into_iter().for_each(|net| note(self.put_prefix(net)));
        result
    }

    fn set(&mut self, settings: Settings) -> Result<(), EbpfError> {
        self.settings.set(0, settings.words(), 0).map_err(|source| failed("tunnel and masquerade ports", source))?;
        self.present.settings = settings;
        Ok(())
    }

    fn put_prefix(&mut self, net: IpNet) -> Result<(), EbpfError> {
        let length = u32::from(net.prefix_len());
        let done = match net.network() {
            IpAddr::V4(ip) => self.prefixes4.insert(&Key::new(length, ip.octets()), 1, 0),
            IpAddr::V6(ip) => self.prefixes6.insert(&Key::new(length, ip.octets()), 1, 0),
        };
        done.map_err(|source| failed(net, source))?;
        self.present.prefixes.insert(net);
        Ok(())
    }

    fn drop_prefix(&mut self, net: IpNet) -> Result<(), EbpfError> {
        let length = u32::from(net.prefix_len());
        let done = match net.network() {
            IpAddr::V4(ip) => self.prefixes4.remove(&Key::new(length, ip.octets())),
            IpAddr::V6(ip) => self.prefixes6.remove(&Key::new(length, ip.octets())),
        };
        done.map_err(|source| failed(net, source))?;
        self.present.prefixes.remove(&net);
        Ok(())
    }

    fn put_node(&mut self, address: IpAddr, flags: u32) -> Result<(), EbpfError> {
        let done = match address {
            IpAddr::V4(ip) => self.nodes4.insert(ip.octets(), flags, 0),
            IpAddr::V6(ip) => self.nodes6.insert(ip.octets(), flags, 0),
        };
        done.map_err(|source| failed(address, source))?;
        self.present.nodes.insert(address, flags);
        Ok(())
    }

    fn drop_node(&mut self, address: IpAddr) -> Result<(), EbpfError> {
        let done = match address {
            IpAddr::V4(ip) => self.nodes4.remove(&ip.octets()),
            IpAddr::V6(ip) => self.nodes6.remove(&ip.octets()),
        };
        done.map_err(|source| failed(address, source))?;
        self.present.nodes.remove(&address);
        Ok(())
    }

    fn put_port(&mut self, (protocol, port): (u8, u16)) -> Result<(), EbpfError> {
        self.ports.insert(port_key(protocol, port), 1, 0).map_err(|source| failed_port(protocol, port, source))?;
        self.present.ports.insert((protocol, port));
        Ok(())
    }

    fn drop_port(&mut self, (protocol, port): (u8, u16)) -> Result<(), EbpfError> {
        self.ports.remove(&port_key(protocol, port)).map_err(|source| failed_port(protocol, port, source))?;
        self.present.ports.remove(&(protocol, port));
        Ok(())
    }
}

fn port_key(protocol: u8, port: u16) -> u32 {
    u32::from(protocol) << 16 | u32::from(port)
}

fn failed(what: impl std::fmt::Display, source: MapError) -> EbpfError {
    EbpfError::Claim { what: what.to_string(), source: Box::new(source) }
}

fn failed_port(protocol: u8, port: u16, source: MapError) -> EbpfError {
    failed(format_args!("node port {port} of protocol {protocol}"), source)
}

#[cfg(test)]
mod tests {
    use sluice_tables::{ClaimedPort, MasqueradeClaim, TunnelClaim};

    use super::*;

    #[test]
    fn one_address_may_be_claimed_for_several_reasons() {
        let node: IpAddr = "192.0.2.1".parse().expect("an address");
        let other: IpAddr = "2001:db8::1".parse().expect("an address");
        let claimed = Claimed::from(&Claims {
            tunnel: Some(TunnelClaim { local: node, port: 4789 }),
            networks: vec!["10.96.1.2/12".parse().expect("a prefix")],
            node_addresses: vec![node, other],
            ports: vec![ClaimedPort { protocol: 6, port: 30_000 }, ClaimedPort { protocol: 17, port: 30_000 }],
            masquerade: Some(MasqueradeClaim { addresses: vec![node], ports: (61_000, 65_535) }),
            fragments: true,
            icmp_errors: true,
        });
        assert_eq!(claimed.nodes[&node], flag::MASQUERADE | flag::NODE_PORTS | flag::TUNNEL);
        assert_eq!(claimed.nodes[&other], flag::NODE_PORTS);
        assert_eq!(claimed.settings.words(), [4789, 61_000, 65_535, 1]);
        assert_eq!(claimed.prefixes.first().expect("the prefix").to_string(), "10.96.0.0/12", "host bits are cut off");
        assert_eq!(claimed.ports.len(), 2);
    }

    #[test]
    fn without_claims_no_port_is_in_the_masquerade_range() {
        let claimed = Claimed::from(&Claims::default());
        assert_eq!(claimed, Claimed::default());
        let (first, last) = claimed.settings.masquerade;
        assert!(first > last && claimed.settings.tunnel_port == 0);
    }
}
