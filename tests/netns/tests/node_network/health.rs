//! Health checks as load balancers outside the cluster ask for them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use sluice_netns::wait_for;

use crate::call::Failed;
use crate::driver::Cluster;
use crate::objects::{Endpoint, PORT, node_port_service, with_endpoints};
use crate::place::Place;
use crate::server::Server;

const HEALTH: u16 = 32_045;

/// Status code and body of a GET request from a place; `None` where nobody listens.
fn get(from: &Place, to: SocketAddr) -> Option<(u16, Value)> {
    let mut stream = from.inside(|| TcpStream::connect_timeout(&to, Duration::from_secs(5))).ok()?;
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let code = text.split(' ').nth(1)?.parse().ok()?;
    Some((code, serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()?))
}

fn await_code(from: &Place, to: SocketAddr, wanted: u16) -> Value {
    let answer = wait_for(&format!("{wanted} at {to}"), || get(from, to).filter(|(code, _)| *code == wanted));
    answer.unwrap_or_else(|error| panic!("{error}; {:?}", get(from, to))).1
}

/// Taken out: the task that serves them.
#[test]
fn a_load_balancer_sees_by_http_which_nodes_have_ready_endpoints_and_whether_they_work() {
    let cluster = Cluster::up("health");
    let (outside, web) = (cluster.outside(), cluster.pod("web-a"));
    let [a, b] = ["node-a", "node-b"].map(|name| cluster.node(name));
    let _server = Server::start(&web, PORT);
    let more = json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": HEALTH });
    let mut service = node_port_service("web", 45, 30045, &more);
    service["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.45" }] } });
    cluster.apply("web", &with_endpoints(service.clone(), &[Endpoint::ready(&web, "node-a")]));
    for family in 0..2 {
        let body = await_code(&outside, a.at(HEALTH)[family], 200);
        assert_eq!(body["service"], json!({ "namespace": "demo", "name": "web" }));
        assert!(body["localEndpoints"].as_u64().is_some_and(|count| count > 0), "{body}");
        assert_eq!(body["serviceProxyHealthy"], json!(true));
        let body = await_code(&outside, b.at(HEALTH)[family], 503);
        assert_eq!((&body["localEndpoints"], &body["serviceProxyHealthy"]), (&json!(0), &json!(true)));
        for node in [&a, &b] {
            assert_eq!(await_code(&outside, node.at(10_256)[family], 200)["serviceProxyHealthy"], json!(true));
        }
    }
    // Endpoints that are only terminating: balancers are to go elsewhere, and who comes all the same is served.
    cluster.apply("web", &with_endpoints(service, &[Endpoint::terminating(&web, "node-a")]));
    for (health, to) in a.at(HEALTH).into_iter().zip(a.at(30045)) {
        await_code(&outside, health, 503);
        assert_eq!(outside.await_tcp(to).server, "web-a");
    }
    cluster.withdraw("web");
    let nobody = || get(&outside, a.at(HEALTH)[0]).is_none().then_some(());
    wait_for("nobody to answer for a Service that is gone", nobody).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn health_checks_are_answered_where_node_ports_are() {
    let cluster = Cluster::with("healthat", &["services.nodePortAddresses=[\"192.0.2.0/24\"]"], &[]);
    let (outside, node, web) = (cluster.outside(), cluster.node("node-a"), cluster.pod("web-a"));
    let _server = Server::start(&web, PORT);
    let more = json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": HEALTH });
    let mut service = node_port_service("web", 46, 30046, &more);
    service["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.46" }] } });
    cluster.apply("web", &with_endpoints(service, &[Endpoint::ready(&web, "node-a")]));
    let [served, other] = node.at(30046);
    assert_eq!(outside.await_tcp(served).server, "web-a");
    for (port, code) in [(HEALTH, 200), (10_256, 200)] {
        await_code(&outside, node.at(port)[0], code);
        assert_eq!(get(&outside, node.at(port)[1]), None, "no node port is served at the node's IPv6 address");
    }
    outside.await_tcp_fails(other, Failed::Refused);
}
