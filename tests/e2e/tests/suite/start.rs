//! A node that starts without the API server, and one that has nothing to start from.

use std::fs;

use serde_json::json;

use crate::away::Served;
use crate::call::Failed;
use crate::in_force::await_servers;
use crate::objects::{Endpoint, PORT, frontends, policy, slices};
use crate::server::Server;

/// The API server as a Service of the cluster.
pub(crate) const KUBERNETES: &str = "https://10.96.0.1:443";

#[test]
fn a_node_that_starts_without_the_api_server_serves_as_before_and_finds_it_by_its_own_last_known_service() {
    let mut served = Served::up("cold");
    let from = json!([{ "podSelector": { "matchLabels": { "app": "other" } } }]);
    served.cluster.apply(&[policy("guest", "guest", &json!({ "ingress": [{ "from": from }] }))]);
    served.cluster.lead_agents(KUBERNETES).expect("writable");
    served.cluster.await_stored("node-a");
    served.cluster.api_mut().kill();
    served.cluster.kill_agent("node-a");
    served.cluster.repair().unwrap_or_else(|error| panic!("{error}"));

    let [client, other] = ["client", "other"].map(|name| served.cluster.pod(name));
    for to in frontends(10, 80) {
        await_servers(&client, to, &["web-b"]);
    }
    let guest = served.cluster.pod("guest");
    let _server = Server::start(&guest, PORT);
    for to in guest.at(PORT) {
        assert_eq!(other.await_tcp(to).server, "guest");
        assert_eq!(client.tcp_fails(to), Failed::Silent, "policies are in force too");
    }
    served
        .cluster
        .await_status("node-a", "the status to say what serves", |_, text| text.contains("last good objects"));

    served.cluster.api_mut().restart().expect("it starts");
    served.cluster.await_watching("node-a");
    served.cluster.apply(&slices("web", &[Endpoint::ready(&served.pods[0], "node-a")]));
    for to in frontends(10, 80) {
        await_servers(&client, to, &["web-a"]);
    }
}

#[test]
fn a_damaged_state_file_is_refused_by_name_and_the_node_starts_without_it() {
    let served = Served::up("damaged");
    served.cluster.await_stored("node-a");
    served.cluster.kill_agent("node-a");
    let file = served.cluster.state_dir("node-a").join("objects");
    let mut bytes = fs::read(&file).expect("the objects are on disk");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&file, bytes).expect("writable");
    served.cluster.repair().unwrap_or_else(|error| panic!("{error}"));
    served.cluster.await_watching("node-a");
    assert!(served.cluster.log("node-a").contains(&file.display().to_string()), "{}", served.cluster.log("node-a"));
    let client = served.cluster.pod("client");
    for to in frontends(10, 80) {
        client.await_tcp(to);
    }
    served.cluster.await_status("node-a", "no fault to be left", |status, _| status["faults"] == json!([]));
}
