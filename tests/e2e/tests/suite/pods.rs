//! Agents in pods: who they are is in files that change, and where the API server is in their environment.

use std::net::{Ipv4Addr, SocketAddr};

use sluice_e2e::API_V4;

use crate::away::NODES;
use crate::base::{base, serve_web};
use crate::driver::{Tested, Variant};
use crate::in_force::await_servers;
use crate::objects::{Endpoint, frontends, service, slices, with_endpoints};

/// The Service `kubernetes`, which the environment of every container names.
const KUBERNETES: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 96, 0, 1), 443);
const SERVER: &str = "source.kubernetes.server";
const ACCOUNT: &str = "/api/v1/namespaces/kube-system/serviceaccounts/sluiced";

#[test]
fn agents_in_pods_start_by_the_server_they_are_given_follow_their_account_s_files_and_find_their_own_service() {
    let server = format!("{SERVER}=https://{API_V4}:{}", sluice_e2e::PORT);
    let settings = [server.as_str(), "source.kubernetes.quietTimeout=2"];
    let variant = Variant { settings: &settings, ..Variant::default() };
    // No node serves that Service before it has spoken with the API server: it is up by the other address.
    let mut cluster = Tested::in_pods("pods", variant, &base(), SocketAddr::from(KUBERNETES));
    cluster.await_peers();
    let (pods, _servers) = serve_web(&cluster);
    let [to, _] = frontends(10, 80);
    cluster.apply(&with_endpoints(service("web", 10, &serde_json::json!({})), &[Endpoint::ready(&pods[0], "node-a")]));
    let client = cluster.pod("client");
    await_servers(&client, to, &["web-a"]);

    // The account is made anew, and its old tokens count no more.
    let account = cluster.admin().get(ACCOUNT).expect("the account");
    cluster.admin().delete(ACCOUNT).expect("it is there");
    let anew = serde_json::json!({
        "apiVersion": account["apiVersion"], "kind": "ServiceAccount",
        "metadata": { "name": "sluiced", "namespace": "kube-system" },
    });
    cluster.admin().apply(&anew).expect("an account");
    cluster.await_failing(&NODES, &["does not accept the credentials; renew the token"]);
    cluster.apply(&slices("web", &[Endpoint::ready(&pods[1], "node-b")]));
    assert_eq!(client.tcp(to).server, "web-a", "nobody has been told");
    cluster.renew_service_account().unwrap_or_else(|error| panic!("{error}"));
    NODES.iter().for_each(|node| cluster.await_watching(node));
    await_servers(&client, to, &["web-b"]);

    // Another authority.
    cluster.api_mut().restart_with_other_certificates().expect("it starts");
    cluster.await_failing(&NODES, &["certificate is not trusted"]);
    cluster.renew_service_account().unwrap_or_else(|error| panic!("{error}"));
    NODES.iter().for_each(|node| cluster.await_watching(node));
    cluster.apply(&slices("web", &[Endpoint::ready(&pods[0], "node-a")]));
    await_servers(&client, to, &["web-a"]);

    // Without the other address, by the environment: the node's own last known Service.
    NODES.iter().for_each(|node| cluster.await_stored(node));
    cluster.unset(SERVER);
    cluster.repair().unwrap_or_else(|error| panic!("{error}"));
    NODES.iter().for_each(|node| cluster.await_watching(node));
    cluster.apply(&slices("web", &[Endpoint::ready(&pods[1], "node-b")]));
    await_servers(&client, to, &["web-b"]);
}
