//! Services: first what does not depend on the rest of the cluster, then the whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use crate::cluster::{
    Cluster, Endpoint, Protocol, Service, ServiceKind, ServicePort, Slice, SlicePort, node_address, on_link, parse_net,
};

/// Ports that a Service may have: name, protocol, port, number among the Service's node ports. Two share one.
const PORTS: [(&str, Protocol, u16, u16); 5] = [
    ("web", Protocol::Tcp, 80, 0),
    ("alt", Protocol::Tcp, 8080, 1),
    ("dns", Protocol::Udp, 53, 2),
    ("dns-tcp", Protocol::Tcp, 53, 2),
    ("call", Protocol::Sctp, 5060, 3),
];
/// The address that several Services share.
const SHARED: u8 = 200;

/// A Service before it knows its cluster.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    namespace: usize,
    kind: ServiceKind,
    families: (bool, bool),
    ports: Vec<(&'static str, Protocol, u16, u16)>,
    nameless: bool,
    headless: bool,
    flags: Flags,
    endpoints: Vec<DraftEndpoint>,
    hints: Hints,
    affinity: Option<u32>,
    ranges: Vec<&'static str>,
}

/// What is there or not.
#[derive(Clone, Copy, Debug)]
struct Flags {
    internal_local: bool,
    external_local: bool,
    external_ip: bool,
    external_ip_of_node: bool,
    shared: bool,
    ingress_proxy: bool,
    no_node_ports: bool,
    foreign_proxy: bool,
    two_slices: bool,
    other_target: bool,
}

/// Which hints a Service's endpoints carry.
#[derive(Clone, Copy, Debug)]
enum Hints {
    None,
    Zones,
    Nodes,
    SomeZones,
}

#[derive(Clone, Debug)]
struct DraftEndpoint {
    place: Place,
    conditions: [Option<bool>; 3],
    hint: usize,
}

#[derive(Clone, Debug)]
enum Place {
    Pod(Index),
    /// An address that no pod has.
    Outside(u8),
}

pub(super) fn services() -> impl Strategy<Value = Draft> {
    let kinds = prop_oneof![
        3 => Just(ServiceKind::ClusterIp),
        3 => Just(ServiceKind::NodePort),
        4 => Just(ServiceKind::LoadBalancer),
        1 => Just(ServiceKind::ExternalName),
    ];
    let families = select(vec![(true, true), (true, true), (true, false), (false, true)]);
    let ports = subsequence(PORTS.to_vec(), 1..4);
    let hints = prop_oneof![
        4 => Just(Hints::None), 1 => Just(Hints::Zones), 1 => Just(Hints::Nodes), 1 => Just(Hints::SomeZones)
    ];
    let affinity = prop_oneof![2 => Just(None), 1 => select(vec![Some(10_u32), Some(10_800)])];
    let ranges = prop_oneof![
        4 => Just(vec![]),
        1 => Just(vec!["198.51.100.0/25", "2001:db8:ffff::/64"]),
        1 => Just(vec!["10.7.0.0/16", "192.0.2.0/24", "2001:db8:1::/64"]),
    ];
    let shape = (0_usize..16, kinds, families, ports, prop::bool::weighted(0.2), prop::bool::weighted(0.05));
    (shape, flags(), vec(endpoints(), 0..5), hints, affinity, ranges).prop_map(
        |((namespace, kind, families, ports, nameless, headless), flags, endpoints, hints, affinity, ranges)| Draft {
            namespace,
            kind,
            families,
            ports,
            nameless,
            headless,
            flags,
            endpoints,
            hints,
            affinity,
            ranges,
        },
    )
}

fn flags() -> impl Strategy<Value = Flags> {
    let often = || prop::bool::weighted(0.35);
    let seldom = || prop::bool::weighted(0.08);
    ((prop::bool::weighted(0.2), often(), often(), seldom(), often()), (seldom(), seldom(), seldom(), often(), often()))
        .prop_map(|(first, second)| {
            let (internal_local, external_local, external_ip, external_ip_of_node, shared) = first;
            let (ingress_proxy, no_node_ports, foreign_proxy, two_slices, other_target) = second;
            Flags {
                internal_local,
                external_local,
                external_ip,
                external_ip_of_node,
                shared,
                ingress_proxy,
                no_node_ports,
                foreign_proxy,
                two_slices,
                other_target,
            }
        })
}

fn endpoints() -> impl Strategy<Value = DraftEndpoint> {
    let place = prop_oneof![8 => any::<Index>().prop_map(Place::Pod), 1 => (60_u8..70).prop_map(Place::Outside)];
    // Ready, serving, terminating, in the combinations that the API's controllers write, and unknown ones.
    let conditions = prop_oneof![
        4 => Just([Some(true), Some(true), Some(false)]),
        2 => Just([None, None, None]),
        1 => Just([Some(false), Some(false), Some(false)]),
        2 => Just([Some(false), Some(true), Some(true)]),
        1 => Just([Some(false), None, Some(true)]),
        1 => Just([Some(false), Some(false), Some(true)]),
    ];
    (place, conditions, 0_usize..8).prop_map(|(place, conditions, hint)| DraftEndpoint { place, conditions, hint })
}

impl Draft {
    /// The Service as number `at` of its cluster.
    pub(super) fn finish(self, cluster: &Cluster, at: usize) -> Service {
        let number = u8::try_from(at).expect("a few Services");
        let families: Vec<bool> =
            [(true, self.families.0), (false, self.families.1)].iter().filter(|it| it.1).map(|it| it.0).collect();
        let named = self.kind != ServiceKind::ExternalName && !self.headless;
        let addresses = |make: fn(u8, bool) -> IpAddr, number| families.iter().map(|&v4| make(number, v4)).collect();
        let mut external_ips: Vec<IpAddr> = Vec::new();
        if self.flags.external_ip && named {
            external_ips = addresses(outer_ip, 10 + number);
        }
        if self.flags.external_ip_of_node && named {
            external_ips.extend(families.iter().map(|&v4| node_address(0, v4)));
        }
        let mut ingress: Vec<(IpAddr, bool)> = Vec::new();
        if self.kind == ServiceKind::LoadBalancer && named {
            let host = if self.flags.shared { SHARED } else { 100 + number };
            let all: Vec<IpAddr> = addresses(outer_ip, host);
            ingress = all.into_iter().map(|address| (address, self.flags.ingress_proxy)).collect();
        }
        Service {
            namespace: self.namespace % cluster.namespaces.len(),
            kind: self.kind,
            cluster_ips: if named { addresses(cluster_ip, 10 + number) } else { Vec::new() },
            ports: self.ports(number),
            external_ips,
            ingress,
            source_ranges: self.ranges.iter().map(|text| parse_net(text)).collect(),
            internal_local: self.flags.internal_local,
            external_local: self.flags.external_local,
            affinity: self.affinity,
            foreign_proxy: self.flags.foreign_proxy,
            slices: self.slices(cluster, &families),
        }
    }

    /// Those that share an address, or claim the node's, take ports of their own: each frontend has one Service.
    fn ports(&self, service: u8) -> Vec<ServicePort> {
        let apart = self.flags.shared || self.flags.external_ip_of_node;
        let has_node_ports = matches!(self.kind, ServiceKind::NodePort)
            || (self.kind == ServiceKind::LoadBalancer && !self.flags.no_node_ports);
        let all = self.kept_ports();
        all.iter()
            .map(|&(name, protocol, port, node_port)| ServicePort {
                name: (all.len() > 1 || !self.nameless).then(|| name.to_owned()),
                protocol,
                port: port + if apart { 100 * (u16::from(service) + 1) } else { 0 },
                node_port: has_node_ports.then(|| 30_000 + u16::from(service) * 10 + node_port),
            })
            .collect()
    }

    fn kept_ports(&self) -> &[(&'static str, Protocol, u16, u16)] {
        if self.nameless { &self.ports[..1] } else { &self.ports }
    }

    fn slices(&self, cluster: &Cluster, families: &[bool]) -> Vec<Slice> {
        let mut slices = Vec::new();
        for &v4 in families {
            let mut endpoints: Vec<Endpoint> = Vec::new();
            for draft in &self.endpoints {
                if let Some(endpoint) = self.endpoint(cluster, draft, v4)
                    && endpoints.iter().all(|it| it.address != endpoint.address)
                {
                    endpoints.push(endpoint);
                }
            }
            let ports = self.slice_ports();
            if self.flags.two_slices && endpoints.len() > 1 {
                // One is in both, as while the controller moves it; and the second knows its own targets.
                let second = endpoints.split_off(endpoints.len() / 2);
                let both = endpoints[0].clone();
                slices.push(Slice { v4, ports: ports.clone(), endpoints });
                slices.push(Slice { v4, ports: ports.clone(), endpoints: [vec![both], second].concat() });
            } else {
                slices.push(Slice { v4, ports, endpoints });
            }
        }
        slices
    }

    fn slice_ports(&self) -> Vec<SlicePort> {
        let all = self.kept_ports();
        let target = |port: u16| if self.flags.other_target { port + 8000 } else { port };
        all.iter()
            .map(|&(name, protocol, port, _)| SlicePort {
                name: (all.len() > 1 || !self.nameless).then(|| name.to_owned()),
                protocol,
                port: target(port),
            })
            .collect()
    }

    fn endpoint(&self, cluster: &Cluster, draft: &DraftEndpoint, v4: bool) -> Option<Endpoint> {
        let (address, node) = match &draft.place {
            Place::Outside(host) => (on_link(*host, v4), None),
            Place::Pod(index) => {
                let at = index.index(cluster.pods.len());
                let address = cluster.addresses_of(at).into_iter().find(|address| address.is_ipv4() == v4)?;
                (address, Some(cluster.pods[at].node))
            }
        };
        let hinted = draft.hint % cluster.nodes.len();
        let zone = cluster.nodes[hinted].zone.clone().unwrap_or_else(|| "there".to_owned());
        let zones = matches!(self.hints, Hints::Zones) || (matches!(self.hints, Hints::SomeZones) && draft.hint < 6);
        let [ready, serving, terminating] = draft.conditions;
        Some(Endpoint {
            address,
            node,
            ready,
            serving,
            terminating,
            for_zones: if zones { vec![zone] } else { vec![] },
            for_nodes: if matches!(self.hints, Hints::Nodes) { vec![hinted] } else { vec![] },
        })
    }
}

fn cluster_ip(number: u8, v4: bool) -> IpAddr {
    match v4 {
        true => Ipv4Addr::new(10, 96, 0, number).into(),
        false => Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, u16::from(number)).into(),
    }
}

fn outer_ip(number: u8, v4: bool) -> IpAddr {
    match v4 {
        true => Ipv4Addr::new(203, 0, 113, number).into(),
        false => Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, u16::from(number)).into(),
    }
}
