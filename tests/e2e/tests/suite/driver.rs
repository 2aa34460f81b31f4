//! A cluster for the time of a test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Once;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sluice_e2e::{ApiServerOptions, Client, Cluster, ClusterOptions};
use sluice_host::Netns;
use sluice_lab::{LabName, Stop};
use sluice_netns::{require_root, wait_for};

use crate::place::Place;

/// More than the longest pause between two tries of a watch (30 s), and than the minute after which a node may tell more, by far.
const PATIENCE: Duration = Duration::from_secs(200);
/// Begins the names of labs made here: `ePIDLABEL`.
const MARK: &str = "e";

/// The cluster of one test. It goes down with this value.
#[derive(Debug)]
pub(crate) struct Tested(Cluster);

/// What a test varies.
#[derive(Debug, Default)]
pub(crate) struct Variant<'v> {
    pub(crate) settings: &'v [&'v str],
    pub(crate) api: ApiServerOptions,
}

impl Variant<'_> {
    fn options(self, label: &str) -> ClusterOptions {
        static SWEEP: Once = Once::new();
        require_root();
        SWEEP.call_once(remove_leftovers);
        ClusterOptions {
            name: format!("{MARK}{}{label}", std::process::id()).parse().expect("a name"),
            settings: self.settings.iter().map(|setting| (*setting).to_owned()).collect(),
            cores: Vec::new(),
            api: self.api,
            stop: Stop::default(),
        }
    }
}

impl Tested {
    /// A cluster of these objects. `label`, of at most 8 letters, is the test's alone.
    pub(crate) fn with(label: &str, variant: Variant<'_>, objects: &[Value]) -> Self {
        Self(Cluster::up(variant.options(label), objects).unwrap_or_else(|error| panic!("{error}")))
    }

    /// The same with agents in pods, whose environment has the API server at `environment`.
    pub(crate) fn in_pods(label: &str, variant: Variant<'_>, objects: &[Value], environment: SocketAddr) -> Self {
        let cluster = Cluster::up_in_pods(variant.options(label), objects, environment);
        Self(cluster.unwrap_or_else(|error| panic!("{error}")))
    }

    /// The API server's administrator.
    pub(crate) fn admin(&self) -> &Client {
        self.0.api().admin()
    }

    /// Brings objects to the API server, and the lab to them.
    pub(crate) fn apply(&mut self, objects: &[Value]) {
        self.0.bring(objects).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Deletes objects from the API server.
    pub(crate) fn delete(&mut self, objects: &[Value]) {
        self.0.remove(objects).unwrap_or_else(|error| panic!("{error}"));
    }

    /// A pod as a place for sockets.
    pub(crate) fn pod(&self, name: &str) -> Place {
        let record = self.0.record().unwrap_or_else(|error| panic!("{error}"));
        let pod = record.pod(None, name).unwrap_or_else(|error| panic!("{error}"));
        let attached = pod.attached.as_ref().unwrap_or_else(|| panic!("{name} is not attached"));
        Place::new(name, &pod.netns, &attached.addresses)
    }

    /// A node as a place for sockets: its own network.
    pub(crate) fn node(&self, name: &str) -> Place {
        let record = self.0.record().unwrap_or_else(|error| panic!("{error}"));
        let node = record.node(self.0.name(), name).unwrap_or_else(|error| panic!("{error}"));
        Place::new(name, &node.netns, &node.addresses)
    }

    /// Waits until pods of both nodes know each other, so that no test meets a neighbour that is not yet resolved.
    pub(crate) fn await_peers(&self) {
        let (client, other) = (self.pod("client"), self.pod("other"));
        for to in other.addresses {
            let reached = wait_for("pods on two nodes to reach each other", || client.is_answered(to).then_some(()));
            reached.unwrap_or_else(|error| panic!("{error}: {}", self.complaints()));
        }
    }

    /// Waits until a node's status is as `wanted` says, which is given the status as text too; shows it otherwise.
    pub(crate) fn await_status(&self, node: &str, what: &str, mut wanted: impl FnMut(&Value, &str) -> bool) {
        let mut last = Value::Null;
        patiently(what, || {
            last = self.0.status(node).unwrap_or_else(|error| error.to_string().into());
            wanted(&last, &last.to_string()).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {last:#}"));
    }

    /// Waits until a node serves all that the API server tells, and is watching each kind.
    pub(crate) fn await_watching(&self, node: &str) {
        self.await_status(node, "the node to watch all kinds", |status, _| {
            let kinds = status["watches"].as_array();
            status["ready"] == true && kinds.is_some_and(|kinds| kinds.iter().all(|kind| kind["state"] == "watching"))
        });
    }

    /// Waits until all watches of these nodes have failed, each with a reason that contains one of `words`.
    pub(crate) fn await_failing(&self, nodes: &[&str], words: &[&str]) {
        for node in nodes {
            self.await_status(node, "the watches to fail", |status, _| {
                let kinds = status["watches"].as_array().cloned().unwrap_or_default();
                let failing = |kind: &Value| {
                    let why = kind["lastFailure"].as_str().unwrap_or_default();
                    kind["state"] != "watching" && words.iter().any(|word| why.contains(word))
                };
                !kinds.is_empty() && kinds.iter().all(failing)
            });
        }
    }

    /// Waits until what a node is told is on its disk: as many objects as there are, and in them the names and addresses of now.
    pub(crate) fn await_stored(&self, node: &str) {
        let file = self.0.state_dir(node).join("objects");
        let mut missing = (0, Vec::new());
        let stored = patiently("the objects to be on disk", || {
            let items = self.in_the_api();
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            // The first line says how many objects follow.
            let header: Value =
                text.lines().next().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
            let words = items.iter().flat_map(words_of).filter(|word| !text.contains(word));
            missing = (items.len() as u64, words.collect());
            (header["count"].as_u64() == Some(missing.0) && missing.1.is_empty()).then_some(())
        });
        stored.unwrap_or_else(|error| panic!("{error}: {missing:?} in {}", file.display()));
    }

    /// Every object that a node is told of.
    fn in_the_api(&self) -> Vec<Value> {
        let collections = [
            "/api/v1/nodes",
            "/api/v1/namespaces",
            "/api/v1/pods",
            "/api/v1/services",
            "/apis/discovery.k8s.io/v1/endpointslices",
            "/apis/networking.k8s.io/v1/networkpolicies",
        ];
        let lists = collections.map(|path| self.admin().get(path).expect("a list")["items"].take());
        lists.into_iter().flat_map(|items| items.as_array().cloned().unwrap_or_default()).collect()
    }

    /// Kills a node's agent, as a crash does.
    pub(crate) fn kill_agent(&self, node: &str) {
        let record = self.0.record().unwrap_or_else(|error| panic!("{error}"));
        let agent = record.node(self.0.name(), node).unwrap_or_else(|error| panic!("{error}")).agent;
        let agent = agent.expect("its agent was started");
        kill(Pid::from_raw(i32::try_from(agent.pid).expect("a process id")), Signal::SIGKILL).expect("it runs");
        wait_for("the killed agent to end", || (!agent.is_running()).then_some(())).expect("a killed process ends");
    }

    /// The metrics of a node's agent.
    pub(crate) fn metrics(&self, node: &str) -> String {
        let fetch = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect("127.0.0.1:9810")?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        self.node(node).inside(fetch).expect("the agent serves its metrics")
    }

    /// What the agents say, for a test that failed.
    fn complaints(&self) -> String {
        let say = |node: &str| match self.0.status(node) {
            Ok(status) => format!("{node}: {status:#}\n"),
            Err(error) => format!("{node}: {error}\n{}", self.0.log(node)),
        };
        let record = self.0.record().map(|record| record.nodes.keys().cloned().collect::<Vec<_>>());
        record.unwrap_or_default().iter().map(|node| say(node)).collect()
    }
}

impl Deref for Tested {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.0
    }
}

impl DerefMut for Tested {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.0
    }
}

impl Drop for Tested {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.complaints());
        }
    }
}

/// What is surely written of an object: its name, and the addresses of pods and endpoints. As JSON has them, so that none is taken
/// for a longer one that begins with it.
fn words_of(object: &Value) -> Vec<String> {
    let endpoints = object["endpoints"].as_array().into_iter().flatten();
    let endpoints = endpoints.flat_map(|one| one["addresses"].as_array().into_iter().flatten());
    let addresses = object["status"]["podIPs"].as_array().into_iter().flatten().map(|ip| &ip["ip"]);
    endpoints.chain(addresses).chain([&object["metadata"]["name"]]).map(Value::to_string).collect()
}

/// As [`wait_for`] for what may be waiting itself, such as a watch between two tries.
pub(crate) fn patiently<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if start.elapsed() > PATIENCE {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("waited {} s in vain for: {what}", PATIENCE.as_secs()))
}

/// Takes down the labs of test processes that ended without doing so.
fn remove_leftovers() {
    let netns = Netns::names().expect("readable").into_iter();
    let netns = netns.filter_map(|name| name.strip_prefix("slu-")?.split('-').next()?.parse::<LabName>().ok());
    for name in netns.chain(sluice_lab::labs()).filter(|name| is_leftover(name.as_str())) {
        // Another test process may sweep at the same time, so what is gone is as good.
        let _ = sluice_lab::down(&name);
    }
}

/// Whether a lab of this name was made by a test process that is gone.
fn is_leftover(name: &str) -> bool {
    let pid = name.strip_prefix(MARK).map(|rest| rest.trim_end_matches(|c: char| c.is_ascii_lowercase()));
    pid.and_then(|pid| pid.parse::<u32>().ok()).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}
