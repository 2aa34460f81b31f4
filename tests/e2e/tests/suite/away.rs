//! What becomes of the nodes' traffic, and of changes, when something happens to the API server.

use serde_json::json;

use crate::base::{serve_web, two_nodes_with};
use crate::driver::{Tested, Variant, patiently};
use crate::in_force::await_servers;
use crate::objects::{Endpoint, PORT, frontends, policy, service, slices, with_endpoints};
use crate::place::Place;
use crate::server::Server;
use crate::traffic::Traffic;

pub(crate) const NODES: [&str; 2] = ["node-a", "node-b"];
/// All that is watched.
const KINDS: [&str; 6] = ["Node", "Namespace", "Pod", "Service", "EndpointSlice", "NetworkPolicy"];

/// A cluster with the Service `web`, served by `web-b` alone, and a policy in force.
pub(crate) struct Served {
    pub(crate) cluster: Tested,
    pub(crate) pods: [Place; 2],
    pub(crate) servers: [Server; 2],
}

impl Served {
    pub(crate) fn up(label: &str) -> Self {
        Self::with(label, Variant::default())
    }

    pub(crate) fn with(label: &str, variant: Variant<'_>) -> Self {
        let mut cluster = two_nodes_with(label, variant);
        let (pods, servers) = serve_web(&cluster);
        cluster.apply(&with_endpoints(service("web", 10, &json!({})), &[Endpoint::ready(&pods[1], "node-b")]));
        let nobody = policy("nobody", "vault", &json!({ "policyTypes": ["Ingress"] }));
        cluster.apply(&[nobody]);
        let client = cluster.pod("client");
        for to in frontends(10, 80) {
            await_servers(&client, to, &["web-b"]);
        }
        NODES.iter().for_each(|node| cluster.await_watching(node));
        Self { cluster, pods, servers }
    }

    /// Traffic of a client on the other node, over each family.
    pub(crate) fn traffic(&self) -> [Traffic; 2] {
        frontends(10, 80).map(|to| Traffic::start(self.cluster.pod("client"), to))
    }

    /// Moves the Service to the other pod and waits until that is in force.
    pub(crate) fn move_service(&mut self) {
        self.cluster.apply(&slices("web", &[Endpoint::ready(&self.pods[0], "node-a")]));
        self.await_moved();
    }

    fn await_moved(&self) {
        NODES.iter().for_each(|node| self.cluster.await_watching(node));
        let client = self.cluster.pod("client");
        for to in frontends(10, 80) {
            await_servers(&client, to, &["web-a"]);
        }
    }
}

#[test]
fn a_killed_api_server_takes_nothing_with_it_and_what_it_says_later_is_in_force() {
    let mut served = Served::up("killed");
    let traffic = served.traffic();
    for _ in 0..2 {
        NODES.iter().for_each(|node| served.cluster.await_watching(node));
        served.cluster.api_mut().kill();
        served.cluster.await_failing(&NODES, &[""]);
        served.cluster.api_mut().restart().expect("it starts");
    }
    traffic.into_iter().for_each(Traffic::end_whole);
    served.move_service();
}

#[test]
fn a_hanging_api_server_is_noticed_takes_nothing_with_it_and_is_asked_again_once_it_goes_on() {
    let settings = ["source.kubernetes.answerTimeout=2", "source.kubernetes.quietTimeout=3"];
    let mut served = Served::with("hung", Variant { settings: &settings, ..Variant::default() });
    let traffic = served.traffic();
    served.cluster.api().hang().expect("it stops");
    served.cluster.await_failing(&NODES, &["the server has said nothing for 2 s"]);
    for node in NODES {
        served.cluster.await_status(node, "each kind's fault", |status, _| {
            let faults = status["faults"].to_string();
            KINDS.iter().all(|kind| faults.contains(&format!("watch of {kind}: the server has said nothing for 2 s")))
        });
    }
    traffic.into_iter().for_each(Traffic::end_whole);
    served.cluster.api().resume();
    // Its own connections to etcd were silent as long.
    patiently("it to go on", || served.cluster.admin().get("/readyz").ok()).expect("it answers");
    served.move_service();
    for node in NODES {
        served.cluster.await_status(node, "no fault to be left", |status, _| status["faults"] == json!([]));
    }
}

#[test]
fn one_with_other_certificates_is_not_believed_and_takes_nothing_with_it() {
    let mut served = Served::up("certs");
    let traffic = served.traffic();
    let replaced = served.cluster.api_mut().restart_with_other_certificates().expect("it starts");
    // It has the objects, but who knows: a node that believed it would move the Service.
    served.cluster.apply(&slices("web", &[Endpoint::ready(&served.pods[0], "node-a")]));
    served.cluster.await_failing(&NODES, &["certificate"]);
    let client = served.cluster.pod("client");
    for to in frontends(10, 80) {
        assert_eq!(client.tcp(to).server, "web-b", "what was in force stays so");
    }
    traffic.into_iter().for_each(Traffic::end_whole);
    served.cluster.api_mut().restore_certificates(replaced).expect("it starts");
    served.await_moved();
}

#[test]
fn what_happened_while_the_api_server_was_out_of_reach_and_is_forgotten_there_is_made_up_for() {
    let mut served = Served::up("forgot");
    served
        .cluster
        .apply(&with_endpoints(service("gone", 11, &json!({})), &[Endpoint::ready(&served.pods[0], "node-a")]));
    let (client, other) = (served.cluster.pod("client"), served.cluster.pod("other"));
    for to in frontends(11, 80) {
        client.await_tcp(to);
    }
    let traffic = served.traffic();
    served.cluster.join_api(false).expect("there is a wire");
    // A change, a new object and two deletions, of which no watch will ever tell.
    let moved = slices("web", &[Endpoint::ready(&served.pods[0], "node-a")]);
    let shut = policy(
        "shut",
        "web",
        &json!({ "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "app": "client" } } }] }] }),
    );
    let mut told = moved.to_vec();
    told.push(shut);
    served.cluster.apply(&told);
    let mut gone = vec![service("gone", 11, &json!({}))];
    gone.extend(slices("gone", &[]));
    served.cluster.delete(&gone);
    served.cluster.api_mut().forget().expect("it starts");
    for to in frontends(11, 80) {
        assert_eq!(client.tcp(to).server, "web-a", "nothing is withdrawn that nobody has withdrawn");
    }
    traffic.into_iter().for_each(Traffic::end_whole);

    served.cluster.join_api(true).expect("there is a wire");
    served.await_moved();
    // Each kind is watched, and told of again, in its own time.
    let await_silent = |from: &Place, to| {
        let silent =
            patiently("what was deleted to be gone", || (from.is_silent(to) && from.is_silent(to)).then_some(()));
        silent.unwrap_or_else(|error| panic!("{error}: {} to {to}", from.name));
    };
    for to in frontends(11, 80) {
        await_silent(&client, to);
    }
    for to in served.pods[0].at(PORT) {
        await_silent(&other, to);
        client.await_tcp(to);
    }
}
