//! Starts without the place that the objects come from: the last good ones, on the node's own disk, serve.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use serde_json::{Value, json};
use sluice_cni_protocol::code;
use sluice_netns::wait_for;

use crate::node::{NETWORKS, Node, Pod, ping};

const SERVICE: &str = "10.96.0.10:80";
const PORT: u16 = 8080;
const SERVICES: [&str; 2] = ["--services-cidrs", "10.96.0.0/16"];

/// A node with the pods `friend`, `guarded` and `stranger`, and a policy by which nobody but the first reaches the second, also
/// not by its Service. The agent does not run any more, and all that it knew is on the disk.
struct Rebooted {
    node: Node,
    friend: Pod,
    guarded: Pod,
    stranger: Pod,
    address: String,
}

impl Rebooted {
    fn new() -> Self {
        let mut node = Node::new(&NETWORKS);
        node.start(&SERVICES);
        let [friend, guarded, stranger] = ["friend", "guarded", "stranger"].map(Pod::new);
        node.add(&friend);
        let address = node.add(&guarded)[0].to_string();
        node.add(&stranger);
        write(&node, "objects.json", &objects(&address));
        let rebooted = Self { node, friend, guarded, stranger, address };
        wait_for("the objects to be in force", || rebooted.is_served().then_some(())).unwrap();
        let kept =
            || fs::read_to_string(rebooted.node.path("state/objects")).ok().filter(|text| text.contains("guard"));
        wait_for("the objects to be on the disk", || kept().map(drop)).unwrap();
        let Self { mut node, friend, guarded, stranger, address } = rebooted;
        node.end(SIGKILL);
        Self { node, friend, guarded, stranger, address }
    }

    /// Whether the Service and the policy are in force.
    fn is_served(&self) -> bool {
        let listener = self.guarded.netns.run(|| TcpListener::bind(("0.0.0.0", PORT))).unwrap().expect("a free port");
        let accept = std::thread::spawn(move || drop(listener.accept()));
        let to: SocketAddr = SERVICE.parse().unwrap();
        let connected = |pod: &Pod, patience: u64| {
            let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(patience));
            pod.netns.run(connect).unwrap().is_ok_and(|mut stream| stream.read(&mut [0]).is_ok())
        };
        let kept_out = !connected(&self.stranger, 1);
        let let_in = connected(&self.friend, 5);
        // Whoever was not let in leaves the listener waiting.
        let own = (self.address.as_str(), PORT);
        let _ = self.guarded.netns.run(|| TcpStream::connect(own)).unwrap();
        accept.join().unwrap();
        kept_out && let_in
    }

    fn in_force(&self) -> String {
        self.node.status()["objectsInForce"].as_str().expect("a text").to_owned()
    }
}

fn objects(guarded: &str) -> Value {
    let meta = |name: &str| json!({ "name": name, "namespace": "default" });
    let pod = |name: &str| {
        json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": "default", "labels": { "app": name } },
            "spec": { "nodeName": "n1", "containers": [] } })
    };
    let mut slice = meta("guarded-1");
    slice["labels"] = json!({ "kubernetes.io/service-name": "guarded" });
    json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "default" } },
        pod("friend"), pod("guarded"), pod("stranger"),
        { "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta("guard"),
            "spec": { "podSelector": { "matchLabels": { "app": "guarded" } }, "policyTypes": ["Ingress"],
                "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "app": "friend" } } }] }] } },
        { "apiVersion": "v1", "kind": "Service", "metadata": meta("guarded"),
            "spec": { "type": "ClusterIP", "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"],
                "ipFamilies": ["IPv4"], "ports": [{ "protocol": "TCP", "port": 80, "targetPort": PORT }] } },
        { "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": slice, "addressType": "IPv4",
            "endpoints": [{ "addresses": [guarded], "conditions": { "ready": true }, "nodeName": "n1" }],
            "ports": [{ "protocol": "TCP", "port": PORT }] },
    ]})
}

/// As a whole, so that no half of it is read.
fn write(node: &Node, name: &str, objects: &Value) {
    let (hidden, file) = (node.path(&format!("manifests/.{name}")), node.path(&format!("manifests/{name}")));
    fs::write(&hidden, objects.to_string()).and_then(|()| fs::rename(&hidden, &file)).expect("writable");
}

#[test]
fn a_node_whose_objects_are_away_forwards_as_before() {
    let mut rebooted = Rebooted::new();
    let (manifests, away) = (rebooted.node.path("manifests"), rebooted.node.path("away"));
    fs::rename(&manifests, &away).unwrap();
    rebooted.node.start(&SERVICES);
    let in_force = rebooted.in_force();
    assert!(
        in_force.starts_with("serving the last good objects of 20") && in_force.contains("waiting for"),
        "{in_force}"
    );
    assert!(rebooted.is_served(), "{}", rebooted.node.log());
    assert!(ping(&rebooted.node.netns, &rebooted.address));
    let late = Pod::new("late");
    let addresses = rebooted.node.add(&late);
    assert!(ping(&rebooted.node.netns, addresses[0]), "a pod that comes now is attached");
    // Its labels are not known, so that policies may be meant for it.
    assert!(!ping(&rebooted.friend.netns, addresses[0]), "it is shut to all others");
    let (_, metrics) = rebooted.node.get("/metrics");
    assert!(metrics.lines().any(|line| line == "sluice_objects_current 0.0"), "{metrics}");

    // A stop meanwhile does not lose them either.
    assert!(rebooted.node.end(SIGTERM).success());
    rebooted.node.start(&SERVICES);
    assert!(rebooted.is_served());

    fs::rename(&away, &manifests).unwrap();
    wait_for("the manifests", || (rebooted.in_force() == "all manifests").then_some(())).unwrap();
    assert!(rebooted.is_served());
    fs::remove_file(manifests.join("objects.json")).unwrap();
    wait_for("what is deleted now to be gone", || (!rebooted.is_served()).then_some(())).unwrap();
}

#[test]
fn a_directory_that_is_empty_at_the_start_takes_nothing_away() {
    let mut rebooted = Rebooted::new();
    for entry in fs::read_dir(rebooted.node.path("manifests")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    rebooted.node.start(&SERVICES);
    assert!(rebooted.in_force().contains("last good"), "{}", rebooted.in_force());
    assert!(rebooted.is_served(), "{}", rebooted.node.log());
}

#[test]
fn a_file_of_objects_that_is_damaged_is_told_of_and_done_without() {
    let mut rebooted = Rebooted::new();
    let file = rebooted.node.path("state/objects");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 10]).unwrap();
    fs::rename(rebooted.node.path("manifests"), rebooted.node.path("away")).unwrap();
    rebooted.node.spawn(&SERVICES);
    let status = wait_for("the agent to answer", || rebooted.node.try_status()).unwrap();
    assert_eq!(status["objectsInForce"], "none; waiting for the manifests");
    assert_eq!(status["ready"], false);
    let log = rebooted.node.log();
    assert!(log.contains("does not hold the last good objects whole"), "{log}");
    assert_eq!(fs::read(rebooted.node.path("state/objects.refused")).unwrap(), whole[..whole.len() - 10]);
    let late = Pod::new("late");
    let refused = rebooted.node.refused("late", &late.netns.path(), "eth0");
    assert_eq!(refused.code, code::TRY_AGAIN_LATER, "{refused}");
    fs::rename(rebooted.node.path("away"), rebooted.node.path("manifests")).unwrap();
    rebooted.node.wait_ready();
    rebooted.node.add(&late);
    assert!(rebooted.is_served());
}
