//! What becomes of connections when endpoints come and go.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::json;
use sluice_netns::wait_for;

use crate::call::ask;
use crate::driver::Cluster;
use crate::objects::{Endpoint, frontends, node_port_service, service, with_endpoints};
use crate::services::serve_web;

#[test]
fn a_udp_flow_moves_when_its_backend_goes_on_every_frontend() {
    let cluster = Cluster::up("udpmove");
    let (pods, _servers) = serve_web(&cluster);
    let [a, b] = ["node-a", "node-b"];
    let web = || node_port_service("web", 50, 30050, &json!({}));
    cluster.apply("web", &with_endpoints(web(), &[Endpoint::ready(&pods[0], a)]));
    let (client, outside) = (cluster.pod("client"), cluster.outside());
    let node_ports = cluster.node(a).at(30050);
    let mut flows = Vec::new();
    for (vip, node_port) in frontends(50, 80).into_iter().zip(node_ports) {
        client.await_tcp(vip);
        outside.await_tcp(node_port);
        // A flow is a socket of one port that goes on for the whole test.
        flows.extend([client.udp_socket(vip, 0), client.udp_socket(node_port, 0), outside.udp_socket(node_port, 0)]);
    }
    for flow in &flows {
        let first = wait_for("the first answer", || ask(flow, b"first", Duration::from_secs(2)).ok());
        assert_eq!(first.unwrap_or_else(|error| panic!("{error}: {flow:?}")).server, "web-a", "{flow:?}");
    }
    cluster.apply("web", &with_endpoints(web(), &[Endpoint::ready(&pods[1], b)]));
    for flow in &flows {
        let answer = wait_for("the flow to move", || {
            ask(flow, b"again", Duration::from_millis(200)).ok().filter(|answer| answer.server == "web-b")
        });
        answer.unwrap_or_else(|error| panic!("{error}: {flow:?}"));
    }
    // With the last endpoint gone the flow is refused, with the first one back it goes on.
    cluster.apply("web", &with_endpoints(web(), &[]));
    for flow in &flows {
        wait_for("the flow to be refused", || {
            let error = ask(flow, b"anyone?", Duration::from_millis(200)).err()?;
            (error.kind() == ErrorKind::ConnectionRefused).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {flow:?}"));
    }
    cluster.apply("web", &with_endpoints(web(), &[Endpoint::ready(&pods[0], a)]));
    for flow in &flows {
        let back = wait_for("the flow to go on", || ask(flow, b"back", Duration::from_millis(200)).ok());
        assert_eq!(back.unwrap_or_else(|error| panic!("{error}: {flow:?}")).server, "web-a");
    }
}

#[test]
fn a_connection_to_a_removed_endpoint_is_reset_and_one_to_a_terminating_endpoint_goes_on() {
    let cluster = Cluster::up("removed");
    let (pods, _servers) = serve_web(&cluster);
    let web = || service("web", 51, &json!({}));
    cluster.apply("web", &with_endpoints(web(), &[Endpoint::ready(&pods[1], "node-b")]));
    let client = cluster.pod("client");
    for to in frontends(51, 80) {
        client.await_tcp(to);
    }
    let mut open = frontends(51, 80).map(|to| client.connect(to).expect("it serves"));

    let going = [Endpoint::terminating(&pods[1], "node-b"), Endpoint::ready(&pods[0], "node-a")];
    cluster.apply("web", &with_endpoints(web(), &going));
    for (to, connection) in frontends(51, 80).into_iter().zip(&mut open) {
        wait_for("new connections to go elsewhere", || (client.tcp(to).server == "web-a").then_some(()))
            .unwrap_or_else(|error| panic!("{error}"));
        for _ in 0..10 {
            assert_eq!(client.tcp(to).server, "web-a", "new connections go to the ready endpoint");
        }
        connection.exchange(b"still here").unwrap_or_else(|error| panic!("{to}: {error}"));
    }

    cluster.apply("web", &with_endpoints(web(), &[Endpoint::ready(&pods[0], "node-a")]));
    for connection in &mut open {
        let error = wait_for("the connection to be reset", || connection.exchange(b"anyone?").err());
        assert_eq!(error.expect("it is").kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_change_of_a_traffic_policy_cuts_no_connection() {
    let cluster = Cluster::up("tpolicy");
    let (pods, _servers) = serve_web(&cluster);
    let web = |policy: &str| {
        let service = node_port_service("web", 52, 30052, &json!({ "externalTrafficPolicy": policy }));
        with_endpoints(service, &[Endpoint::ready(&pods[1], "node-b")])
    };
    cluster.apply("web", &web("Cluster"));
    let (outside, node) = (cluster.outside(), cluster.node("node-a"));
    for to in node.at(30052) {
        outside.await_tcp(to);
    }
    let mut open = node.at(30052).map(|to| outside.connect(to).expect("it serves"));
    cluster.apply("web", &web("Local"));
    for (to, connection) in node.at(30052).into_iter().zip(&mut open) {
        cluster.await_silence(&outside, to, "node-a", "service_no_local_endpoints");
        connection.exchange(b"goes on").unwrap_or_else(|error| panic!("{to}: {error}"));
    }
}
