//! Sluice is taken from the cluster, as docs/install.md says.

use sluice_cluster::{Cluster, NODES, Node};

use crate::Scene;
use crate::pod::{attachments, node};
use crate::scene::{Stage, servers};

/// The last one: nothing has a network afterwards.
pub(crate) const SCENES: &[Scene] = scenes![an_uninstalled_sluice_leaves_nothing_but_the_uplink];

/// What a command prints on a node where it must succeed.
fn said(node: &Node, script: &str) -> String {
    node.run(script).unwrap_or_else(|error| panic!("{error}"))
}

/// The pod of the daemon on a node.
fn daemon(cluster: &Cluster, node: &str) -> String {
    let selector = format!("spec.nodeName={node}");
    let arguments = ["pods", "-n", "kube-system", "-l", "app.kubernetes.io/name=sluice", "--field-selector", &selector];
    let list = cluster.kubectl().get(&arguments).unwrap_or_else(|error| panic!("{error}"));
    list["items"][0]["metadata"]["name"].as_str().unwrap_or_else(|| panic!("{list}")).to_owned()
}

fn an_uninstalled_sluice_leaves_nothing_but_the_uplink(cluster: &mut Cluster) {
    let kubectl = cluster.kubectl();
    let uninstall =
        |node: &str| kubectl.run(&["exec", "-n", "kube-system", &daemon(cluster, node), "--", "sluice", "uninstall"]);
    // With a pod on it a node is not let go of: list and plugin have to be there to take the pod's network away.
    let stage = Stage::new(cluster, "last");
    stage.apply(&[servers("last", "web", 2)]);
    stage.rolled_out("web");
    for pod in stage.on_each_node("web") {
        let refused = uninstall(&pod.node).expect_err("a pod is attached").to_string();
        assert!(refused.contains(&format!("last/{}", pod.name)), "{refused}");
        let left = said(node(cluster, &pod.node), "ls /etc/cni/net.d /opt/cni/bin");
        assert!(left.contains("conflist") && left.contains("sluice-cni"), "{left}");
    }
    drop(stage);
    for name in NODES {
        let emptied = cluster.until(&format!("no pod to be attached on {name}"), || match attachments(cluster, name) {
            none if none.is_empty() => Ok(()),
            some => Err(format!("{some:?}")),
        });
        emptied.unwrap_or_else(|error| panic!("{error}"));
        let done = cluster.until(&format!("{name} to be rid of the plugin"), || uninstall(name));
        done.unwrap_or_else(|error| panic!("{error}"));
    }
    cluster.uninstall().unwrap_or_else(|error| panic!("{error}"));
    for node in cluster.nodes() {
        let left = cluster.until(&format!("nothing of Sluice on {}", node.name()), || match remains(node) {
            none if none.is_empty() => Ok(()),
            some => Err(some.join("; ")),
        });
        left.unwrap_or_else(|error| panic!("{error}"));
        // The uplink is an ordinary device of the node again, and was never anything else to the node.
        let works = cluster.until(&format!("the uplink of {}", node.name()), || {
            node.run(&format!("curl --silent --insecure --max-time 20 {}/livez", cluster.api().url()))
        });
        works.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// What of Sluice is found on a node.
fn remains(node: &Node) -> Vec<String> {
    let checks = [
        ("files of the runtime", "find /etc/cni/net.d /opt/cni/bin -name '*sluice*'"),
        ("processes", "pidof sluiced || true"),
        ("devices", "ip -o link | grep -E ' (slu[0-9a-f]{11}|sluice_)' || true"),
        ("routes", "(ip route; ip -6 route; ip rule; ip -6 rule) | grep -E 'sluice|proto 213' || true"),
        ("programs on devices", "ip -d link | grep -i xdp || true"),
        ("filters", "for at in ingress egress; do tc filter show dev uplink0 $at; done 2>/dev/null || true"),
        ("pins", "find /sys/fs/bpf -mindepth 1 -iname '*sluice*'"),
    ];
    let found = checks.map(|(what, script)| match node.run(script) {
        Ok(text) if text.trim().is_empty() => None,
        Ok(text) => Some(format!("{what}: {}", text.trim())),
        Err(error) => Some(format!("{what}: {error}")),
    });
    found.into_iter().flatten().collect()
}
