//! NetworkPolicies at both ends of connections between nodes.

use serde_json::{Value, json};
use sluice_lab::Change;
use sluice_netns::wait_for;

use crate::call::Failed;
use crate::driver::Cluster;
use crate::objects::{PORT, frontends, pod, policy, service, with_endpoints};
use crate::place::Place;
use crate::server::Server;
use crate::services::{both, serve_web};

/// A port that a policy does not open.
const OTHER_PORT: u16 = 9090;

/// Everybody with this label `app`.
fn from(app: &str) -> Value {
    json!({ "podSelector": { "matchLabels": { "app": app } } })
}

#[test]
fn a_policy_lets_one_client_in_on_one_port_and_shuts_the_other_out() {
    let cluster = Cluster::up("letin");
    let (vault, client, guest) = (cluster.pod("vault"), cluster.pod("client"), cluster.pod("guest"));
    let (other, node_a, node_b) = (cluster.pod("other"), cluster.node("node-a"), cluster.node("node-b"));
    let _servers = [Server::start(&vault, PORT), Server::start(&vault, OTHER_PORT)];
    let ingress = json!({ "ingress": [{ "from": [from("client")], "ports": [{ "port": "main" }] }] });
    cluster.apply("policy", &[policy("vault", "vault", &ingress)]);
    for family in 0..2 {
        let (to, shut) = (vault.at(PORT)[family], vault.at(OTHER_PORT)[family]);
        cluster.await_silence(&guest, to, "node-b", "policy_ingress");
        client.tcp(to);
        let before = cluster.drops("node-b", "policy_ingress");
        for (place, to) in [(&guest, to), (&other, to), (&client, shut)] {
            assert_eq!(place.tcp_fails(to), Failed::Silent, "{} to {to}", place.name);
        }
        assert_eq!(client.udp_fails(to), Failed::Silent, "the port is open for TCP alone");
        assert!(guest.pings_in_vain(to.ip()), "what has no ports is not among them");
        // Each by its reason.
        cluster.await_drops("node-b", "policy_ingress", before + 5);
        // Its own node, as kubelet's probes; another node is nobody in particular.
        node_b.tcp(to);
        assert!(node_b.pings(to.ip(), 2));
        assert_eq!(node_a.tcp_fails(to), Failed::Silent);
        // What it asks itself is answered: policies judge connections, not packets.
        let _asked = Server::start(&guest, PORT);
        vault.tcp(guest.at(PORT)[family]);
    }
}

#[test]
fn egress_through_a_service_is_judged_by_the_backend_and_its_port() {
    let cluster = Cluster::up("egressvi");
    let (pods, _servers) = serve_web(&cluster);
    cluster.apply("web", &with_endpoints(service("web", 60, &json!({})), &both(&pods)));
    let (client, guest) = (cluster.pod("client"), cluster.pod("guest"));
    for to in frontends(60, 80) {
        guest.await_tcp(to);
    }
    // The client may go to the backends' port, the guest to the Service's address and port, where no packet arrives.
    let blocks = frontends(60, 80).map(|to| json!({ "ipBlock": { "cidr": ipnet::IpNet::from(to.ip()) } }));
    let to_web = json!({ "policyTypes": ["Egress"], "egress": [{ "to": [from("web")], "ports": [{ "port": PORT }] }] });
    let to_vip = json!({ "policyTypes": ["Egress"], "egress": [{ "to": blocks, "ports": [{ "port": 80 }] }] });
    cluster.apply("policy", &[policy("client", "client", &to_web), policy("guest", "guest", &to_vip)]);
    for (family, to) in frontends(60, 80).into_iter().enumerate() {
        cluster.await_silence(&guest, to, "node-a", "policy_egress");
        let vault = cluster.pod("vault").at(PORT)[family];
        cluster.await_silence(&client, vault, "node-a", "policy_egress");
        let before = cluster.drops("node-a", "policy_egress");
        assert_eq!(guest.udp_fails(to), Failed::Silent);
        for _ in 0..10 {
            client.tcp(to);
        }
        assert_eq!(client.tcp_fails(vault), Failed::Silent, "another pod");
        // Dropped where it starts.
        cluster.await_drops("node-a", "policy_egress", before + 2);
    }
}

#[test]
fn default_deny_shuts_a_namespace_in_both_directions_and_goes_again() {
    let cluster = Cluster::up("deny");
    let (web_b, client) = (cluster.pod("web-b"), cluster.pod("client"));
    let _server = Server::start(&web_b, PORT);
    let deny = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "deny", "namespace": "demo" },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress", "Egress"] },
    });
    let mut open = web_b.at(PORT).map(|to| client.connect(to).expect("nothing forbids it"));
    cluster.apply("policy", &[deny]);
    for (to, connection) in web_b.at(PORT).into_iter().zip(&mut open) {
        // The other node may be the first to have the policy.
        cluster.await_silence(&client, to, "node-a", "policy_egress");
        assert!(client.pings_in_vain(to.ip()));
        // A connection made before is decided again: nobody hears of its next packets.
        connection.stream.get_ref().set_read_timeout(Some(std::time::Duration::from_millis(400))).expect("a socket");
        let cut = connection.exchange(b"anyone?").expect_err("the change cuts it");
        assert_eq!(cut.kind(), std::io::ErrorKind::WouldBlock, "{to}");
        // The gateway is no peer, and its own node still reaches the pod.
        cluster.node("node-b").tcp(to);
    }
    cluster.withdraw("policy");
    for to in web_b.at(PORT) {
        client.await_tcp(to);
    }
}

#[test]
fn a_new_pod_is_isolated_from_its_first_packet_on() {
    let cluster = Cluster::up("newpod");
    let guest = cluster.pod("guest");
    cluster.apply("policy", &[policy("late", "late", &json!({ "ingress": [{ "from": [from("client")] }] }))]);
    wait_for("the policy to be in force", || {
        (cluster.status("node-b")["objects"]["networkPolicies"] == 1).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let before = cluster.drops("node-b", "policy_ingress");
    let mut server = None;
    cluster.apply_watched("late", &[pod("late", "late", "node-b")], &mut |change| {
        let Change::PodAttached { attachment, .. } = change else { return };
        // No agent has been told of its addresses yet: ADD alone has come to its end.
        let late = Place::new("late", &netns_of_late(&guest), &attachment.addresses);
        server = Some(Server::start(&late, PORT));
        for to in late.at(PORT) {
            assert_eq!(guest.tcp_fails(to), Failed::Silent, "the policy is older than the pod");
        }
    });
    assert!(server.is_some(), "the pod was attached");
    cluster.await_drops("node-b", "policy_ingress", before + 1);
    let late = cluster.pod("late");
    for to in late.at(PORT) {
        cluster.pod("client").await_tcp(to);
        assert_eq!(guest.tcp_fails(to), Failed::Silent);
    }
}

/// The name of the late pod's namespace, which differs from another pod's by the pod's name only.
fn netns_of_late(other: &Place) -> String {
    let name = std::path::Path::new(other.netns.label()).file_name().expect("a name").to_string_lossy().into_owned();
    name.replace("guest", "late")
}

#[test]
fn blocks_with_exceptions_match_pods_of_the_other_node_in_both_families() {
    let cluster = Cluster::up("blocks");
    let (vault, client, guest) = (cluster.pod("vault"), cluster.pod("client"), cluster.pod("guest"));
    let _server = Server::start(&vault, PORT);
    let peers: Vec<Value> = [("10.244.1.0/24", 0), ("fd00:10:244:1::/64", 1)]
        .map(|(cidr, family)| {
            let except = ipnet::IpNet::from(guest.addresses[family]);
            json!({ "ipBlock": { "cidr": cidr, "except": [except] } })
        })
        .into();
    cluster.apply("policy", &[policy("vault", "vault", &json!({ "ingress": [{ "from": peers }] }))]);
    for to in vault.at(PORT) {
        cluster.await_silence(&guest, to, "node-b", "policy_ingress");
        client.tcp(to);
        wait_for("ping, which a rule without ports allows", || client.is_answered(to.ip()).then_some(()))
            .unwrap_or_else(|error| panic!("{error}"));
    }
}
