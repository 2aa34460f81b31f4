//! Servers and clients on both nodes and the Service before the servers, for what happens to the nodes meanwhile.

use serde_json::{Value, json};
use sluice_cluster::Cluster;

use crate::pod::{Counting, Pod};
use crate::scene::{Stage, servers, service};

/// Pods of a namespace that stays until [`Self::end`], also while the API server is away.
pub(crate) struct Town {
    namespace: &'static str,
    pub(crate) web: Vec<Pod>,
    pub(crate) clients: Vec<Pod>,
    pub(crate) addresses: Vec<String>,
}

/// Servers whose readiness outlasts a daemon that is away: nothing is to lead their clients elsewhere.
fn steady(namespace: &str, app: &str) -> Value {
    let mut object = servers(namespace, app, 2);
    object["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["failureThreshold"] = json!(1000);
    object
}

impl Town {
    pub(crate) fn new(cluster: &Cluster, namespace: &'static str) -> Self {
        let stage = Stage::new(cluster, namespace);
        let objects = [steady(namespace, "web"), service(namespace, "web", "ClusterIP"), steady(namespace, "client")];
        stage.apply(&objects);
        stage.leave();
        Self::again(cluster, namespace)
    }

    /// As it is by now: pods that were started again have other addresses.
    pub(crate) fn again(cluster: &Cluster, namespace: &'static str) -> Self {
        let stage = Stage::again(cluster, namespace);
        stage.rolled_out("web");
        stage.rolled_out("client");
        let (web, clients) = (stage.on_each_node("web"), stage.on_each_node("client"));
        let addresses = stage.cluster_ips("web");
        stage.leave();
        Self { namespace, web, clients, addresses }
    }

    /// Every client with all that it may ask: each server and the Service, in both families.
    pub(crate) fn pairs(&self) -> Vec<(&Pod, &str, u16)> {
        let direct = self.web.iter().flat_map(|pod| [(pod.v4.as_str(), 8080), (pod.v6.as_str(), 8080)]);
        let targets: Vec<(&str, u16)> = direct.chain(self.addresses.iter().map(|at| (at.as_str(), 80))).collect();
        let of = |client| targets.iter().map(move |(host, port)| (client, *host, *port));
        self.clients.iter().flat_map(of).collect()
    }

    /// A connection for each pair, that is to go on.
    pub(crate) fn held(&self, cluster: &Cluster) -> Vec<Counting> {
        self.pairs().into_iter().map(|(client, host, port)| client.counting(cluster, "hold", host, port)).collect()
    }

    /// From each client to the Service, in both families, a new connection for each request.
    pub(crate) fn loads(&self, cluster: &Cluster) -> Vec<Counting> {
        let pairs = self.clients.iter().flat_map(|client| self.addresses.iter().map(move |at| (client, at)));
        pairs.map(|(client, at)| client.counting(cluster, "load", at, 80)).collect()
    }

    /// Everybody is answered, on new connections.
    pub(crate) fn answers(&self, cluster: &Cluster) {
        for (client, host, port) in self.pairs() {
            client.hears(cluster, "ask", (host, port), |heard| heard.from.starts_with("web-"));
        }
    }

    /// A new pod starts on each node, and answers.
    pub(crate) fn starts_pods(&self, cluster: &Cluster, app: &str) {
        let stage = Stage::again(cluster, self.namespace);
        stage.apply(&[steady(self.namespace, app)]);
        stage.rolled_out(app);
        let pods = stage.on_each_node(app);
        for (client, pod) in self.clients.iter().flat_map(|client| pods.iter().map(move |pod| (client, pod))) {
            client.hears(cluster, "ask", (&pod.v4, 8080), |heard| heard.from == pod.name);
        }
        stage.leave();
    }

    /// Takes it all away.
    pub(crate) fn end(self, cluster: &Cluster) {
        drop(Stage::again(cluster, self.namespace));
    }
}

/// The restarts of the pods that a selector finds, by their names.
pub(crate) fn restarts(cluster: &Cluster, namespace: &str, selector: &str) -> Result<Vec<(String, u64)>, String> {
    let list = cluster.kubectl().get(&["pods", "-n", namespace, "-l", selector]).map_err(|error| error.to_string())?;
    let pods = list["items"].as_array().cloned().unwrap_or_default();
    let count = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0);
    Ok(pods.iter().map(|pod| (pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(), count(pod))).collect())
}
