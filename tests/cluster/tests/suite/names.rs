//! The cluster's names, by a real CoreDNS behind the Service kube-dns.

use serde_json::{Value, json};
use sluice_cluster::{Cluster, TOOLS};

use crate::Scene;
use crate::pod::Heard;
use crate::scene::{Stage, servers, service};

pub(crate) const SCENES: &[Scene] = scenes![names_are_resolved_by_coredns_behind_its_service];

/// Where kubelet tells pods that it is.
const ADDRESS: &str = "10.96.0.10";
const COREFILE: &str = ".:8053 {
    errors
    ready :8181
    kubernetes cluster.local in-addr.arpa ip6.arpa
    cache 5
    loadbalance
}
";

/// CoreDNS as its own deployment has it, with the rights it needs.
fn coredns() -> Vec<Value> {
    let meta = |name: &str| json!({ "name": name, "namespace": "kube-system" });
    let labels = json!({ "app": "coredns" });
    let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "coredns" });
    let rules = json!([
        { "apiGroups": [""], "resources": ["services", "namespaces", "pods"], "verbs": ["list", "watch"] },
        { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"] },
    ]);
    let mut server = servers("kube-system", "coredns", 2);
    let pod = &mut server["spec"]["template"]["spec"];
    pod["serviceAccountName"] = json!("coredns");
    pod["dnsPolicy"] = json!("Default");
    pod["volumes"] = json!([{ "name": "config", "configMap": { "name": "coredns" } }]);
    pod["containers"] = json!([{
        "name": "coredns", "image": TOOLS.name, "imagePullPolicy": "Never",
        "command": ["coredns", "-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{ "name": "config", "mountPath": "/etc/coredns" }],
        "readinessProbe": { "httpGet": { "path": "/ready", "port": 8181 }, "periodSeconds": 1 },
    }]);
    vec![
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("coredns") }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "coredns" },
            "rules": rules,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "coredns" },
            "roleRef": role,
            "subjects": [{ "kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system" }],
        }),
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("coredns"), "data": { "Corefile": COREFILE } }),
        server,
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": meta("kube-dns"),
            "spec": {
                "clusterIP": ADDRESS, "selector": labels,
                "ports": [
                    { "name": "dns", "port": 53, "targetPort": 8053, "protocol": "UDP" },
                    { "name": "dns-tcp", "port": 53, "targetPort": 8053, "protocol": "TCP" },
                ],
            },
        }),
    ]
}

fn names_are_resolved_by_coredns_behind_its_service(cluster: &mut Cluster) {
    cluster.kubectl().apply(&coredns()).unwrap_or_else(|error| panic!("{error}"));
    // It asks the API server by the Service kubernetes, which is Sluice's to serve.
    cluster.await_rollout("deployment/coredns", "kube-system").unwrap_or_else(|error| panic!("{error}"));
    let stage = Stage::new(cluster, "names");
    stage.apply(&[servers("names", "web", 2), service("names", "web", "ClusterIP")]);
    stage.rolled_out("web");
    let mut wanted = stage.cluster_ips("web");
    wanted.sort();
    for pod in stage.on_each_node("web") {
        for name in ["web", "web.names", "web.names.svc.cluster.local"] {
            stage.until(&format!("{name} to be known in {}", pod.name), || {
                let found = stage.exec(&pod, &["sluice-probe", "resolve", name]).map_err(|e| e.to_string())?;
                let mut found: Vec<&str> = found.split_whitespace().collect();
                found.sort_unstable();
                if found == wanted { Ok(()) } else { Err(format!("{found:?}")) }
            });
        }
        stage.until("an answer by name", || {
            let text = stage.exec(&pod, &["sluice-probe", "ask", "web.names", "80"]).map_err(|e| e.to_string())?;
            if Heard::of(&text).from.starts_with("web-") { Ok(()) } else { Err(text) }
        });
    }
    for kind in ["deployment/coredns", "service/kube-dns", "configmap/coredns"] {
        cluster
            .kubectl()
            .run(&["delete", "-n", "kube-system", "--wait=false", kind])
            .unwrap_or_else(|error| panic!("{error}"));
    }
}
