//! What scenes are made of: objects, and words with pods.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Stdio};

use serde_json::{Value, json};
use sluice_cluster::{Cluster, ClusterError, TOOLS};

/// The namespace of everything a scene makes; it goes with all that is in it, unless it is left.
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

    /// Leaves it all as it is, for one of the same name later.
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

    /// Runs a command in a pod.
    pub(crate) fn exec(&self, pod: &str, command: &[&str]) -> Result<String, ClusterError> {
        let all: Vec<&str> = ["exec", pod, "--"].into_iter().chain(command.iter().copied()).collect();
        self.kubectl(&all)
    }

    /// What a pod hears when it asks once.
    pub(crate) fn ask(&self, pod: &str, verb: &str, host: &str, port: u16) -> Result<Heard, ClusterError> {
        self.exec(pod, &["sluice-probe", verb, host, &port.to_string()]).map(|text| Heard::of(&text))
    }

    /// The pods that an `app` label finds and that run: name, node, addresses.
    pub(crate) fn pods(&self, app: &str) -> Vec<Pod> {
        let selector = format!("app={app}");
        let list = self.get(&["pods", "-l", &selector]);
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).map(Pod::of).collect()
    }

    /// Starts a client that counts in a pod's network namespace, and returns when it has had its first answer. It is started from the
    /// node, so that it needs neither the API server nor kubelet nor the runtime while it runs.
    pub(crate) fn counting(&self, pod: &Pod, verb: &str, host: &str, port: u16) -> Counting {
        let node = self.cluster.nodes().iter().find(|node| node.name() == pod.node).expect("its node");
        let find = format!(
            "for n in $(ls /run/netns); do ip -n $n -o address 2>/dev/null | grep -q ' {}/' && echo $n; done; true",
            pod.v4
        );
        let netns = node.run(&find).unwrap_or_else(|error| panic!("{error}"));
        let mut command = node.machine().command("nsenter");
        command.arg(format!("--net=/run/netns/{}", netns.trim())).arg(probe()).args([verb, host, &port.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("nsenter starts");
        let mut begun = String::new();
        let mut errors = BufReader::new(child.stderr.take().expect("a pipe"));
        errors.read_line(&mut begun).expect("a line");
        assert!(begun.contains("begun"), "{verb} {host} from {pod:?}: {begun}");
        Counting { name: format!("{verb} {host} from {}", pod.name), child, _errors: errors }
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        let gone = self.cluster.kubectl().run(&["delete", "namespace", &self.namespace, "--timeout=180s"]);
        if let (Err(error), false) = (gone, std::thread::panicking()) {
            panic!("{error}");
        }
    }
}

/// A client that counts.
pub(crate) struct Counting {
    name: String,
    child: Child,
    _errors: BufReader<ChildStderr>,
}

impl Counting {
    /// Stops it: how many answers it had, how many failures, and what it printed.
    pub(crate) fn stop(mut self) -> (u64, u64, String) {
        drop(self.child.stdin.take());
        let output = self.child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        let [_, ok, _, failed, ..] = words.as_slice() else { panic!("{}: a count: {text:?}", self.name) };
        (ok.parse().expect("a number"), failed.parse().expect("a number"), text)
    }

    /// Stops it, and shows that every request was answered, and that there were some.
    pub(crate) fn never_failed(self) {
        let name = self.name.clone();
        let (ok, failed, told) = self.stop();
        assert!(failed == 0 && ok > 20, "{name}: {told}");
    }
}

/// The probe as a program of this machine, beside the running test.
pub(crate) fn probe() -> PathBuf {
    let running = std::env::current_exe().expect("a path");
    running.ancestors().nth(2).expect("the target directory").join("sluice-probe")
}

/// An answer of a probe: who answered, and as whom it saw the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) from: String,
    pub(crate) client: String,
}

impl Heard {
    pub(crate) fn of(text: &str) -> Self {
        let mut words = text.split_whitespace().map(str::to_owned);
        Self { from: words.next().unwrap_or_default(), client: words.next().unwrap_or_default() }
    }
}

/// A pod that runs.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) v4: String,
    pub(crate) v6: String,
}

impl Pod {
    fn of(pod: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = pod["status"]["podIPs"].as_array().cloned().unwrap_or_default();
        let all: Vec<String> = all.iter().map(|address| text(&address["ip"])).collect();
        let family = |v6: bool| all.iter().find(|address| address.contains(':') == v6).cloned().unwrap_or_default();
        Self {
            name: text(&pod["metadata"]["name"]),
            node: text(&pod["spec"]["nodeName"]),
            v4: family(false),
            v6: family(true),
        }
    }
}

/// The addresses of a Service in both families.
pub(crate) fn cluster_ips(stage: &Stage<'_>, service: &str) -> Vec<String> {
    let object = stage.get(&["service", service]);
    let all = object["spec"]["clusterIPs"].as_array().cloned().expect("ClusterIPs");
    assert_eq!(all.len(), 2, "{object}");
    all.iter().filter_map(|address| address.as_str().map(str::to_owned)).collect()
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
                    "terminationGracePeriodSeconds": 1,
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
