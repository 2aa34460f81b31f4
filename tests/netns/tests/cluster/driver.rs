//! A lab with two nodes for the time of a test.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Once;

use serde_json::{Value, json};
use sluice_host::Netns;
use sluice_lab::{AgentSettings, Binaries, Change, LabName, Record, Stop, UpOptions};
use sluice_netns::{require_root, wait_for};

use crate::objects;
use crate::place::Place;

/// Begins the names of labs made here: `qPIDLABEL`, as in the tests of `sluice lab`, which remove what a killed test left.
const MARK: &str = "q";
/// Begins the names of their manifests' directories.
const MANIFESTS: &str = "sluice-lab-test-";

/// The lab of one test. It goes down with this value.
pub(crate) struct Cluster {
    options: UpOptions,
}

impl Cluster {
    /// Two nodes with their pods ([`objects::base`]). `label`, of at most 8 letters, is the test's alone.
    pub(crate) fn up(label: &str) -> Self {
        Self::with(label, &[], &[])
    }

    /// The same with settings of the agents and, unless empty, the cores of their workers.
    pub(crate) fn with(label: &str, settings: &[&str], cores: &[usize]) -> Self {
        static SWEEP: Once = Once::new();
        require_root();
        SWEEP.call_once(remove_leftovers);
        let name = format!("{MARK}{}{label}", std::process::id());
        let manifests = std::env::temp_dir().join(format!("{MANIFESTS}{name}"));
        fs::create_dir_all(&manifests).expect("the temporary directory is writable");
        let mut agent = AgentSettings { cores: cores.to_vec(), ..AgentSettings::default() };
        let ranges = format!("services.cidrs=[{:?},{:?}]", objects::SERVICE_RANGES[0], objects::SERVICE_RANGES[1]);
        for setting in [ranges.as_str()].iter().chain(settings) {
            agent.set(setting).expect("a setting");
        }
        let options = UpOptions {
            name: name.parse().expect("a name"),
            manifests,
            binaries: Binaries::find().expect("the programs are built"),
            underlay: true,
            agent,
            stop: Stop::default(),
        };
        let cluster = Self { options };
        cluster.apply("base", &objects::base());
        cluster.await_peers();
        cluster
    }

    /// Writes a file of objects and brings the lab to it.
    pub(crate) fn apply(&self, file: &str, objects: &[Value]) {
        self.apply_watched(file, objects, &mut |_| {});
    }

    /// The same; `seen` hears of each change as soon as it is done, before the agents are told of new pods' addresses.
    pub(crate) fn apply_watched(&self, file: &str, objects: &[Value], seen: &mut dyn FnMut(&Change)) {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        fs::write(self.file(file), list.to_string()).expect("writable");
        sluice_lab::up(&self.options, seen).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Removes a file of objects.
    pub(crate) fn withdraw(&self, file: &str) {
        fs::remove_file(self.file(file)).expect("it was applied");
        sluice_lab::up(&self.options, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Brings the lab to what it is to be, a killed agent too.
    pub(crate) fn repair(&self) {
        sluice_lab::up(&self.options, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    }

    /// A pod as a place for sockets.
    pub(crate) fn pod(&self, name: &str) -> Place {
        let record = self.record();
        let pod = record.pod(None, name).unwrap_or_else(|error| panic!("{error}"));
        let attached = pod.attached.as_ref().unwrap_or_else(|| panic!("{name} is not attached"));
        Place::new(name, &pod.netns, &attached.addresses)
    }

    /// A node as a place for sockets: its own network.
    pub(crate) fn node(&self, name: &str) -> Place {
        let record = self.record();
        let node = record.node(&self.options.name, name).unwrap_or_else(|error| panic!("{error}"));
        Place::new(name, &node.netns, &node.addresses)
    }

    /// The outside, with its addresses on the wire.
    pub(crate) fn outside(&self) -> Place {
        let underlay = self.record().underlay.expect("there is a wire");
        Place::new("outside", &underlay.outside, &underlay.routers)
    }

    /// The outside, with its addresses beyond the wire.
    pub(crate) fn beyond(&self) -> Place {
        let underlay = self.record().underlay.expect("there is a wire");
        Place::new("beyond", &underlay.outside, &underlay.beyond().collect::<Vec<IpAddr>>())
    }

    /// The status document of a node's agent.
    pub(crate) fn status(&self, node: &str) -> Value {
        sluice_lab::agent_status(&self.options.name, node).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Packets that a node's switch dropped for a reason.
    pub(crate) fn drops(&self, node: &str, reason: &str) -> u64 {
        self.status(node)["drops"][reason].as_u64().unwrap_or(0)
    }

    /// Waits until a node's switch has dropped at least `count` packets for a reason: what a worker counts is told a moment after
    /// the packet.
    pub(crate) fn await_drops(&self, node: &str, reason: &str, count: u64) {
        wait_for(&format!("{node} to have dropped {count} as {reason}"), || {
            (self.drops(node, reason) >= count).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {}", self.status(node)["drops"]));
    }

    /// Waits until nobody answers over TCP, and a node drops for that reason what was asked.
    pub(crate) fn await_silence(&self, from: &Place, to: SocketAddr, node: &str, reason: &str) {
        wait_for(&format!("{} to hear nothing from {to}, by {reason} on {node}", from.name), || {
            let before = self.drops(node, reason);
            (from.is_silent(to) && self.drops(node, reason) > before).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {}", self.status(node)["drops"]));
    }

    /// One counter of the workers' loops of a node, summed.
    pub(crate) fn looped(&self, node: &str, counter: &str) -> u64 {
        let status = self.status(node);
        let workers = status["workers"].as_array().expect("a list of workers");
        workers.iter().map(|worker| worker["loop"][counter].as_u64().expect("a counter")).sum()
    }

    /// The process of a node's agent.
    pub(crate) fn agent(&self, node: &str) -> sluice_lab::ProcessId {
        let record = self.record();
        let node = record.node(&self.options.name, node).unwrap_or_else(|error| panic!("{error}"));
        node.agent.expect("its agent was started")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.options.manifests.join(format!("{name}.json"))
    }

    fn record(&self) -> Record {
        sluice_lab::record(&self.options.name).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until pods of both nodes know each other, so that no test meets a neighbour that is not yet resolved.
    fn await_peers(&self) {
        let (client, other) = (self.pod("client"), self.pod("other"));
        for to in other.addresses {
            wait_for("pods on two nodes to reach each other", || client.is_answered(to).then_some(()))
                .unwrap_or_else(|error| panic!("{error}: {}", self.complaints()));
        }
    }

    /// What the agents counted, for a test that failed.
    fn complaints(&self) -> String {
        let say = |node: &str| match sluice_lab::agent_status(&self.options.name, node) {
            Ok(status) => format!("{node}: path {}, drops {} ", status["path"], status["drops"]),
            Err(error) => format!("{node}: {error} "),
        };
        ["node-a", "node-b"].map(say).concat()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.complaints());
        }
        let down = sluice_lab::down(&self.options.name);
        let _ = fs::remove_dir_all(&self.options.manifests);
        if !std::thread::panicking() {
            down.unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// Takes down the labs of test processes that ended without doing so.
fn remove_leftovers() {
    let netns = Netns::names().expect("readable").into_iter();
    let netns = netns.filter_map(|name| name.strip_prefix("slu-")?.split('-').next()?.parse::<LabName>().ok());
    for name in netns.chain(sluice_lab::labs()).filter(|name| is_leftover(name.as_str())) {
        // Another test process may sweep at the same time, so what is gone is as good.
        let _ = sluice_lab::down(&name);
        let _ = fs::remove_dir_all(std::env::temp_dir().join(format!("{MANIFESTS}{name}")));
    }
}

/// Whether a lab of this name was made by a test process that is gone.
fn is_leftover(name: &str) -> bool {
    let pid = name.strip_prefix(MARK).map(|rest| rest.trim_end_matches(|c: char| c.is_ascii_lowercase()));
    pid.and_then(|pid| pid.parse::<u32>().ok()).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}
