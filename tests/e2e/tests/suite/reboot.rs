//! A node that boots while the API server is away.

use serde_json::json;
use sluice_netns::wait_for;

use crate::away::Served;
use crate::base::pod;
use crate::call::Failed;
use crate::driver::Tested;
use crate::in_force::await_servers;
use crate::objects::{Endpoint, PORT, frontends, policy, slices};
use crate::place::Place;
use crate::server::Server;
use crate::start::KUBERNETES;

/// Waits until a pod is reached by those who may and not by those who may not.
fn await_guarded(cluster: &Tested, guarded: &Place) {
    let (client, other) = (cluster.pod("client"), cluster.pod("other"));
    for to in guarded.at(PORT) {
        assert_eq!(other.await_tcp(to).server, guarded.name);
        client.await_tcp_fails(to, Failed::Silent);
    }
}

#[test]
fn a_node_that_boots_without_the_api_server_attaches_pods_and_guards_them_and_finds_it_once_it_is_there() {
    let Served { mut cluster, pods: [web_a, _web_b], servers: [server_a, _server_b] } = Served::up("boot");
    let from = json!([{ "podSelector": { "matchLabels": { "app": "other" } } }]);
    cluster.apply(&[policy("guest", "guest", &json!({ "ingress": [{ "from": from }] }))]);
    let guest = cluster.pod("guest");
    let server = Server::start(&guest, PORT);
    await_guarded(&cluster, &guest);
    // A socket of ours would keep a namespace.
    drop((server, guest, web_a, server_a));
    cluster.lead_agents(KUBERNETES).expect("writable");
    cluster.await_stored("node-a");
    cluster.join_api(false).expect("there is a wire");
    cluster.cut_power("node-a").unwrap_or_else(|error| panic!("{error}"));
    cluster.repair().unwrap_or_else(|error| panic!("{error}"));
    cluster.await_status("node-a", "the status to say what serves", |status, text| {
        status["ready"] == true && text.contains("last good objects")
    });
    // Pods that were there have new sandboxes; Services, policies and the way to the other node are those of before.
    let client = cluster.pod("client");
    for to in frontends(10, 80) {
        await_servers(&client, to, &["web-b"]);
    }
    let guest = cluster.pod("guest");
    let _server = Server::start(&guest, PORT);
    await_guarded(&cluster, &guest);

    // One that no object in force knows is attached, and nobody but its node speaks with it, for who may is not known.
    cluster.apply(&[pod("late", "guest", "node-a")]);
    let late = cluster.pod("late");
    let _late = Server::start(&late, PORT);
    let (node, other) = (cluster.node("node-a"), cluster.pod("other"));
    for to in late.at(PORT) {
        assert_eq!(node.await_tcp(to).server, "late");
        for place in [&client, &other] {
            place.await_tcp_fails(to, Failed::Silent);
        }
    }
    for to in frontends(10, 80) {
        late.await_tcp_fails(to, Failed::Silent);
    }

    cluster.join_api(true).expect("there is a wire");
    cluster.await_watching("node-a");
    cluster.await_status("node-a", "what is told to be in force", |status, _| {
        status["objectsInForce"] == "all that the API server tells"
    });
    await_guarded(&cluster, &late);
    let web = cluster.pod("web-a");
    let _web = Server::start(&web, PORT);
    cluster.apply(&slices("web", &[Endpoint::ready(&web, "node-a")]));
    for to in frontends(10, 80) {
        await_servers(&late, to, &["web-a"]);
    }
    wait_for("the nodes to reach each other", || other.is_answered(client.addresses[0]).then_some(()))
        .unwrap_or_else(|error| panic!("{error}"));
}
