//! What scenes are made of: objects, and words with the API server.

use serde_json::{Value, json};
use sluice_cluster::{Cluster, ClusterError, NODES, TOOLS};

use crate::pod::{Pod, attachments};

/// The namespace of everything a scene makes. It goes with all that is in it, in its own time, unless it is left.
pub(crate) struct Stage<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) namespace: String,
    stays: bool,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(cluster: &'a Cluster, namespace: &str) -> Self {
        let stage = Self { cluster, namespace: namespace.to_owned(), stays: false };
        stage.apply(&[json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } })]);
        // Without its ServiceAccount no pod is let in.
        stage.until("the namespace's ServiceAccount", || stage.kubectl(&["get", "serviceaccount", "default"]));
        stage
    }

    /// One that is there already, and was left.
    pub(crate) fn again(cluster: &'a Cluster, namespace: &str) -> Self {
        Self { cluster, namespace: namespace.to_owned(), stays: false }
    }

    /// Leaves it all as it is, for [`Self::again`].
    pub(crate) fn leave(mut self) {
        self.stays = true;
    }

    pub(crate) fn apply(&self, objects: &[Value]) {
        self.cluster.kubectl().apply(objects).unwrap_or_else(|error| panic!("{error}"));
    }

    /// kubectl in the namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        let all: Vec<&str> = ["-n", &self.namespace].into_iter().chain(arguments.iter().copied()).collect();
        self.cluster.kubectl().run(&all)
    }

    /// kubectl in the namespace, where it must succeed.
    pub(crate) fn sure(&self, arguments: &[&str]) -> String {
        self.kubectl(arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn get(&self, arguments: &[&str]) -> Value {
        let all: Vec<&str> = ["-n", &self.namespace].into_iter().chain(arguments.iter().copied()).collect();
        self.cluster.kubectl().get(&all).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn until<T, E: ToString>(&self, what: &str, look: impl FnMut() -> Result<T, E>) -> T {
        self.cluster.until(what, look).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn rolled_out(&self, name: &str) {
        let what = format!("deployment/{name}");
        self.cluster.await_rollout(&what, &self.namespace).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Runs a command in a pod, as kubectl does it.
    pub(crate) fn exec(&self, pod: &Pod, command: &[&str]) -> Result<String, ClusterError> {
        let all: Vec<&str> = ["exec", &pod.name, "--"].into_iter().chain(command.iter().copied()).collect();
        self.kubectl(&all)
    }

    /// The pods that an `app` label finds and that are to stay.
    pub(crate) fn pods(&self, app: &str) -> Vec<Pod> {
        let selector = format!("app={app}");
        let list = self.get(&["pods", "-l", &selector]);
        let attached: Vec<Value> = NODES.iter().flat_map(|node| attachments(self.cluster, node)).collect();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let staying = items.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        staying.map(|pod| Pod::of(pod, &attached)).collect()
    }

    /// The pods of an app, of which each node has one.
    pub(crate) fn on_each_node(&self, app: &str) -> Vec<Pod> {
        let pods = self.pods(app);
        for node in NODES {
            assert!(pods.iter().any(|pod| pod.node == node), "{pods:?}");
        }
        pods
    }

    /// The addresses of a node on the wire.
    pub(crate) fn node_addresses(&self, node: &str) -> Vec<String> {
        let addresses = self.get(&["node", node])["status"]["addresses"].as_array().cloned().expect("addresses");
        let internal = addresses.iter().filter(|address| address["type"] == "InternalIP");
        internal.filter_map(|address| address["address"].as_str().map(str::to_owned)).collect()
    }

    /// The addresses of a Service in both families.
    pub(crate) fn cluster_ips(&self, service: &str) -> Vec<String> {
        let object = self.get(&["service", service]);
        let all = object["spec"]["clusterIPs"].as_array().cloned().expect("ClusterIPs");
        assert_eq!(all.len(), 2, "{object}");
        all.iter().filter_map(|address| address.as_str().map(str::to_owned)).collect()
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        // Not waited for, which takes longer than most scenes.
        let gone = self.cluster.kubectl().run(&["delete", "namespace", &self.namespace, "--wait=false"]);
        if let (Err(error), false) = (gone, std::thread::panicking()) {
            panic!("{error}");
        }
    }
}

/// A Deployment of servers at port 8080, ready when they answer.
pub(crate) fn servers(namespace: &str, app: &str, replicas: u32) -> Value {
    let labels = json!({ "app": app });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": app, "namespace": namespace },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "terminationGracePeriodSeconds": 5,
                    "topologySpreadConstraints": [{
                        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
                        "labelSelector": { "matchLabels": labels },
                    }],
                    "containers": [{
                        "name": "server", "image": TOOLS.name, "imagePullPolicy": "Never",
                        "command": ["sluice-probe", "serve", "8080"],
                        "readinessProbe": { "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 1 },
                    }],
                },
            },
        },
    })
}

/// A Service in both families for the servers of an app: TCP and UDP 80.
pub(crate) fn service(namespace: &str, app: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": app, "namespace": namespace },
        "spec": {
            "type": kind, "selector": { "app": app }, "ipFamilyPolicy": "RequireDualStack",
            "ports": [
                { "name": "tcp", "port": 80, "targetPort": 8080, "protocol": "TCP" },
                { "name": "udp", "port": 80, "targetPort": 8080, "protocol": "UDP" },
            ],
        },
    })
}
