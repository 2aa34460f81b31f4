//! The objects of a scenario's cluster: nodes, the two ends, pods beside them, Services, policies.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::peer::{SERVER_PORT, SERVICE_PORT};
use crate::scenario::{Place, Topology};

/// The namespace of all objects.
const NAMESPACE: &str = "perf";
/// The nodes; the second where the ends are on two.
pub(super) const NODES: [&str; 2] = ["node-a", "node-b"];
/// The ends; the client only where it is a pod.
pub(super) const CLIENT: &str = "client";
pub(super) const SERVER: &str = "server";
/// The ranges that the Services' addresses are from.
pub(super) const SERVICE_RANGES: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];
/// Objects of one file: readers of YAML bound what they take from one.
const MOST_IN_A_FILE: usize = 1000;
/// Values of the label `app` that policies are spread over; the server has the first.
const APPS: u32 = 100;

/// Writes the objects to a directory that agents may be watching.
pub(super) fn write(directory: &Path, topology: &Topology, pods: u32) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let count = if topology.place == Place::Nodes { 2 } else { 1 };
    let nodes: Vec<Value> = NODES.iter().zip(1..).take(count).map(|(name, number)| node(name, number)).collect();
    let services: Vec<Value> = (0..topology.services).map(service).collect();
    let policies = policies(topology.policies);
    let mut files = vec![("nodes".to_owned(), nodes.as_slice())];
    let pods = self::pods(topology, pods);
    files.push(("pods".to_owned(), &pods));
    files.extend(
        services.chunks(MOST_IN_A_FILE).zip(0..).map(|(part, number): (_, u32)| (format!("services-{number}"), part)),
    );
    files.extend(
        policies.chunks(MOST_IN_A_FILE).zip(0..).map(|(part, number): (_, u32)| (format!("policies-{number}"), part)),
    );
    for (name, objects) in files {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        // Agents read what ends with .json: the file appears with all that is in it.
        let (beside, file) = (directory.join(format!("{name}.new")), directory.join(format!("{name}.json")));
        fs::write(&beside, list.to_string()).with_context(|| format!("cannot write {}", beside.display()))?;
        fs::rename(&beside, &file).with_context(|| format!("cannot rename to {}", file.display()))?;
    }
    Ok(())
}

fn node(name: &str, number: u8) -> Value {
    let cidrs = [format!("10.244.{number}.0/24"), format!("fd00:10:244:{number}::/64")];
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": name },
        "spec": { "podCIDR": cidrs[0], "podCIDRs": cidrs },
        "status": { "addresses": [
            { "type": "InternalIP", "address": format!("192.0.2.1{number}") },
            { "type": "InternalIP", "address": format!("2001:db8::1{number}") },
        ] },
    })
}

/// The ends, and as many more that a node has `pods`.
fn pods(topology: &Topology, pods: u32) -> Vec<Value> {
    let far = if topology.place == Place::Nodes { NODES[1] } else { NODES[0] };
    let mut ends = vec![pod(SERVER, far, "app-0")];
    if topology.place != Place::Host {
        ends.push(pod(CLIENT, NODES[0], "client"));
    }
    let more = (ends.len() as u32..pods).map(|number| pod(&format!("pod-{number}"), NODES[0], "idle"));
    ends.into_iter().chain(more).collect()
}

fn pod(name: &str, node: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": { "app": app } },
        "spec": { "nodeName": node, "containers": [{ "name": "main", "image": "registry.example/main" }] },
    })
}

/// The addresses of a Service: the network's first is nobody's, and the ranges hold more than a scenario may ask for.
pub(super) fn service_addresses(number: u32) -> [IpAddr; 2] {
    let v4 = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 96, 0, 10)) + number);
    let v6 = Ipv6Addr::from(u128::from(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0x10)) + u128::from(number));
    [v4.into(), v6.into()]
}

/// Every Service leads to the server.
fn service(number: u32) -> Value {
    let addresses = service_addresses(number);
    let port = |name: &str, protocol: &str| json!({ "name": name, "protocol": protocol, "port": SERVICE_PORT, "targetPort": SERVER_PORT });
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": format!("service-{number}"), "namespace": NAMESPACE },
        "spec": {
            "selector": { "app": "app-0" },
            "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"],
            "clusterIP": addresses[0], "clusterIPs": addresses,
            "ports": [port("tcp", "TCP"), port("udp", "UDP")],
        },
    })
}

/// Policies over all values of the label, so that each hundredth selects the server; the first lets the client through.
fn policies(count: u32) -> Vec<Value> {
    let app = |app: String| json!({ "podSelector": { "matchLabels": { "app": app } } });
    let policy = |number: u32| {
        let from = if number == 0 { "client".to_owned() } else { format!("guest-{number}") };
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": format!("policy-{number}"), "namespace": NAMESPACE },
            "spec": {
                "podSelector": { "matchLabels": { "app": format!("app-{}", number % APPS) } },
                "policyTypes": ["Ingress"],
                "ingress": [{ "from": [app(from)] }],
            },
        })
    };
    (0..count).map(policy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Encapsulation;

    fn topology(place: Place) -> Topology {
        Topology { place, encapsulation: Encapsulation::Vxlan, services: 0, policies: 0, pods: 2 }
    }

    fn named(objects: &[Value]) -> Vec<(&str, &str)> {
        objects
            .iter()
            .filter_map(|object| Some((object["metadata"]["name"].as_str()?, object["spec"]["nodeName"].as_str()?)))
            .collect()
    }

    #[test]
    fn the_ends_are_where_the_place_says() {
        assert_eq!(
            named(&pods(&topology(Place::Node), 3)),
            [("server", "node-a"), ("client", "node-a"), ("pod-2", "node-a")]
        );
        assert_eq!(named(&pods(&topology(Place::Nodes), 2)), [("server", "node-b"), ("client", "node-a")]);
        assert_eq!(named(&pods(&topology(Place::Host), 2)), [("server", "node-a"), ("pod-1", "node-a")]);
        assert_eq!(named(&pods(&topology(Place::Node), 0)).len(), 2, "the ends are always there");
    }

    #[test]
    fn services_have_addresses_of_their_own_in_the_ranges() {
        let [v4, v6]: [ipnet::IpNet; 2] = SERVICE_RANGES.map(|range| range.parse().expect("a network"));
        let mut seen = std::collections::BTreeSet::new();
        for number in [0, 1, 245, 246, 59_999] {
            let addresses = service_addresses(number);
            assert!(v4.contains(&addresses[0]) && v6.contains(&addresses[1]), "{addresses:?}");
            assert!(addresses.into_iter().all(|address| seen.insert(address)));
        }
        assert_eq!(service(3)["spec"]["clusterIP"], "10.96.0.13");
    }

    #[test]
    fn many_objects_are_in_several_files() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        write(directory.path(), &Topology { services: 2500, policies: 1, ..topology(Place::Node) }, 2)
            .expect("writable");
        let mut names: Vec<String> = fs::read_dir(directory.path())
            .expect("readable")
            .map(|entry| entry.expect("readable").file_name().into_string().expect("plain text"))
            .collect();
        names.sort();
        let expected = ["nodes", "pods", "policies-0", "services-0", "services-1", "services-2"];
        assert_eq!(names, expected.map(|name| format!("{name}.json")));
    }

    #[test]
    fn one_policy_lets_the_client_to_the_server() {
        let policies = policies(101);
        let selecting = policies.iter().filter(|policy| policy["spec"]["podSelector"]["matchLabels"]["app"] == "app-0");
        let from: Vec<&Value> = selecting
            .map(|policy| &policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]["app"])
            .collect();
        assert_eq!(from, ["client", "guest-100"]);
    }
}
