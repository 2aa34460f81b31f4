//! Our node: a real `sluiced` with one pod, in a lab of its own.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Once;

use serde_json::{Value, json};
use sluice_host::{Netns, sysctl};
use sluice_lab::{AgentSettings, Binaries, LabName, Layout, Stop, UpOptions};
use sluice_netns::{require_root, wait_for};

use crate::traffic::Host;

/// Begins the names of labs made here: `wPIDLABEL`.
const MARK: &str = "w";
/// Begins the names of their manifests' directories.
const MANIFESTS: &str = "sluice-interop-test-";
/// Name of the node.
const NODE: &str = "ours";
/// Its podCIDRs.
pub(crate) const NETWORKS: [&str; 2] = ["10.244.1.0/24", "fd00:10:244:1::/64"];

/// The node under test. It goes down with this value, and with it all other namespaces of its lab.
pub(crate) struct Ours {
    name: LabName,
    manifests: PathBuf,
    /// Where its tunnel ends.
    pub(crate) address: IpAddr,
    /// Its pod.
    pub(crate) pod: Host,
}

impl Ours {
    /// A node whose InternalIP is `address`, with further keys of its configuration. `label`, of at most 8 letters, is the
    /// test's alone.
    pub(crate) fn up(label: &str, address: &str, settings: &[&str]) -> Self {
        static SWEEP: Once = Once::new();
        require_root();
        SWEEP.call_once(remove_leftovers);
        let name: LabName = format!("{MARK}{}{label}", std::process::id()).parse().expect("a short label");
        let manifests = std::env::temp_dir().join(format!("{MANIFESTS}{name}"));
        fs::create_dir_all(&manifests).expect("the temporary directory is writable");
        let pod =
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" }, "spec": { "nodeName": NODE } });
        for (file, object) in [("node.json", node(NODE, &NETWORKS, address)), ("pod.json", pod)] {
            fs::write(manifests.join(file), object.to_string()).expect("writable");
        }
        let mut agent = AgentSettings::default();
        settings.iter().for_each(|setting| agent.set(setting).expect("a setting"));
        let binaries = Binaries::find().unwrap_or_else(|error| panic!("{error}"));
        let address = address.parse().expect("an address");
        // Half made, it is taken down too.
        let mut ours = Self { name, manifests, address, pod: Host::default() };
        let (name, manifests) = (ours.name.clone(), ours.manifests.clone());
        let options = UpOptions { name, manifests, binaries, underlay: true, agent, stop: Stop::default() };
        sluice_lab::up(&options, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
        let record = sluice_lab::record(&ours.name).expect("it is up");
        let pod = record.pod(None, "web").expect("one pod");
        let addresses = pod.attached.as_ref().expect("attached").addresses.clone();
        ours.pod = Host { netns: Some(Netns::open_named(&pod.netns).expect("the pod's namespace")), addresses };
        ours
    }

    /// Tells the node of another one, and waits until it knows it.
    pub(crate) fn introduce(&self, node: &Value) {
        let objects = self.layout().objects();
        let (hidden, file) = (objects.join(".theirs"), objects.join("theirs.json"));
        fs::write(&hidden, node.to_string()).and_then(|()| fs::rename(&hidden, &file)).expect("writable");
        let known = || (self.status()["objects"]["peers"] == 1).then_some(());
        wait_for("our node to know the other", known).unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }

    /// The status document of its agent.
    pub(crate) fn status(&self) -> Value {
        sluice_lab::agent_status(&self.name, NODE).unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// A counter of its path.
    pub(crate) fn counted(&self, counter: &str) -> u64 {
        self.status()["path"][counter].as_u64().unwrap_or_else(|| panic!("no counter {counter}"))
    }

    /// A counter of its workers' loops.
    pub(crate) fn looped(&self, counter: &str) -> u64 {
        let status = self.status();
        let workers = status["workers"].as_array().expect("workers").iter();
        workers.map(|worker| worker["loop"][counter].as_u64().unwrap_or_else(|| panic!("no counter {counter}"))).sum()
    }

    /// What it has dropped, but for what stacks say when their links come up, and what waited for a neighbour's MAC.
    pub(crate) fn drops(&self) -> Vec<String> {
        const AT_FIRST: [&str; 5] =
            ["multicast_listener", "router_solicitation", "dad", "unknown_port", "neighbour_missing"];
        let status = self.status();
        let drops = status["drops"].as_object().expect("drops").iter();
        let drops = drops.filter(|(reason, _)| !AT_FIRST.contains(&reason.as_str()));
        drops.map(|(reason, count)| format!("{reason} {count}")).collect()
    }

    /// Waits until it has dropped just that: what a worker counts is told a moment after the packet.
    pub(crate) fn await_drops(&self, wanted: &[&str]) {
        wait_for(&format!("the drops {wanted:?}"), || (self.drops() == wanted).then_some(()))
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.drops()));
    }

    /// A namespace of its lab that is not there yet.
    pub(crate) fn namespace(&self, of: &str) -> (String, Netns) {
        let name = self.name.node_netns(of);
        let netns = Netns::create(&name).unwrap_or_else(|error| panic!("{error}"));
        // No address is there twice, and a second is a long time.
        let dad = ["all", "default"].map(|device| format!("net/ipv6/conf/{device}/accept_dad"));
        sysctl::set_in(&netns, &[(&dad[0], "0"), (&dad[1], "0")]).expect("sysctls");
        (name, netns)
    }

    /// Name of one that is there.
    pub(crate) fn namespace_of(&self, of: &str) -> String {
        self.name.node_netns(of)
    }

    /// Name of the namespace with the wire.
    pub(crate) fn wire(&self) -> String {
        self.name.underlay_netns()
    }

    /// A directory that goes with the lab.
    pub(crate) fn directory(&self, of: &str) -> PathBuf {
        let directory = self.layout().root().join(of);
        fs::create_dir_all(&directory).expect("the lab's directory is writable");
        directory
    }

    fn layout(&self) -> Layout {
        Layout::of(&self.name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.layout().log(NODE)).unwrap_or_default()
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let status = sluice_lab::agent_status(&self.name, NODE);
            eprintln!("--- log of sluiced ---\n{}\n--- status ---\n{status:#?}", self.log());
        }
        let down = sluice_lab::down(&self.name);
        let _ = fs::remove_dir_all(&self.manifests);
        if !std::thread::panicking() {
            down.unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// A Node object.
pub(crate) fn node(name: &str, networks: &[&str], address: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name },
        "spec": { "podCIDR": networks[0], "podCIDRs": networks },
        "status": { "addresses": [{ "type": "InternalIP", "address": address }] } })
}

/// Takes down the labs of test processes that ended without doing so, and removes their manifests.
fn remove_leftovers() {
    let netns = Netns::names().expect("readable").into_iter();
    let netns = netns.filter_map(|name| Some(name.strip_prefix("slu-")?.split('-').next()?.to_owned()));
    let listed = |directory: &Path, prefix: &str| -> Vec<String> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix(prefix)?.to_owned())).collect()
    };
    let labs = listed(Path::new(sluice_lab::LABS), "");
    let manifests = listed(&std::env::temp_dir(), MANIFESTS);
    for name in netns.chain(labs).chain(manifests).filter(|name| is_leftover(name)) {
        // Another test process may sweep at the same time, so what is gone is as good.
        let _ = name.parse().map(|name| sluice_lab::down(&name));
        let _ = fs::remove_dir_all(std::env::temp_dir().join(format!("{MANIFESTS}{name}")));
    }
}

/// Whether a lab of this name was made here by a process that is gone.
fn is_leftover(name: &str) -> bool {
    let pid = name.strip_prefix(MARK).map(|rest| rest.trim_end_matches(|c: char| c.is_ascii_lowercase()));
    pid.and_then(|pid| pid.parse::<u32>().ok()).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}
