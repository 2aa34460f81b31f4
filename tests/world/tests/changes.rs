//! What changes do to connections that are there: policies, endpoints, time.

use core::sync::atomic::AtomicU64;
use core::time::Duration;

use sluice_connections::{Config, Table};
use sluice_path::{DropReason, PathConfig, Shared, SharedConfig};
use sluice_wire::tcp::flag;
use sluice_world::cluster::{Cluster, Peer, Protocol, Rule, Selector, Way, pod_address};
use sluice_world::cluster_switch::{ClusterSwitch, Seen};
use sluice_world::conversation::first_packet;
use sluice_world::datagram::Datagram;
use sluice_world::expect::To;
use sluice_world::small::{arrive, arrived, cluster, dropped, endpoint, flow, from_pod, send, service, shut};
use sluice_world::traffic::{Content, Flow, From, outsider};

const TCP: Protocol = Protocol::Tcp;
const UDP: Protocol = Protocol::Udp;

fn of_pod(to: To) -> From {
    match to {
        To::Pod(pod) => From::Pod(pod),
        To::Peer(node) => From::Peer(node),
        To::Host => From::Host,
        To::Neighbour(_) => From::Outside,
    }
}

/// The flow's handshake; where it arrived, and as what.
fn establish(switch: &mut ClusterSwitch, flow: &Flow) -> (To, Datagram) {
    let (to, first) = arrive(switch, flow);
    arrived(send(switch, of_pod(to), &first.answered()));
    arrived(send(switch, flow.from, &later(flow)));
    (to, first)
}

/// A packet of the flow after the first.
fn later(flow: &Flow) -> Datagram {
    let flags = if flow.content == Content::Transport(TCP) { flag::ACK } else { 0 };
    Datagram { flags, payload: b"later".to_vec(), ..first_packet(flow) }
}

/// network-policy.md: "Existing connections on policy change".
#[test]
fn a_connection_that_a_new_policy_forbids_is_cut_and_others_go_on() {
    let mut cluster = cluster();
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let forbidden = from_pod(&cluster, 0, "10.7.0.3", TCP, 8080);
    let unconcerned = from_pod(&cluster, 1, "10.7.1.4", TCP, 8080);
    establish(&mut switch, &forbidden);
    establish(&mut switch, &unconcerned);
    cluster.policies.push(shut(0, Way::Ingress));
    switch.publish(&cluster);
    assert_eq!(dropped(send(&mut switch, forbidden.from, &later(&forbidden))), DropReason::PolicyIngress);
    assert_eq!(arrived(send(&mut switch, unconcerned.from, &later(&unconcerned))).0, To::Peer(1));
    let answer = later(&unconcerned).answered();
    assert_eq!(
        arrived(send(&mut switch, From::Peer(1), &answer)).0,
        To::Pod(1),
        "replies to an allowed connection pass"
    );
}

/// network-policy.md: "Existing connections on policy change"; the answer may come before the next packet of the client.
#[test]
fn a_forbidden_connection_is_cut_in_the_answers_direction_too() {
    let mut cluster = cluster();
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let flow = from_pod(&cluster, 0, "10.96.0.10", UDP, 53);
    let (to, first) = establish(&mut switch, &flow);
    cluster.policies.push(shut(0, Way::Egress));
    switch.publish(&cluster);
    let reason = dropped(send(&mut switch, of_pod(to), &first.answered()));
    assert_eq!(reason, DropReason::PolicyEgress);
}

/// network-policy.md: "Policies only add".
#[test]
fn a_policy_that_lets_a_client_in_again_is_in_force_with_the_next_connection() {
    let mut cluster = cluster();
    cluster.policies.push(shut(0, Way::Ingress));
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let flow = from_pod(&cluster, 0, "10.7.0.3", TCP, 8080);
    assert_eq!(dropped(send(&mut switch, flow.from, &first_packet(&flow))), DropReason::PolicyIngress);
    let everyone =
        Rule { peers: vec![Peer::Pods { namespaces: None, pods: Some(Selector::default()) }], ports: vec![] };
    cluster.policies[0].ingress = Some(vec![everyone]);
    switch.publish(&cluster);
    assert_eq!(arrive(&mut switch, &flow).0, To::Pod(1));
}

/// network-policy.md: "Label edits on pods or namespaces ... re-evaluate; a reused IP must never inherit the old pod's allows".
#[test]
fn a_reused_address_inherits_nothing() {
    let mut cluster = cluster();
    cluster.policies.push(shut(0, Way::Ingress));
    let labels = [("app".to_owned(), "friend".to_owned())].into();
    let friends = Selector { labels, ..Selector::default() };
    let namespaces = Some(Selector::default());
    let rule = Rule { peers: vec![Peer::Pods { namespaces, pods: Some(friends.clone()) }], ports: vec![] };
    cluster.policies[0].ingress = Some(vec![rule]);
    cluster.pods[2].labels = friends.labels;
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let flow = flow(From::Peer(1), pod_address(1, 4, true), pod_address(0, 2, true), TCP, 80);
    establish(&mut switch, &flow);
    cluster.pods[2].labels.clear();
    switch.publish(&cluster);
    assert_eq!(dropped(send(&mut switch, flow.from, &later(&flow))), DropReason::PolicyIngress);
}

fn with_endpoints(pods: &[(usize, u8)]) -> Cluster {
    Cluster { services: vec![service(pods)], ..cluster() }
}

/// services.md, connection state: "UDP: drop flows whose backend is no longer Serving, for ClusterIP, LB, externalIP and
/// NodePort".
#[test]
fn a_udp_flow_goes_to_another_backend_when_its_own_stops_serving() {
    let node_port = flow(From::Outside, outsider(9, true), sluice_world::cluster::node_address(0, true), UDP, 30_001);
    let cluster_ip = from_pod(&cluster(), 0, "10.96.0.10", UDP, 53);
    let cluster_ip_v6 = from_pod(&cluster(), 0, "fd00:96::a", UDP, 53);
    for flow in [cluster_ip, cluster_ip_v6, node_port] {
        let mut cluster = with_endpoints(&[(0, 3)]);
        let mut switch = ClusterSwitch::new(&cluster, 1);
        assert_eq!(establish(&mut switch, &flow).0, To::Pod(1));
        for slice in &mut cluster.services[0].slices {
            slice.endpoints[0].ready = Some(false);
            slice.endpoints[0].serving = Some(false);
            slice.endpoints.push(endpoint(1, 4, slice.v4));
        }
        switch.publish(&cluster);
        let (to, got) = arrived(send(&mut switch, flow.from, &later(&flow)));
        assert_eq!((to, got.destination_port), (To::Peer(1), 5353), "{flow:?}");
        assert_eq!(arrived(send(&mut switch, From::Peer(1), &got.answered())).1.source, flow.destination);
    }
}

/// services.md, connection state: "include N->0 endpoints ... and 0->N".
#[test]
fn udp_flows_follow_the_endpoints_to_none_and_back() {
    let mut cluster = with_endpoints(&[(0, 3)]);
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let flow = from_pod(&cluster, 0, "10.96.0.10", UDP, 53);
    establish(&mut switch, &flow);
    cluster.services = vec![service(&[])];
    switch.publish(&cluster);
    let Seen::Answered { reason, to, .. } = send(&mut switch, flow.from, &later(&flow)) else { panic!("not refused") };
    assert_eq!((reason, to), (DropReason::ServiceNoEndpoints, To::Pod(0)));
    cluster.services = vec![service(&[(1, 4)])];
    switch.publish(&cluster);
    assert_eq!(arrived(send(&mut switch, flow.from, &later(&flow))).0, To::Peer(1));
}

/// services.md, connection state: "act on readiness, not mere presence". A flow to an endpoint that is not ready any more but
/// serves goes on.
#[test]
fn a_serving_backend_keeps_its_udp_flows() {
    let mut cluster = with_endpoints(&[(0, 3), (1, 4)]);
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let flow = from_pod(&cluster, 0, "10.96.0.10", UDP, 53);
    let (to, _) = establish(&mut switch, &flow);
    for slice in &mut cluster.services[0].slices {
        for endpoint in &mut slice.endpoints {
            (endpoint.ready, endpoint.serving, endpoint.terminating) = (Some(false), Some(true), Some(true));
        }
        slice.endpoints.push(endpoint(1, 5, slice.v4));
    }
    switch.publish(&cluster);
    assert_eq!(arrived(send(&mut switch, flow.from, &later(&flow))).0, to);
}

/// services.md, connection state: "Traffic-policy edits must not cut existing flows".
#[test]
fn an_edit_of_the_traffic_policy_cuts_nothing() {
    let mut cluster = with_endpoints(&[(1, 4)]);
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let flow = from_pod(&cluster, 0, "10.96.0.10", UDP, 53);
    assert_eq!(establish(&mut switch, &flow).0, To::Peer(1));
    cluster.services[0].internal_local = true;
    switch.publish(&cluster);
    assert_eq!(arrived(send(&mut switch, flow.from, &later(&flow))).0, To::Peer(1));
    let other = Flow { source_port: 40_001, ..flow };
    let reason = dropped(send(&mut switch, other.from, &first_packet(&other)));
    assert_eq!(reason, DropReason::ServiceNoLocalEndpoints);
}

/// services.md, connection state: "TCP to a Terminating endpoint continues; new connections go elsewhere".
#[test]
fn tcp_to_a_terminating_endpoint_continues_and_new_connections_go_elsewhere() {
    let mut cluster = with_endpoints(&[(0, 3)]);
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let flow = from_pod(&cluster, 0, "10.96.0.10", TCP, 80);
    establish(&mut switch, &flow);
    for slice in &mut cluster.services[0].slices {
        let ending = &mut slice.endpoints[0];
        (ending.ready, ending.serving, ending.terminating) = (Some(false), Some(false), Some(true));
        slice.endpoints.push(endpoint(1, 4, slice.v4));
    }
    switch.publish(&cluster);
    assert_eq!(arrived(send(&mut switch, flow.from, &later(&flow))).0, To::Pod(1));
    let other = Flow { source_port: 40_001, ..flow };
    assert_eq!(arrive(&mut switch, &other).0, To::Peer(1));
}

/// services.md, connection state: "On endpoint removal sending RST is allowed and kind".
#[test]
fn tcp_to_a_removed_endpoint_is_reset() {
    let mut cluster = with_endpoints(&[(0, 3)]);
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let flow = from_pod(&cluster, 0, "10.96.0.10", TCP, 80);
    establish(&mut switch, &flow);
    cluster.services = vec![service(&[(1, 4)])];
    switch.publish(&cluster);
    let Seen::Answered { reason, to, frame } = send(&mut switch, flow.from, &later(&flow)) else { panic!("not reset") };
    assert_eq!((reason, to), (DropReason::BackendGone, To::Pod(0)));
    let reset = Datagram::read(&frame).expect("a right segment");
    assert_eq!((reset.source, reset.source_port), (flow.destination, 80), "it comes from whom the client speaks to");
    assert_eq!((reset.destination, reset.destination_port), (flow.source, 40_000));
    assert_eq!(reset.flags & flag::RST, flag::RST);
    assert_eq!(switch.counts().resets, 1);
}

/// services.md, session affinity: "ClientIP key is (client IP, Service port) across all frontends of that port; source port
/// ignored" and "Each new connection refreshes the timer".
#[test]
fn affinity_holds_across_ports_and_frontends_until_its_time_is_up() {
    let mut cluster = with_endpoints(&[(0, 3), (1, 4)]);
    cluster.services[0].affinity = Some(100);
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let at = |destination, port, source_port| Flow { source_port, ..from_pod(&cluster, 0, destination, TCP, port) };
    let (first, _) = arrive(&mut switch, &at("10.96.0.10", 80, 40_000));
    for round in 1..20 {
        switch.clock.advance(Duration::from_secs(60));
        let flow = if round % 2 == 0 {
            at("10.96.0.10", 80, 40_000 + round)
        } else {
            at("192.0.2.10", 30_000, 40_000 + round)
        };
        assert_eq!(arrive(&mut switch, &flow).0, first, "round {round}");
    }
    let mut others = 0;
    for round in 0..40 {
        switch.clock.advance(Duration::from_secs(200));
        others += usize::from(arrive(&mut switch, &at("10.96.0.10", 80, 41_000 + round)).0 != first);
    }
    assert!(others > 5, "after its time the choice is free again: {others} of 40 went elsewhere");
}

/// services.md, session affinity: "Entry dies with its endpoint (or when unusable) and a new one is picked".
#[test]
fn affinity_dies_with_its_endpoint() {
    let mut cluster = with_endpoints(&[(0, 3)]);
    cluster.services[0].affinity = Some(10_800);
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let flow = from_pod(&cluster, 0, "10.96.0.10", TCP, 80);
    assert_eq!(arrive(&mut switch, &flow).0, To::Pod(1));
    cluster.services[0].slices = service(&[(1, 4)]).slices;
    switch.publish(&cluster);
    assert_eq!(arrive(&mut switch, &Flow { source_port: 40_001, ..flow }).0, To::Peer(1));
    cluster.services[0].slices = service(&[(0, 3), (1, 4)]).slices;
    switch.publish(&cluster);
    for source_port in 40_002..40_020 {
        assert_eq!(arrive(&mut switch, &Flow { source_port, ..flow }).0, To::Peer(1), "the new one sticks");
    }
}

/// Idle connections end by their state's time, and not before.
#[test]
fn idle_connections_expire() {
    let cluster = cluster();
    let udp = from_pod(&cluster, 0, "10.7.0.3", UDP, 53);
    let echo = Flow { content: Content::Echo, destination_port: 0, ..udp };
    let tcp = from_pod(&cluster, 0, "10.7.0.3", TCP, 80);
    // An answered UDP flow, TCP established, and echo: Linux' times.
    for (flow, kept, gone) in [(udp, 110, 130), (echo, 25, 40), (tcp, 431_000, 433_000)] {
        let mut switch = ClusterSwitch::new(&cluster, 1);
        establish(&mut switch, &flow);
        assert_eq!(switch.shared.connections.len(), 1);
        let idle = |switch: &mut ClusterSwitch, seconds| {
            switch.clock.advance(Duration::from_secs(seconds));
            // Expiry is work done a little at a time, with the bursts that come.
            for _ in 0..1000 {
                switch.idle();
            }
            switch.shared.connections.len()
        };
        assert_eq!(idle(&mut switch, kept), 1, "{flow:?}");
        assert_eq!(idle(&mut switch, gone - kept), 0, "{flow:?}");
    }
}

/// services.md, connection state: "Do *not* flush live flows at agent restart". What was known goes on, translated as before,
/// though ports and generation are new ones; and answers come back.
#[test]
fn live_flows_outlive_a_restart() {
    let config =
        SharedConfig { connections: Config { capacity: 1000, ..Config::default() }, ..SharedConfig::default() };
    let words = (0..Table::words(&config.connections)).map(|_| AtomicU64::new(0));
    let memory: &'static [AtomicU64] = Box::leak(words.collect::<Vec<_>>().into_boxed_slice());
    let start = |cluster: &Cluster| {
        let adopted = Table::over(memory, config.connections).expect("memory of the right size");
        ClusterSwitch::over(cluster, 1, PathConfig::default(), Shared::over(adopted.table, config))
    };
    let cluster = with_endpoints(&[(0, 3), (1, 4)]);
    let flows = [
        from_pod(&cluster, 0, "10.96.0.10", UDP, 53),
        from_pod(&cluster, 0, "fd00:96::a", TCP, 80),
        from_pod(&cluster, 0, "198.51.100.20", TCP, 443),
        flow(From::Outside, outsider(9, true), sluice_world::cluster::node_address(0, true), TCP, 30_000),
    ];
    let mut switch = start(&cluster);
    let before: Vec<_> = flows.iter().map(|flow| establish(&mut switch, flow)).collect();
    drop(switch);
    let mut switch = start(&cluster);
    assert_eq!(switch.shared.connections.len(), 4);
    for (flow, (to, first)) in flows.iter().zip(&before) {
        let (now, got) = arrived(send(&mut switch, flow.from, &later(flow)));
        assert_eq!((now, got.source_port, got.destination), (*to, first.source_port, first.destination));
        let (_, back) = arrived(send(&mut switch, of_pod(*to), &first.answered()));
        assert_eq!((back.source, back.destination_port), (flow.destination, flow.source_port));
    }
}
