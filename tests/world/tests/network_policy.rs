//! The lines of the specification of NetworkPolicy that concern packets, each by an example. Which line a test is for stands above
//! it. Changes of policies are in `changes.rs`, related ICMP in `errors.rs`.

use std::net::IpAddr;

use sluice_packets::{arp, ndp};
use sluice_path::DropReason;
use sluice_tables::{GATEWAY_IPV4, GATEWAY_IPV6};
use sluice_world::cluster::{
    Cluster, ContainerPort, Labels, Peer, Policy, PolicyPort, PortName, Protocol, Rule, Selector, Way, node_address,
    own_address, parse_net, pod_address,
};
use sluice_world::cluster_switch::{ClusterSwitch, Seen};
use sluice_world::conversation::{Conversations, first_packet};
use sluice_world::expect::To;
use sluice_world::small::{cluster, dropped, flow, from_pod, pod, send, service, shut};
use sluice_world::traffic::{Content, Flow, From, outsider};
use sluice_world::wiring::{mac_of, port_of};

const TCP: Protocol = Protocol::Tcp;
const UDP: Protocol = Protocol::Udp;

fn with(policies: Vec<Policy>) -> Cluster {
    Cluster { policies, ..cluster() }
}

fn labels(key: &str, value: &str) -> Labels {
    [(key.to_owned(), value.to_owned())].into()
}

fn labelled(key: &str, value: &str) -> Selector {
    Selector { labels: labels(key, value), ..Selector::default() }
}

/// A policy for all pods of namespace 0 with these rules for what comes in.
fn ingress(rules: Vec<Rule>) -> Policy {
    Policy { ingress: Some(rules), ..shut(0, Way::Ingress) }
}

/// The same for what goes out.
fn egress(rules: Vec<Rule>) -> Policy {
    Policy { egress: Some(rules), ..shut(0, Way::Egress) }
}

fn peers(peers: Vec<Peer>) -> Rule {
    Rule { peers, ports: Vec::new() }
}

fn pods(namespaces: Option<Selector>, pods: Option<Selector>) -> Peer {
    Peer::Pods { namespaces, pods }
}

fn ports(protocol: Option<Protocol>, port: Option<PortName>) -> Rule {
    Rule { peers: Vec::new(), ports: vec![PolicyPort { protocol, port }] }
}

fn block(cidr: &str, except: &[&str]) -> Peer {
    Peer::Block { cidr: parse_net(cidr), except: except.iter().map(|text| parse_net(text)).collect() }
}

/// Whether the flow's packets come through, in both directions.
fn passes(cluster: &Cluster, flow: &Flow) -> Result<To, DropReason> {
    let mut switch = ClusterSwitch::new(cluster, 2);
    match Conversations::default().hold(cluster, &mut switch, flow) {
        Ok(Some(arrived)) => Ok(arrived.to),
        Ok(None) => Err(dropped(send(&mut switch, flow.from, &first_packet(flow)))),
        Err(error) => panic!("{flow:?}: {error}"),
    }
}

/// Pod 0 to pod 1, of one namespace.
fn inside(v4: bool, protocol: Protocol, port: u16) -> Flow {
    flow(From::Pod(0), pod_address(0, 2, v4), pod_address(0, 3, v4), protocol, port)
}

/// Pod 2, of namespace 1 and the other node, to pod 0.
fn from_elsewhere(v4: bool, protocol: Protocol, port: u16) -> Flow {
    flow(From::Peer(1), pod_address(1, 4, v4), pod_address(0, 2, v4), protocol, port)
}

const IN: Result<To, DropReason> = Err(DropReason::PolicyIngress);
const OUT: Result<To, DropReason> = Err(DropReason::PolicyEgress);

/// "Non-isolated by default; isolation is per direction".
#[test]
fn isolation_is_per_direction() {
    for v4 in [true, false] {
        let to_pod = inside(v4, TCP, 80);
        let out = from_pod(&cluster(), 0, &pod_address(1, 4, v4).to_string(), TCP, 80);
        assert_eq!(passes(&cluster(), &to_pod), Ok(To::Pod(1)));
        let shut_in = with(vec![shut(0, Way::Ingress)]);
        assert_eq!((passes(&shut_in, &to_pod), passes(&shut_in, &out)), (IN, Ok(To::Peer(1))));
        let shut_out = with(vec![shut(0, Way::Egress)]);
        assert_eq!(
            (passes(&shut_out, &to_pod), passes(&shut_out, &from_elsewhere(v4, TCP, 80))),
            (OUT, Ok(To::Pod(0)))
        );
    }
}

/// "`policyTypes` absent => Ingress always, Egress only if `egress` present".
#[test]
fn absent_policy_types_mean_ingress_and_egress_where_it_is_written() {
    let absent = |egress| Policy { types: None, egress, ..shut(0, Way::Ingress) };
    let out = from_pod(&cluster(), 0, "10.7.1.4", TCP, 80);
    assert_eq!(passes(&with(vec![absent(None)]), &inside(true, TCP, 80)), IN);
    assert_eq!(passes(&with(vec![absent(None)]), &out), Ok(To::Peer(1)));
    let written = absent(Some(vec![ports(Some(UDP), None)]));
    assert_eq!(passes(&with(vec![written]), &out), OUT);
}

/// "A connection needs source-egress AND destination-ingress permission." "Policies only add; no order."
#[test]
fn both_ends_must_agree_and_policies_add() {
    let all = || vec![Rule::default()];
    let to_pod = inside(true, TCP, 80);
    assert_eq!(passes(&with(vec![ingress(all()), shut(0, Way::Egress)]), &to_pod), OUT);
    assert_eq!(passes(&with(vec![egress(all()), shut(0, Way::Ingress)]), &to_pod), IN);
    assert_eq!(passes(&with(vec![egress(all()), ingress(all())]), &to_pod), Ok(To::Pod(1)));
    let adding = [shut(0, Way::Ingress), ingress(all()), shut(0, Way::Ingress)];
    assert_eq!(passes(&with(adding.to_vec()), &to_pod), Ok(To::Pod(1)));
}

/// "`ingress: []` = deny all; `ingress: [{}]` = allow all"; "Empty/absent `from`/`to` = any peer; empty/absent `ports` = any port".
#[test]
fn no_rule_denies_and_an_empty_rule_allows() {
    for v4 in [true, false] {
        for flow in [inside(v4, TCP, 80), from_elsewhere(v4, UDP, 53), from_elsewhere(v4, Protocol::Sctp, 5060)] {
            assert_eq!(passes(&with(vec![ingress(vec![])]), &flow), IN);
            assert!(passes(&with(vec![ingress(vec![Rule::default()])]), &flow).is_ok());
        }
    }
}

/// "`namespaceSelector`+`podSelector` in one item = AND; in two items = OR. `podSelector` alone = policy's own namespace."
#[test]
fn selectors_of_one_peer_must_both_hold_and_peers_are_alternatives() {
    let mut base = cluster();
    base.pods[2].labels = labels("app", "client");
    base.namespaces[1].labels = labels("team", "red");
    let with = |peer: Vec<Peer>| Cluster { policies: vec![ingress(vec![peers(peer)])], ..base.clone() };
    let (client, red, blue) = (|| labelled("app", "client"), || labelled("team", "red"), || labelled("team", "blue"));
    let flow = from_elsewhere(true, TCP, 80);
    assert_eq!(passes(&with(vec![pods(Some(red()), Some(client()))]), &flow), Ok(To::Pod(0)));
    assert_eq!(passes(&with(vec![pods(Some(blue()), Some(client()))]), &flow), IN);
    assert_eq!(passes(&with(vec![pods(Some(blue()), None), pods(Some(red()), None)]), &flow), Ok(To::Pod(0)));
    assert_eq!(passes(&with(vec![pods(None, Some(client()))]), &flow), IN, "of the policy's own namespace alone");
    assert_eq!(passes(&with(vec![pods(Some(Selector::default()), None)]), &flow), Ok(To::Pod(0)), "all namespaces");
}

/// "Label `kubernetes.io/metadata.name` must work."
#[test]
fn a_namespace_is_selected_by_its_name() {
    let named = |name| pods(Some(labelled("kubernetes.io/metadata.name", name)), None);
    let flow = from_elsewhere(false, TCP, 80);
    assert_eq!(passes(&with(vec![ingress(vec![peers(vec![named("ns1")])])]), &flow), Ok(To::Pod(0)));
    assert_eq!(passes(&with(vec![ingress(vec![peers(vec![named("ns0")])])]), &flow), IN);
}

/// "Ports: default protocol TCP; numeric; `endPort >= port`, numeric only".
#[test]
fn ports_are_of_tcp_unless_said_and_ranges_have_both_ends() {
    let rule = |protocol, port| with(vec![ingress(vec![ports(protocol, Some(port))])]);
    let at = |protocol, port| inside(true, protocol, port);
    assert!(passes(&rule(None, PortName::Number(80)), &at(TCP, 80)).is_ok());
    assert_eq!(passes(&rule(None, PortName::Number(80)), &at(UDP, 80)), IN);
    assert_eq!(passes(&rule(None, PortName::Number(80)), &at(TCP, 81)), IN);
    let range = || rule(Some(UDP), PortName::Range(5000, 5002));
    for (port, inside) in [(4999, false), (5000, true), (5002, true), (5003, false)] {
        assert_eq!(passes(&range(), &at(UDP, port)).is_ok(), inside, "{port}");
    }
    let whole = with(vec![ingress(vec![ports(Some(Protocol::Sctp), None)])]);
    assert!(passes(&whole, &at(Protocol::Sctp, 1)).is_ok());
    assert_eq!(passes(&whole, &at(TCP, 1)), IN);
}

/// "named ports resolve on the destination pod - for egress each target pod may map the name differently or not at all".
#[test]
fn a_named_port_is_what_the_destination_calls_so() {
    let mut base = cluster();
    let named = |port| vec![ContainerPort { name: "web".to_owned(), port, protocol: TCP }];
    base.pods[1].ports = named(8080);
    base.pods[2].ports = named(9090);
    let web = || Some(PortName::Name("web".to_owned()));
    base.policies = vec![egress(vec![ports(None, web())])];
    let to = |address: &str, port| passes(&base, &from_pod(&base, 0, address, TCP, port));
    assert_eq!((to("10.7.0.3", 8080), to("10.7.0.3", 9090)), (Ok(To::Pod(1)), OUT));
    assert_eq!((to("10.7.1.4", 9090), to("10.7.1.4", 8080)), (Ok(To::Peer(1)), OUT));
    assert_eq!(to("10.7.1.5", 8080), OUT, "it has no such port");
    base.policies = vec![ingress(vec![ports(None, web())])];
    assert_eq!(passes(&base, &inside(true, TCP, 8080)), Ok(To::Pod(1)));
    assert_eq!(passes(&base, &inside(true, TCP, 9090)), IN);
}

/// "`ipBlock` with `except`, v4 and v6, non-octet masks; match by address whoever owns it (pods and nodes included)".
#[test]
fn blocks_match_addresses_whoever_owns_them() {
    let allow = |cidr: &str, except: &[&str]| with(vec![egress(vec![peers(vec![block(cidr, except)])])]);
    let to = |cluster: &Cluster, address: IpAddr| passes(cluster, &from_pod(cluster, 0, &address.to_string(), TCP, 80));
    let pods = allow("10.7.0.0/22", &["10.7.1.4/31"]);
    assert_eq!(to(&pods, pod_address(0, 3, true)), Ok(To::Pod(1)));
    assert_eq!(to(&pods, pod_address(1, 5, true)), OUT, "in the exception");
    let pods_v6 = allow("fd00:7::/46", &["fd00:7:0:1::5/128"]);
    assert_eq!(to(&pods_v6, pod_address(1, 4, false)), Ok(To::Peer(1)));
    assert_eq!(to(&pods_v6, pod_address(1, 5, false)), OUT);
    let nodes = allow("192.0.2.0/25", &[]);
    assert!(to(&nodes, node_address(1, true)).is_ok());
    assert_eq!(to(&nodes, outsider(20, true)), OUT);
    let inbound = with(vec![ingress(vec![peers(vec![block("10.7.1.4/31", &["10.7.1.5/32"])])])]);
    assert_eq!(passes(&inbound, &from_elsewhere(true, TCP, 80)), Ok(To::Pod(0)));
    let other = Flow { source: pod_address(1, 5, true), ..from_elsewhere(true, TCP, 80) };
    assert_eq!(passes(&inbound, &other), IN);
}

/// "e2e expects egress to a ClusterIP to be judged on the *post-DNAT* pod IP and port".
#[test]
fn egress_to_a_service_is_judged_on_the_pod_behind_it() {
    let base = Cluster { services: vec![service(&[(1, 4)])], ..cluster() };
    let to_vip = from_pod(&base, 0, "10.96.0.10", TCP, 80);
    let allow = |rule: Rule| Cluster { policies: vec![egress(vec![rule])], ..base.clone() };
    let rule = |cidr, port| Rule {
        peers: vec![block(cidr, &[])],
        ports: vec![PolicyPort { protocol: None, port: Some(PortName::Number(port)) }],
    };
    assert_eq!(passes(&allow(rule("10.7.1.4/32", 8080)), &to_vip), Ok(To::Peer(1)));
    assert_eq!(passes(&allow(rule("10.7.1.4/32", 80)), &to_vip), OUT);
    assert_eq!(passes(&allow(rule("10.96.0.0/16", 80)), &to_vip), OUT);
}

/// "Replies to an allowed connection always pass".
#[test]
fn replies_pass_a_pod_that_is_shut() {
    let mut cluster = with(vec![shut(1, Way::Ingress), shut(1, Way::Egress), shut(0, Way::Ingress)]);
    cluster.pods[1].namespace = 1;
    let to_elsewhere = from_pod(&cluster, 0, "10.7.1.4", TCP, 80);
    // Pod 0 may send and be sent nothing; the answer comes back all the same, as `passes` holds.
    assert_eq!(passes(&cluster, &to_elsewhere), Ok(To::Peer(1)));
}

/// "Traffic to/from the pod's **own node** always passes (kubelet probes), whatever IPs are involved, on every family".
#[test]
fn the_own_node_always_passes() {
    let cluster = with(vec![shut(0, Way::Ingress), shut(0, Way::Egress)]);
    for v4 in [true, false] {
        for own in [node_address(0, v4), own_address(0, v4)] {
            for protocol in [TCP, UDP, Protocol::Sctp] {
                let probe = flow(From::Host, own, pod_address(0, 2, v4), protocol, 80);
                assert_eq!(passes(&cluster, &probe), Ok(To::Pod(0)));
                let back = from_pod(&cluster, 0, &own.to_string(), protocol, 10_250);
                assert_eq!(passes(&cluster, &back), Ok(To::Host));
            }
            let echo = Flow {
                content: Content::Echo,
                destination_port: 0,
                ..flow(From::Host, own, pod_address(0, 2, v4), TCP, 0)
            };
            assert_eq!(passes(&cluster, &echo), Ok(To::Pod(0)));
        }
        let other_node = flow(From::Peer(1), own_address(1, v4), pod_address(0, 2, v4), TCP, 80);
        assert_eq!(passes(&cluster, &other_node), IN, "another node is not the own one");
    }
}

/// "a pod cannot be cut from itself, incl. via a Service hairpin".
#[test]
fn a_pod_reaches_itself_through_its_service_however_shut() {
    let cluster =
        Cluster { services: vec![service(&[(0, 3)])], ..with(vec![shut(0, Way::Ingress), shut(0, Way::Egress)]) };
    for vip in ["10.96.0.10", "fd00:96::a"] {
        assert_eq!(passes(&cluster, &from_pod(&cluster, 1, vip, TCP, 80)), Ok(To::Pod(1)));
    }
}

/// "hostNetwork pods: ... ignore them in `podSelector`/`namespaceSelector` (subject and peer). They may be allowed with `ipBlock`."
#[test]
fn pods_on_the_hosts_network_are_addresses_only() {
    let mut cluster = with(vec![ingress(vec![peers(vec![pods(Some(Selector::default()), None)])])]);
    cluster.pods.push(sluice_world::cluster::Pod { host_network: true, ..pod(1, 1, 9) });
    let of_host_pod = Flow { source: node_address(1, true), ..from_elsewhere(true, TCP, 80) };
    assert_eq!(passes(&cluster, &of_host_pod), IN);
    cluster.policies[0].ingress = Some(vec![peers(vec![block("192.0.2.11/32", &[])])]);
    assert_eq!(passes(&cluster, &of_host_pod), Ok(To::Pod(0)));
}

/// "ARP/ND must never be blocked; choose and document ICMP echo and other protocols": only rules without ports mean them.
#[test]
fn neighbours_are_answered_and_echo_needs_a_rule_without_ports() {
    let cluster = with(vec![shut(0, Way::Ingress), shut(0, Way::Egress)]);
    let mut switch = ClusterSwitch::new(&cluster, 1);
    let (IpAddr::V4(v4), IpAddr::V6(v6)) = (pod_address(0, 2, true), pod_address(0, 2, false)) else {
        panic!("two families")
    };
    for frame in [arp::request(mac_of(0), v4, GATEWAY_IPV4), ndp::solicit(mac_of(0), v6, GATEWAY_IPV6)] {
        assert!(matches!(switch.send(port_of(0), &frame)[..], [Seen::Left { to: To::Pod(0), .. }]));
    }
    for content in [Content::Echo, Content::Other] {
        let source_port = if content == Content::Echo { 7 } else { 0 };
        let flow = Flow { content, source_port, destination_port: 0, ..inside(true, TCP, 0) };
        let every_port = ports(None, Some(PortName::Range(1, 65_535)));
        assert_eq!(passes(&with(vec![ingress(vec![every_port])]), &flow), IN);
        assert_eq!(passes(&with(vec![ingress(vec![Rule::default()])]), &flow), Ok(To::Pod(1)));
    }
}

/// "New pod: isolation must hold from the first instant": a pod that is attached before its object is known is shut wherever its
/// namespace has a policy.
#[test]
fn a_pod_that_is_not_known_yet_is_shut_where_there_are_policies() {
    use sluice_world::wiring;
    for (policies, isolated) in [(vec![], false), (vec![ingress(vec![Rule::default()])], true)] {
        let cluster = with(policies);
        let mut index = wiring::index(&cluster);
        let attachments = wiring::attachments(&cluster, 1);
        index.delete(&sluice_model::Key::Pod(attachments[0].pod.clone()));
        let compiled = sluice_model::compile_policies(&index, &wiring::own_name(), &attachments, 7);
        let (_, policy) = &compiled.by_port[0];
        assert_eq!((policy.ingress.is_some(), policy.egress.is_some()), (isolated, isolated));
        assert!(policy.ingress.iter().chain(&policy.egress).all(|rules| rules.is_shut()));
    }
}

/// "Label edits on pods or namespaces, pod deletion, IP reuse, Succeeded/Failed pods all re-evaluate".
#[test]
fn a_pod_that_has_ended_is_nobodys_peer() {
    let mut cluster =
        with(vec![ingress(vec![peers(vec![pods(Some(Selector::default()), Some(labelled("app", "b")))])])]);
    cluster.pods[2].labels = labels("app", "b");
    let flow = from_elsewhere(true, TCP, 80);
    assert_eq!(passes(&cluster, &flow), Ok(To::Pod(0)));
    cluster.pods[2].over = true;
    assert_eq!(passes(&cluster, &flow), IN);
    cluster.pods.push(pod(1, 1, 4));
    assert_eq!(passes(&cluster, &flow), IN, "who has the address now has not its labels");
}
