//! The lines of the specification of Services that concern packets, each by an example. Which line a test is for stands above it.
//! Connections over time are in `changes.rs`, errors in `errors.rs`, fragments in `fragments.rs`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sluice_path::{DropReason, ErrorRate, PathConfig, SharedConfig};
use sluice_world::cluster::{
    Cluster, Encapsulation, Protocol, Service, ServiceKind, Setup, node_address, on_link, parse_net, pod_address,
};
use sluice_world::cluster_switch::{ClusterSwitch, Seen};
use sluice_world::conversation::{Conversations, first_packet};
use sluice_world::expect::To;
use sluice_world::small::{
    OUTER, PORTS, address, arrive, arrived, cluster, dropped, endpoint, flow, from_pod, send, service,
};
use sluice_world::traffic::{Flow, From, outsider};

const TCP: Protocol = Protocol::Tcp;
const UDP: Protocol = Protocol::Udp;

fn with(service: Service) -> Cluster {
    Cluster { services: vec![service], ..cluster() }
}

/// The Service with its load balancer addresses.
fn balanced(pods: &[(usize, u8)]) -> Service {
    Service {
        kind: ServiceKind::LoadBalancer,
        ingress: OUTER.map(|ip| (address(ip), false)).to_vec(),
        external_ips: ["203.0.113.7", "2001:db8:2::7"].map(address).to_vec(),
        ..service(pods)
    }
}

fn from_outside(destination: IpAddr, protocol: Protocol, port: u16) -> Flow {
    flow(From::Outside, outsider(9, destination.is_ipv4()), destination, protocol, port)
}

fn from_host(destination: IpAddr, protocol: Protocol, port: u16) -> Flow {
    flow(From::Host, node_address(0, destination.is_ipv4()), destination, protocol, port)
}

/// The whole conversation, held to the objects.
fn hold(cluster: &Cluster, flow: &Flow) -> (To, IpAddr) {
    let mut switch = ClusterSwitch::new(cluster, 2);
    let held = Conversations::default().hold(cluster, &mut switch, flow);
    let arrived = held.unwrap_or_else(|error| panic!("{flow:?}: {error}"));
    arrived.map_or_else(|| panic!("{flow:?} did not arrive"), |it| (it.to, it.datagram.source))
}

fn first(cluster: &Cluster, flow: &Flow) -> Seen {
    let mut switch = ClusterSwitch::new(cluster, 1);
    send(&mut switch, flow.from, &first_packet(flow))
}

/// "Same port may exist for TCP, UDP and SCTP"; "a NodePort number may be TCP and UDP at once".
#[test]
fn one_port_number_serves_every_protocol() {
    let mut it = service(&[(0, 3)]);
    for port in &mut it.ports {
        (port.port, port.node_port) = (53, Some(30_000));
    }
    let cluster = with(it);
    for (_, protocol, _, _, target) in PORTS {
        let mut switch = ClusterSwitch::new(&cluster, 1);
        let (_, got) = arrive(&mut switch, &from_pod(&cluster, 0, "10.96.0.10", protocol, 53));
        assert_eq!(got.destination_port, target);
        let (_, got) = arrive(&mut switch, &from_outside(node_address(0, true), protocol, 30_000));
        assert_eq!(got.destination_port, target);
    }
}

/// "one LB IP may be shared by Services on different ports".
#[test]
fn two_services_share_a_load_balancer_address() {
    let mut other = balanced(&[(1, 4)]);
    other.cluster_ips = ["10.96.0.11", "fd00:96::b"].map(address).to_vec();
    other.external_ips.clear();
    other.ports.retain(|port| port.protocol == TCP);
    (other.ports[0].port, other.ports[0].node_port) = (81, Some(30_010));
    let cluster = Cluster { services: vec![balanced(&[(0, 3)]), other], ..cluster() };
    for vip in OUTER {
        assert_eq!(hold(&cluster, &from_outside(address(vip), TCP, 80)).0, To::Pod(1));
        assert_eq!(hold(&cluster, &from_outside(address(vip), TCP, 81)).0, To::Peer(1));
    }
}

/// "Choice is random per connection, then sticky by conntrack."
#[test]
fn connections_spread_over_the_endpoints_and_stay() {
    let cluster = with(service(&[(0, 3), (1, 4), (1, 5)]));
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let mut counts = std::collections::BTreeMap::new();
    for source_port in 40_000..40_600 {
        let flow = Flow { source_port, ..from_pod(&cluster, 0, "10.96.0.10", TCP, 80) };
        let (_, got) = arrive(&mut switch, &flow);
        *counts.entry(got.destination).or_insert(0) += 1;
        assert_eq!(arrive(&mut switch, &flow).1.destination, got.destination, "the same connection, the same endpoint");
    }
    assert_eq!(counts.len(), 3);
    assert!(counts.values().all(|times| (120..=280).contains(times)), "{counts:?}");
}

/// Verdicts: "no usable endpoint in the whole cluster | REJECT | REJECT"; "REJECT must ... also answer host-network callers and
/// off-node callers".
#[test]
fn without_endpoints_every_caller_is_refused() {
    let cluster = with(balanced(&[]));
    for v4 in [true, false] {
        let vips = |at: usize| {
            address(
                [["10.96.0.10", OUTER[0], "203.0.113.7"], ["fd00:96::a", OUTER[1], "2001:db8:2::7"]][usize::from(!v4)]
                    [at],
            )
        };
        let nodes = node_address(0, v4);
        let all = [
            (vips(0), [80, 53, 5060]),
            (vips(1), [80, 53, 5060]),
            (vips(2), [80, 53, 5060]),
            (nodes, [30_000, 30_001, 30_002]),
        ];
        for (vip, ports) in all {
            for (protocol, port) in [TCP, UDP, Protocol::Sctp].into_iter().zip(ports) {
                let own = from_pod(&cluster, 0, &vip.to_string(), protocol, port);
                for flow in [own, from_host(vip, protocol, port), from_outside(vip, protocol, port)] {
                    let Seen::Answered { reason, to, .. } = first(&cluster, &flow) else {
                        panic!("{flow:?}: no answer")
                    };
                    assert_eq!(reason, DropReason::ServiceNoEndpoints);
                    let home = match flow.from {
                        From::Pod(pod) => To::Pod(pod),
                        From::Host => To::Host,
                        _ => To::Neighbour(on_link(1, v4)),
                    };
                    assert_eq!(to, home);
                }
            }
        }
    }
}

/// Verdicts: "REJECT must be rate-limited".
#[test]
fn refusals_are_rate_limited() {
    let cluster = with(service(&[]));
    let icmp_errors = ErrorRate { per_second: 10, burst: 5 };
    let config = PathConfig { icmp_errors, ..PathConfig::default() };
    let mut switch = ClusterSwitch::with(&cluster, 1, config, SharedConfig::default());
    let flow = from_pod(&cluster, 0, "10.96.0.10", TCP, 80);
    let answers =
        (0..100).filter(|_| matches!(send(&mut switch, flow.from, &first_packet(&flow)), Seen::Answered { .. }));
    assert_eq!(answers.count(), 5);
    assert_eq!(switch.counts().icmp_errors_withheld, 95);
}

/// Verdicts: "policy Local, endpoints exist but none here | DROP (silent) | DROP for outsiders; host and local pods still served
/// with Cluster policy".
#[test]
fn a_local_policy_without_local_endpoints_drops_in_silence() {
    let cluster = with(Service { internal_local: true, external_local: true, ..balanced(&[(1, 4)]) });
    let silent = Seen::Dropped(DropReason::ServiceNoLocalEndpoints);
    for (vip, outer) in [("10.96.0.10", OUTER[0]), ("fd00:96::a", OUTER[1])] {
        let v4 = address(vip).is_ipv4();
        assert_eq!(first(&cluster, &from_pod(&cluster, 0, vip, TCP, 80)), silent);
        assert_eq!(first(&cluster, &from_host(address(vip), TCP, 80)), silent);
        assert_eq!(first(&cluster, &from_outside(address(outer), TCP, 80)), silent);
        assert_eq!(first(&cluster, &from_outside(node_address(0, v4), TCP, 30_000)), silent);
        assert_eq!(hold(&cluster, &from_pod(&cluster, 0, outer, TCP, 80)).0, To::Peer(1));
        assert_eq!(hold(&cluster, &from_host(node_address(0, v4), TCP, 30_000)).0, To::Peer(1));
    }
}

/// Verdicts: "defined VIP, undefined port | REJECT"; "unallocated IP inside a ServiceCIDR | DROP".
#[test]
fn undefined_ports_are_refused_and_unallocated_addresses_dropped() {
    let cluster = cluster();
    for (vip, unallocated) in [("10.96.0.10", "10.96.0.99"), ("fd00:96::a", "fd00:96::63")] {
        let Seen::Answered { reason, .. } = first(&cluster, &from_pod(&cluster, 0, vip, TCP, 81)) else {
            panic!("no answer")
        };
        assert_eq!(reason, DropReason::ServiceNoPort);
        let Seen::Answered { reason, .. } = first(&cluster, &from_pod(&cluster, 0, vip, UDP, 80)) else {
            panic!("no answer")
        };
        assert_eq!(reason, DropReason::ServiceNoPort, "the protocol is part of the port");
        let unallocated = first(&cluster, &from_pod(&cluster, 0, unallocated, TCP, 80));
        assert_eq!(unallocated, Seen::Dropped(DropReason::ServiceUnallocated));
    }
}

/// Verdicts: "LB source not in loadBalancerSourceRanges | DROP before DNAT; applies to LB VIPs only, never to NodePort".
#[test]
fn source_ranges_guard_load_balancer_addresses_alone() {
    let ranges = ["198.51.100.128/25", "2001:db8:ffff::80/121"].map(parse_net).to_vec();
    let cluster = with(Service { source_ranges: ranges, ..balanced(&[(0, 3)]) });
    for (vip, external) in [(OUTER[0], "203.0.113.7"), (OUTER[1], "2001:db8:2::7")] {
        let v4 = address(vip).is_ipv4();
        let outside = from_outside(address(vip), TCP, 80);
        assert_eq!(first(&cluster, &outside), Seen::Dropped(DropReason::ServiceSourceRange));
        let allowed = Flow { source: outsider(200, v4), ..outside };
        assert_eq!(hold(&cluster, &allowed).0, To::Pod(1));
        assert_eq!(hold(&cluster, &from_outside(node_address(0, v4), TCP, 30_000)).0, To::Pod(1));
        assert_eq!(hold(&cluster, &from_outside(address(external), TCP, 80)).0, To::Pod(1));
    }
}

/// Source address rules: "pod -> ClusterIP keeps the pod source IP end to end".
#[test]
fn a_pod_keeps_its_address_to_a_cluster_ip() {
    for backend in [(0, 3), (1, 4)] {
        for vip in ["10.96.0.10", "fd00:96::a"] {
            let cluster = with(service(&[backend]));
            let flow = from_pod(&cluster, 0, vip, TCP, 80);
            assert_eq!(hold(&cluster, &flow).1, flow.source);
        }
    }
}

/// Source address rules: "off-cluster source -> ClusterIP ... is masqueraded"; "external + policy Cluster => masquerade; external
/// + Local => keep client IP".
#[test]
fn outsiders_are_masqueraded_unless_the_policy_is_local() {
    for (vip, outer, external) in [("10.96.0.10", OUTER[0], "203.0.113.7"), ("fd00:96::a", OUTER[1], "2001:db8:2::7")] {
        let v4 = address(vip).is_ipv4();
        let faces = [(address(outer), 80), (address(external), 80), (node_address(0, v4), 30_000)];
        let mut cluster = with(balanced(&[(0, 3)]));
        assert_eq!(hold(&cluster, &from_outside(address(vip), TCP, 80)).1, node_address(0, v4));
        for (face, port) in faces {
            assert_eq!(hold(&cluster, &from_outside(face, TCP, port)).1, node_address(0, v4), "{face}");
        }
        cluster.services[0].external_local = true;
        for (face, port) in faces {
            assert_eq!(hold(&cluster, &from_outside(face, TCP, port)).1, outsider(9, v4), "{face}");
        }
    }
}

/// Source address rules: "local pod -> LB/NodePort/externalIP of a Local Service short-circuits to Cluster policy (as if it left
/// and came back). Host-originated traffic likewise, with masquerade."
#[test]
fn who_is_on_the_node_reaches_a_local_service_as_from_everywhere() {
    let cluster = with(Service { external_local: true, ..balanced(&[(1, 4)]) });
    for (outer, external) in [(OUTER[0], "203.0.113.7"), (OUTER[1], "2001:db8:2::7")] {
        let v4 = address(outer).is_ipv4();
        for (face, port) in [(address(outer), 80), (address(external), 80), (node_address(0, v4), 30_000)] {
            let of_pod = from_pod(&cluster, 0, &face.to_string(), TCP, port);
            assert_eq!(hold(&cluster, &of_pod), (To::Peer(1), of_pod.source));
            assert_eq!(hold(&cluster, &from_host(face, TCP, port)), (To::Peer(1), node_address(0, v4)));
        }
    }
}

/// Source address rules: "Hairpin: when chosen endpoint == client IP, masquerade".
#[test]
fn a_pod_behind_its_own_service_reaches_itself() {
    let cluster = with(service(&[(0, 3)]));
    for vip in ["10.96.0.10", "fd00:96::a"] {
        for (_, protocol, port, ..) in PORTS {
            let flow = from_pod(&cluster, 1, vip, protocol, port);
            assert_eq!(hold(&cluster, &flow), (To::Pod(1), node_address(0, flow.source.is_ipv4())));
        }
    }
}

/// Source address rules: "Host-network clients ... must reach every VIP."
#[test]
fn the_host_reaches_every_address_of_a_service() {
    for backend in [(0, 3), (1, 4)] {
        let cluster = with(balanced(&[backend]));
        for (vip, outer, external) in
            [("10.96.0.10", OUTER[0], "203.0.113.7"), ("fd00:96::a", OUTER[1], "2001:db8:2::7")]
        {
            let v4 = address(vip).is_ipv4();
            let faces =
                [(address(vip), 80), (address(outer), 80), (address(external), 80), (node_address(0, v4), 30_000)];
            for (face, port) in faces {
                let to = hold(&cluster, &from_host(face, TCP, port)).0;
                assert_eq!(to, if backend.0 == 0 { To::Pod(1) } else { To::Peer(1) });
            }
        }
    }
}

/// Source address rules, endpoints on the node's own network (the API server's, for one): reached by pods and by the host.
#[test]
fn an_endpoint_on_our_own_host_is_reached_and_its_answers_come_back() {
    let mut it = service(&[]);
    for slice in &mut it.slices {
        let mut own = endpoint(0, 2, slice.v4);
        own.address = node_address(0, slice.v4);
        slice.endpoints.push(own);
    }
    let cluster = with(it);
    for vip in ["10.96.0.10", "fd00:96::a"] {
        let of_pod = from_pod(&cluster, 0, vip, TCP, 80);
        let of_host = from_host(address(vip), TCP, 80);
        let of_outside = from_outside(node_address(0, of_pod.source.is_ipv4()), TCP, 30_000);
        for flow in [of_pod, of_host, of_outside] {
            let mut switch = ClusterSwitch::new(&cluster, 1);
            let (to, got) = arrive(&mut switch, &flow);
            assert_eq!((to, got.destination_port), (To::Host, 8080));
            assert_ne!(got.source, got.destination, "the host would take its own address for forged");
            if flow.from == From::Pod(0) {
                assert_eq!(got.source, flow.source);
            }
            let back = arrived(send(&mut switch, From::Host, &got.answered()));
            assert_eq!((back.1.source, back.1.destination), (flow.destination, flow.source));
        }
    }
}

/// NodePort: "Works from pods on the same node, from other nodes, from outside".
#[test]
fn a_node_port_works_from_everywhere() {
    let cluster = with(service(&[(0, 3)]));
    for v4 in [true, false] {
        let node = node_address(0, v4);
        let of_pod = from_pod(&cluster, 0, &node.to_string(), TCP, 30_000);
        let of_node = Flow { source: node_address(1, v4), ..from_outside(node, TCP, 30_000) };
        for flow in [of_pod, from_host(node, TCP, 30_000), of_node, from_outside(node, TCP, 30_000)] {
            assert_eq!(hold(&cluster, &flow).0, To::Pod(1));
        }
    }
}

/// NodePort: what is no Service's at the node's addresses is the host's.
#[test]
fn other_ports_of_the_node_are_the_hosts() {
    let cluster = cluster();
    let node = node_address(0, true);
    assert_eq!(first(&cluster, &from_outside(node, TCP, 22)), Seen::Punted);
    assert_eq!(hold(&cluster, &from_pod(&cluster, 0, &node.to_string(), TCP, 22)).0, To::Host);
}

/// NodePort: "allocateLoadBalancerNodePorts: false => LB works with no NodePort"; "skip ipMode: Proxy".
#[test]
fn a_load_balancer_needs_no_node_port_and_proxies_are_left_alone() {
    let mut it = balanced(&[(0, 3)]);
    it.ports.iter_mut().for_each(|port| port.node_port = None);
    let cluster = with(it.clone());
    assert_eq!(hold(&cluster, &from_outside(address(OUTER[0]), TCP, 80)).0, To::Pod(1));
    it.ingress.iter_mut().for_each(|ingress| ingress.1 = true);
    let cluster = with(it);
    let seen = first(&cluster, &from_pod(&cluster, 0, OUTER[0], TCP, 80));
    let Seen::Left { to, .. } = seen else { panic!("it leaves for the proxy") };
    assert_eq!(to, To::Neighbour(on_link(1, true)));
}

/// NodePort: "externalIPs: implement behind a switch that can be turned off".
#[test]
fn external_ips_can_be_turned_off() {
    let mut cluster = with(balanced(&[(0, 3)]));
    let flow = from_outside(address("203.0.113.7"), TCP, 80);
    assert_eq!(hold(&cluster, &flow).0, To::Pod(1));
    cluster.setup.external_ips = false;
    assert_eq!(first(&cluster, &flow), Seen::Punted);
}

/// Connection state: "Two VIPs mapping to one backend from the same client port must not collide".
#[test]
fn two_addresses_of_one_backend_do_not_collide() {
    let cluster = with(balanced(&[(1, 4)]));
    for (vips, protocol, port) in [(["10.96.0.10", OUTER[0]], TCP, 80), (["fd00:96::a", OUTER[1]], UDP, 53)] {
        let mut switch = ClusterSwitch::new(&cluster, 2);
        let mut conversations = Conversations::default();
        let mut tuples = BTreeSet::new();
        let direct = from_pod(&cluster, 0, &pod_address(1, 4, address(vips[0]).is_ipv4()).to_string(), protocol, 8080);
        let flows = vips.map(|vip| from_pod(&cluster, 0, vip, protocol, port));
        for flow in [flows[0], flows[1], direct] {
            let held =
                conversations.hold(&cluster, &mut switch, &flow).unwrap_or_else(|error| panic!("{flow:?}: {error}"));
            let got = held.expect("it arrives").datagram;
            assert!(tuples.insert((got.source, got.source_port, got.destination_port)), "{tuples:?}");
        }
    }
}

/// Connection state: "SCTP with port != targetPort".
#[test]
fn sctp_goes_to_another_port_with_a_right_checksum() {
    for backend in [(0, 3), (1, 4)] {
        let cluster = with(service(&[backend]));
        for vip in ["10.96.0.10", "fd00:96::a"] {
            let mut switch = ClusterSwitch::new(&cluster, 1);
            let (_, got) = arrive(&mut switch, &from_pod(&cluster, 0, vip, Protocol::Sctp, 5060));
            assert_eq!((got.destination_port, got.payload), (9060, b"first".to_vec()));
        }
    }
}

/// Connection state: "Out-of-window/INVALID segments must not cause a reset storm; be liberal after restart, since TCP window
/// state is lost".
#[test]
fn segments_out_of_any_window_pass_and_nobody_is_reset() {
    use sluice_wire::tcp::flag;
    let cluster = with(service(&[(0, 3)]));
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let flow = from_pod(&cluster, 0, "10.7.0.3", TCP, 8080);
    for flags in [flag::ACK, flag::ACK | flag::PSH, flag::SYN, flag::ACK] {
        let segment = sluice_world::datagram::Datagram { flags, ..first_packet(&flow) };
        assert_eq!(arrived(send(&mut switch, flow.from, &segment)).0, To::Pod(1));
    }
    assert_eq!(switch.counts().resets, 0);
}

/// Masquerade to the outside: many pods, one address, each its own port; and answers find the way back.
#[test]
fn pods_share_the_nodes_address_towards_the_outside() {
    for encapsulation in [Encapsulation::Vxlan, Encapsulation::None] {
        let cluster = Cluster { setup: Setup { encapsulation, ..Setup::default() }, ..cluster() };
        let mut switch = ClusterSwitch::new(&cluster, 2);
        let mut conversations = Conversations::default();
        for pod in [0, 1] {
            for source_port in 40_000..40_100 {
                let flow = Flow { source_port, ..from_pod(&cluster, pod, "198.51.100.20", UDP, 53) };
                let held = conversations.hold(&cluster, &mut switch, &flow).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(held.expect("it arrives").datagram.source, node_address(0, true));
            }
        }
    }
}

/// A neighbour whose MAC is not known is asked for; nothing is sent to a guess.
#[test]
fn a_missing_neighbour_is_wanted() {
    let cluster = cluster();
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let flow = from_pod(&cluster, 0, "192.0.2.200", UDP, 53);
    assert_eq!(dropped(send(&mut switch, flow.from, &first_packet(&flow))), DropReason::NeighbourMissing);
    assert_eq!(switch.wanted(), [address("192.0.2.200")]);
    assert!(switch.wanted().is_empty(), "asked for once");
}
