//! Datagrams that are longer than a packet may be.

use std::net::SocketAddr;

use serde_json::json;
use sluice_host::sysctl;

use crate::driver::Cluster;
use crate::objects::{Endpoint, PORT, frontends, node_port_service, with_endpoints};
use crate::server::Server;

/// Lengths of datagrams: the longest first, which the outside cuts at the wire's MTU, too long for the tunnel, before it is
/// told; the others fit the wire and no tunnel, or need no fragments at all.
const LENGTHS: [usize; 5] = [3000, 2900, 1600, 1460, 1400];

#[test]
fn datagrams_of_any_length_arrive_whole_between_nodes_by_services_and_from_outside() {
    let cluster = Cluster::up("frag");
    let web_b = cluster.pod("web-b");
    let _server = Server::start(&web_b, PORT);
    let service = node_port_service("web", 40, 30040, &json!({}));
    cluster.apply("web", &with_endpoints(service, &[Endpoint::ready(&web_b, "node-b")]));
    let (client, outside) = (cluster.pod("client"), cluster.outside());
    let node_ports = cluster.node("node-a").at(30040);
    for (family, node_port) in node_ports.into_iter().enumerate() {
        client.await_tcp(frontends(40, 80)[family]);
        outside.await_tcp(node_port);
        let ways: [(_, SocketAddr); 3] =
            [(&client, web_b.at(PORT)[family]), (&client, frontends(40, 80)[family]), (&outside, node_port)];
        for (from, to) in ways {
            for length in LENGTHS {
                assert_eq!(from.udp(to, length).server, "web-b", "{} to {to}, {length} bytes", from.name);
            }
        }
    }
    for node in ["node-a", "node-b"] {
        for reason in ["fragment_overlap", "fragments_full"] {
            assert_eq!(cluster.drops(node, reason), 0, "{node}: {reason}");
        }
    }
}

/// As from senders that trust routers to fragment, and heed no error about it.
#[test]
fn datagrams_from_outside_that_the_tunnel_does_not_take_are_cut_where_their_sender_allows_it() {
    let cluster = Cluster::up("fragout");
    let web_b = cluster.pod("web-b");
    let _server = Server::start(&web_b, PORT);
    let service = node_port_service("web", 43, 30043, &json!({}));
    cluster.apply("web", &with_endpoints(service, &[Endpoint::ready(&web_b, "node-b")]));
    let outside = cluster.outside();
    // Without DF (Documentation/networking/ip-sysctl.rst).
    outside.inside(|| sysctl::set("net/ipv4/ip_no_pmtu_disc", "1")).expect("a setting");
    let to = cluster.node("node-a").at(30043)[0];
    outside.await_tcp(to);
    let before = cluster.looped("node-a", "datagrams_cut");
    // One packet of the wire's MTU; fragments of that length, which are cut again.
    for length in [1472, 1430, 5000, 20_000] {
        assert_eq!(outside.udp(to, length).server, "web-b", "{length} bytes");
    }
    sluice_netns::wait_for("all of them to be counted", || {
        (cluster.looped("node-a", "datagrams_cut") >= before + 2 + 3 + 13).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", cluster.looped("node-a", "datagrams_cut")));
    for reason in ["needs_fragmenting", "too_big"] {
        assert_eq!(cluster.drops("node-a", reason), 0, "{reason}");
    }
}
