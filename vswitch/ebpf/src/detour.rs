//! The programs around the node's own stack, which lead into the host port what the stack would keep or send past the switch.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::Ebpf;
use aya::maps::lpm_trie::Key;
use aya::maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use ipnet::IpNet;
use sluice_tables::{ClaimedPort, Detours, Family, GATEWAY_IPV4, GATEWAY_IPV6};

use crate::EbpfError;
use crate::error::load_error;

/// The loopback device of every network namespace.
const LOOPBACK: &str = "lo";

/// The programs of the object.
const PROGRAMS: [&str; 4] = ["loopback", "arriving", "passing", "leaving"];

/// As in `detour.bpf.c`, less the gateway's two. Of a client in a network beyond those a flow is noted that nobody needs.
const MAX_INSIDE: usize = 1024 - 2;

/// Kinds of places, as in `detour.bpf.c`.
mod kind {
    pub(super) const ADDRESS: u8 = 0;
    pub(super) const NODE_PORT: u8 = 1;
    pub(super) const FRONTEND: u8 = 2;
    pub(super) const ENDPOINT: u8 = 3;
}

/// Of an address: it serves node ports.
const NODE_PORTS: u32 = 1;

/// `struct place` of `detour.bpf.c`: address, port in host byte order, protocol, kind.
type Place = [u8; 20];

/// `struct flow` of `detour.bpf.c`: client and node, their ports in network byte order, protocol, padding.
type Flow = [u8; 40];

/// Flows that the map has room for, as in `detour.bpf.c`.
const MAX_FLOWS: u64 = 262_144;

/// What became of the flows with endpoints that are the node, since the programs were attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowCounters {
    /// Noted, as their clients spoke by way of the switch.
    pub noted: u64,
    /// Forgotten, as their clients spoke past it after that.
    pub forgotten: u64,
    /// Taken out, as their connections were over.
    pub ended: u64,
    /// How many went at least because there was no room for all. The kernel does not say when it lets one go: told is what the map
    /// cannot have held.
    pub evicted: u64,
}

impl FlowCounters {
    /// Each counter's name and value, in a fixed order.
    pub fn list(&self) -> [(&'static str, u64); 4] {
        [("noted", self.noted), ("forgotten", self.forgotten), ("ended", self.ended), ("evicted", self.evicted)]
    }

    /// With what the map cannot hold, where `before` had gone already.
    fn with_evicted(self, before: u64) -> FlowCounters {
        let kept = self.noted.saturating_sub(self.forgotten).saturating_sub(self.ended);
        FlowCounters { evicted: kept.saturating_sub(MAX_FLOWS).max(before), ..self }
    }
}

/// The programs on the loopback device, on the host port and, where there is one, on the uplink. They lead nothing astray until
/// [`Detour::follow`], and are gone when this value is dropped or the process ends.
pub struct Detour {
    inner: Mutex<Inner>,
}

struct Inner {
    /// Has the links.
    _ebpf: Ebpf,
    places: HashMap<MapData, Place, u32>,
    present: BTreeMap<Place, u32>,
    flows: HashMap<MapData, Flow, u32>,
    /// Flows that [`Detour::note`] put there.
    noted: u64,
    counts: PerCpuArray<MapData, u64>,
    /// The most that [`FlowCounters::evicted`] was.
    evicted: u64,
    inside: LpmTrie<MapData, [u8; 16], u32>,
    networks: BTreeSet<IpNet>,
}

impl std::fmt::Debug for Detour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detour").finish_non_exhaustive()
    }
}

impl Detour {
    /// Loads the programs and attaches them to devices of the calling thread's network namespace: the loopback device, the stack's
    /// end of the host port by name and index, and the uplink by name.
    ///
    /// # Errors
    /// [`EbpfError::Load`], [`EbpfError::Map`], [`EbpfError::Detour`]; nothing is left attached.
    pub fn attach(host_port: (&str, u32), uplink: Option<&str>) -> Result<Detour, EbpfError> {
        static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/detour.bpf.o"));
        let mut ebpf = Ebpf::load(OBJECT).map_err(load_error)?;
        let mut map =
            |name: &str| ebpf.take_map(name).ok_or_else(|| EbpfError::Load(format!("the object lacks the map {name}")));
        let places = HashMap::try_from(map("places")?).map_err(load_error)?;
        let flows = HashMap::try_from(map("flows")?).map_err(load_error)?;
        let counts = PerCpuArray::try_from(map("counts")?).map_err(load_error)?;
        let inside = LpmTrie::try_from(map("inside")?).map_err(load_error)?;
        let mut target: Array<MapData, [u8; 24]> = Array::try_from(map("target")?).map_err(load_error)?;
        // `struct target`: device, addresses of the gateway.
        let mut value = [0; 24];
        value[..4].copy_from_slice(&host_port.1.to_ne_bytes());
        value[4..8].copy_from_slice(&GATEWAY_IPV4.octets());
        value[8..].copy_from_slice(&GATEWAY_IPV6.octets());
        target.set(0, value, 0).map_err(|source| EbpfError::Map { map: "target", source: Box::new(source) })?;
        for name in PROGRAMS {
            program(&mut ebpf, name)?.load().map_err(load_error)?;
        }
        put(&mut ebpf, "loopback", LOOPBACK, TcAttachType::Egress)?;
        if let Some(uplink) = uplink {
            put(&mut ebpf, "arriving", host_port.0, TcAttachType::Ingress)?;
            put(&mut ebpf, "passing", uplink, TcAttachType::Ingress)?;
            put(&mut ebpf, "leaving", uplink, TcAttachType::Egress)?;
        }
        let (present, networks) = (BTreeMap::new(), BTreeSet::new());
        let mut inner = Inner { _ebpf: ebpf, places, present, flows, noted: 0, counts, evicted: 0, inside, networks };
        inner.surround(&[])?;
        Ok(Detour { inner: Mutex::new(inner) })
    }

    /// Leads what `detours` say from now on, and nothing else: [`sluice_tables::Tables::detours`] of a generation that has just
    /// been published, of a node that has `pod_cidrs`. Only what differs from the last time is touched; what is no longer said
    /// goes first.
    ///
    /// # Errors
    /// [`EbpfError::Claim`], the first of them. All else is in force; the same call tries the rest again.
    pub fn follow(&self, detours: &Detours, pod_cidrs: &[IpNet]) -> Result<(), EbpfError> {
        let mut inner = self.inner();
        let surrounded = inner.surround(pod_cidrs);
        inner.apply(&places(detours)).and(surrounded)
    }

    /// Notes that `client` speaks with the endpoint `node` of this node by way of the switch, as the program does that sees its
    /// packets. What has spoken longest ago is forgotten for it when there are too many.
    ///
    /// # Errors
    /// [`EbpfError::Map`]
    pub fn note(&self, client: SocketAddr, node: SocketAddr, protocol: u8) -> Result<(), EbpfError> {
        let mut inner = self.inner();
        let noted = inner.flows.insert(flow(client, node, protocol), 0, 0);
        inner.noted += u64::from(noted.is_ok());
        noted.map_err(|source| EbpfError::Map { map: "flows", source: Box::new(source) })
    }

    /// Whether the answers of every endpoint among `detours` are led: [`Detour::follow`] may have failed for other places.
    pub fn leads_answers(&self, detours: &Detours) -> bool {
        let inner = self.inner();
        let is_led = |(address, port): &(IpAddr, ClaimedPort)| {
            inner.present.contains_key(&place(kind::ENDPOINT, *address, port.protocol, port.port))
        };
        detours.endpoints.iter().all(is_led)
    }

    /// What became of flows so far.
    ///
    /// # Errors
    /// [`EbpfError::Map`]
    pub fn flow_counters(&self) -> Result<FlowCounters, EbpfError> {
        let mut inner = self.inner();
        let sum = |key: u32| match inner.counts.get(&key, 0) {
            Ok(each) => Ok(each.iter().fold(0_u64, |sum, one| sum.wrapping_add(*one))),
            Err(source) => Err(EbpfError::Map { map: "counts", source: Box::new(source) }),
        };
        // Those noted first, or one that is noted and ends between two readings would be taken for one that went.
        let noted = sum(0)? + inner.noted;
        let counters =
            FlowCounters { noted, forgotten: sum(1)?, ended: sum(2)?, evicted: 0 }.with_evicted(inner.evicted);
        inner.evicted = counters.evicted;
        Ok(counters)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Has the gateway and the node's pods not noted: the node's routes lead there by the host port.
    fn surround(&mut self, pod_cidrs: &[IpNet]) -> Result<(), EbpfError> {
        let failed = |source| EbpfError::Map { map: "inside", source: Box::new(source) };
        let gateway = [IpAddr::from(GATEWAY_IPV4).into(), IpAddr::from(GATEWAY_IPV6).into()];
        let wanted: BTreeSet<IpNet> = pod_cidrs.iter().take(MAX_INSIDE).copied().chain(gateway).collect();
        for net in self.networks.difference(&wanted).copied().collect::<Vec<_>>() {
            self.inside.remove(&prefix(net)).map_err(failed)?;
            self.networks.remove(&net);
        }
        for net in wanted.difference(&self.networks).copied().collect::<Vec<_>>() {
            self.inside.insert(&prefix(net), 0, 0).map_err(failed)?;
            self.networks.insert(net);
        }
        Ok(())
    }

    fn apply(&mut self, wanted: &BTreeMap<Place, u32>) -> Result<(), EbpfError> {
        let mut result = Ok(());
        let gone: Vec<Place> = self.present.keys().filter(|place| !wanted.contains_key(*place)).copied().collect();
        for place in gone {
            match self.places.remove(&place) {
                Ok(()) => drop(self.present.remove(&place)),
                Err(source) => result = result.and(Err(failed(&place, source))),
            }
        }
        let mut new: Vec<(Place, u32)> = wanted.iter().map(|(place, flags)| (*place, *flags)).collect();
        new.retain(|(place, flags)| self.present.get(place) != Some(flags));
        // If there is no room for all: endpoints come first, as clients are not hidden from those. The kind is a place's last byte.
        new.sort_by_key(|(place, _)| std::cmp::Reverse(place[19]));
        for (place, flags) in new {
            match self.places.insert(place, flags, 0) {
                Ok(()) => drop(self.present.insert(place, flags)),
                Err(source) => result = result.and(Err(failed(&place, source))),
            }
        }
        result
    }
}

fn failed(place: &Place, source: aya::maps::MapError) -> EbpfError {
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(&place[..16]).unwrap_or_default()).to_canonical();
    let port = u16::from_ne_bytes([place[16], place[17]]);
    EbpfError::Claim { what: format!("port {port} at {address} from the node itself"), source: Box::new(source) }
}

fn program<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut SchedClassifier, EbpfError> {
    let missing = || EbpfError::Load(format!("the object lacks the program {name}"));
    ebpf.program_mut(name).ok_or_else(missing)?.try_into().map_err(load_error)
}

/// By a link of the process's own, which no older kernel has: a filter would outlive the process.
fn put(ebpf: &mut Ebpf, name: &'static str, device: &str, direction: TcAttachType) -> Result<(), EbpfError> {
    let options = TcAttachOptions::TcxOrder(LinkOrder::default());
    let attached: Result<_, ProgramError> = program(ebpf, name)?.attach_with_options(device, direction, options);
    attached.map(drop).map_err(|source| EbpfError::Detour {
        program: name,
        device: device.to_owned(),
        source: Box::new(source),
    })
}

/// The same in the form of the map.
fn places(detours: &Detours) -> BTreeMap<Place, u32> {
    let mut places = BTreeMap::new();
    let at = |kind, address, protocol, port| place(kind, address, protocol, port);
    for (address, _) in &detours.frontends {
        places.insert(at(kind::ADDRESS, *address, 0, 0), 0);
    }
    for address in &detours.node_addresses {
        places.insert(at(kind::ADDRESS, *address, 0, 0), NODE_PORTS);
    }
    for (family, port) in &detours.node_ports {
        let any = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        places.insert(at(kind::NODE_PORT, any, port.protocol, port.port), 0);
    }
    for (address, port) in &detours.frontends {
        places.insert(at(kind::FRONTEND, *address, port.protocol, port.port), 0);
    }
    for (address, port) in &detours.endpoints {
        places.insert(at(kind::ENDPOINT, *address, port.protocol, port.port), 0);
    }
    places
}

fn prefix(net: IpNet) -> Key<[u8; 16]> {
    let length = u32::from(net.prefix_len());
    Key::new(if net.addr().is_ipv4() { 96 + length } else { length }, mapped(net.network()))
}

fn flow(client: SocketAddr, node: SocketAddr, protocol: u8) -> Flow {
    let mut flow = [0; 40];
    flow[..16].copy_from_slice(&mapped(client.ip()));
    flow[16..32].copy_from_slice(&mapped(node.ip()));
    flow[32..34].copy_from_slice(&client.port().to_be_bytes());
    flow[34..36].copy_from_slice(&node.port().to_be_bytes());
    flow[36] = protocol;
    flow
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn place(kind: u8, address: IpAddr, protocol: u8, port: u16) -> Place {
    let mut place = [0; 20];
    place[..16].copy_from_slice(&mapped(address));
    place[16..18].copy_from_slice(&port.to_ne_bytes());
    place[18] = protocol;
    place[19] = kind;
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_serves_node_ports_and_a_frontend_says_both() {
        let (own, other): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let tcp = |port| ClaimedPort { protocol: 6, port };
        let places = places(&Detours {
            node_addresses: vec![own],
            node_ports: vec![(Family::V4, tcp(30_000)), (Family::V6, tcp(30_000))],
            frontends: vec![(own, tcp(80)), (other, tcp(80))],
            endpoints: vec![(own, tcp(8080))],
        });
        assert_eq!(places[&place(kind::ADDRESS, own, 0, 0)], NODE_PORTS);
        assert_eq!(places[&place(kind::ADDRESS, other, 0, 0)], 0, "no node ports at this one");
        assert_eq!(places.len(), 7, "two addresses, two families, two frontends, an endpoint");
    }

    #[test]
    fn flows_that_the_map_cannot_hold_are_told_as_evicted() {
        let few = FlowCounters { noted: MAX_FLOWS + 7, forgotten: 3, ended: 4, evicted: 0 };
        assert_eq!(few.with_evicted(0).evicted, 0);
        assert_eq!(few.with_evicted(9).evicted, 9, "those that went do not come back");
        let many = FlowCounters { noted: MAX_FLOWS + 10, ..few }.with_evicted(0);
        assert_eq!(many.list()[3], ("evicted", 3));
    }

    #[test]
    fn a_flow_and_a_network_are_as_the_program_reads_them() {
        let (client, node) = (SocketAddr::from(([198, 51, 100, 7], 0x1234)), SocketAddr::from(([192, 0, 2, 1], 8080)));
        let flow = flow(client, node, 6);
        assert_eq!(flow[8..16], [0, 0, 0xff, 0xff, 198, 51, 100, 7]);
        assert_eq!(flow[24..], [0, 0, 0xff, 0xff, 192, 0, 2, 1, 0x12, 0x34, 0x1f, 0x90, 6, 0, 0, 0]);
        let net = prefix("10.244.1.0/24".parse().expect("a network"));
        assert_eq!((net.prefix_len(), net.data()[10..].to_vec()), (120, vec![0xff, 0xff, 10, 244, 1, 0]));
    }

    #[test]
    fn a_place_is_as_the_program_reads_it() {
        let place = place(kind::FRONTEND, [192, 0, 2, 1].into(), 17, 0x1234);
        assert_eq!(place[..16], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]);
        assert_eq!(u16::from_ne_bytes([place[16], place[17]]), 0x1234);
        assert_eq!(place[18..], [17, kind::FRONTEND]);
    }
}
