//! The whole: the wire, the control plane, the nodes, and Sluice on them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sluice_e2e::{API_V4, API_V6, ApiServer};
use sluice_lab::{AgentSettings, Binaries, LabName, Layout, Stop, UpOptions, WireHost};

use crate::cgroup;
use crate::control_plane::ControlPlane;
use crate::error::ClusterError;
use crate::images::{SLUICE, TOOLS};
use crate::install;
use crate::kubectl::Kubectl;
use crate::node::{Node, Plan, Service, group_of};
use crate::wait::wait_for;

/// The nodes' names.
pub const NODES: [&str; 2] = ["node-a", "node-b"];
/// What the control plane's host is called on the wire.
const API: &str = "api";

/// A running cluster. All of it goes with this value.
#[derive(Debug)]
pub struct Cluster {
    name: LabName,
    kubectl: Kubectl,
    nodes: Vec<Node>,
    control_plane: ControlPlane,
}

impl Cluster {
    /// Makes the wire, the control plane and the nodes, and takes away what an earlier cluster of this name left behind. Its nodes
    /// are known to the API server then, and have no network yet: [`Self::install`] gives them one.
    ///
    /// # Errors
    /// What does not start, with the end of its log. Nothing is left then.
    pub fn up(name: &LabName) -> Result<Self, ClusterError> {
        down(name)?;
        let made = Self::make(name);
        if made.is_err() {
            let _ = down(name);
        }
        made
    }

    fn make(name: &LabName) -> Result<Self, ClusterError> {
        let images = [TOOLS.find()?, SLUICE.find()?];
        let root = Layout::of(name).root().to_owned();
        let wire = wire(name, &root)?;
        let addresses: [IpAddr; 2] = [API_V4.into(), API_V6.into()];
        let netns = plug(&wire, API, &addresses)?;
        let control_plane = ControlPlane::start(&netns, &root.join(API), &addresses)?;
        let kubectl = Kubectl::of(control_plane.api())?;
        let mut nodes = Vec::new();
        for (number, node) in NODES.iter().enumerate() {
            let addresses = addresses_of(number);
            let netns = plug(&wire, &node.replace('-', ""), &addresses)?;
            let plan =
                Plan { name: node, netns: &netns, addresses: &addresses, cluster: name.as_str(), directory: &root };
            nodes.push(Node::up(&plan, control_plane.api(), &images)?);
        }
        let cluster = Self { name: name.clone(), kubectl, nodes, control_plane };
        for node in NODES {
            cluster.until(&format!("the Node {node}"), || cluster.kubectl.get(&["node", node]))?;
        }
        Ok(cluster)
    }

    /// Installs what is in `deploy/`, and waits until every node has it and is ready.
    ///
    /// # Errors
    /// What the API server refuses; what does not get ready, with what there is instead.
    pub fn install(&self) -> Result<(), ClusterError> {
        self.kubectl.apply(&install::objects(&self.control_plane.api().url())?)?;
        self.await_rollout("daemonset/sluice", "kube-system")?;
        for node in NODES {
            self.await_node(node)?;
        }
        Ok(())
    }

    /// Deletes what is in `deploy/`, and waits until its pods are gone.
    ///
    /// # Errors
    /// What the API server refuses; the pods that stay.
    pub fn uninstall(&self) -> Result<(), ClusterError> {
        self.kubectl.delete(&install::objects(&self.control_plane.api().url())?)?;
        let pods = ["pods", "-n", "kube-system", "-l", "app.kubernetes.io/name=sluice"];
        self.until("the daemons' pods to be gone", || {
            let list = self.kubectl.get(&pods).map_err(|error| error.to_string())?;
            if list["items"].as_array().is_some_and(Vec::is_empty) { Ok(()) } else { Err(list.to_string()) }
        })
    }

    /// Waits until a node is ready for pods.
    ///
    /// # Errors
    /// [`ClusterError::InVain`] with its conditions.
    pub fn await_node(&self, node: &str) -> Result<(), ClusterError> {
        let ready = || {
            let object = self.kubectl.get(&["node", node]).map_err(|error| error.to_string())?;
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
            let untainted = object["spec"]["taints"].is_null();
            match ready {
                Some(condition) if condition["status"] == "True" && untainted => Ok(()),
                other => Err(format!("{other:?}, taints {}", object["spec"]["taints"])),
            }
        };
        self.until(&format!("node {node} to be ready"), ready)
    }

    /// Waits until a Deployment or DaemonSet is as it is to be.
    ///
    /// # Errors
    /// [`ClusterError::InVain`], with the pods of its namespace.
    pub fn await_rollout(&self, what: &str, namespace: &str) -> Result<(), ClusterError> {
        let rolled_out = || {
            let status = self.kubectl.run(&["rollout", "status", what, "-n", namespace, "--watch=false"]);
            match status.map_err(|error| error.to_string())? {
                text if text.contains("successfully rolled out") => Ok(()),
                text => {
                    let pods = self.kubectl.run(&["get", "pods", "-n", namespace, "-o", "wide"]);
                    Err(format!("{text}{}", pods.unwrap_or_else(|error| error.to_string())))
                }
            }
        };
        self.until(&format!("{what} to be rolled out"), rolled_out)
    }

    /// [`wait_for`], and with a failure what may tell why.
    ///
    /// # Errors
    /// [`ClusterError::InVain`].
    pub fn until<T, E: ToString>(&self, what: &str, look: impl FnMut() -> Result<T, E>) -> Result<T, ClusterError> {
        wait_for(what, look).map_err(|error| match error {
            ClusterError::InVain { what, bound, last } => {
                ClusterError::InVain { what, bound, last: format!("{last}\n{}", self.account()) }
            }
            other => other,
        })
    }

    /// What the cluster says of itself: pods, events, the daemons' logs.
    pub fn account(&self) -> String {
        let asked: [&[&str]; 4] = [
            &["get", "nodes,pods", "-A", "-o", "wide"],
            &["get", "events", "-A", "--sort-by=.lastTimestamp"],
            &["logs", "-n", "kube-system", "-l", "app.kubernetes.io/name=sluice", "--prefix", "--tail=30"],
            &["logs", "-n", "kube-system", "-l", "app.kubernetes.io/name=sluice", "--prefix", "--tail=15", "-p"],
        ];
        let told = asked.map(|arguments| {
            let answer = self.kubectl.run(arguments).unwrap_or_else(|error| error.to_string());
            let lines: Vec<&str> = answer.lines().collect();
            let end = lines[lines.len().saturating_sub(60)..].join("\n");
            format!("--- kubectl {}\n{end}\n", arguments.join(" "))
        });
        // What is known also without the API server.
        let logs =
            "for log in /var/log/pods/kube-system_sluice-*/sluiced/*.log; do echo \"- $log\"; tail -n 15 $log; done";
        let nodes = self.nodes.iter().map(|node| {
            let daemon = node.run(logs).unwrap_or_else(|error| error.to_string());
            format!("--- {}: {daemon}--- {}: kubelet\n{}\n", node.name(), node.name(), node.log(Service::Kubelet, 10))
        });
        told.into_iter().chain(nodes).collect()
    }

    /// kubectl with the administrator's rights.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Its nodes, for what happens to them.
    pub fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// Its API server.
    pub fn api(&self) -> &ApiServer {
        self.control_plane.api()
    }

    /// Its control plane, for what happens to it.
    pub fn control_plane_mut(&mut self) -> &mut ControlPlane {
        &mut self.control_plane
    }

    /// Its name.
    pub fn name(&self) -> &LabName {
        &self.name
    }

    /// The name of the network namespace behind the nodes' router.
    pub fn outside(&self) -> String {
        self.name.outside_netns()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.control_plane.api().resume();
        self.nodes.clear();
        self.control_plane.api_mut().kill();
        if let Err(error) = down(&self.name)
            && !std::thread::panicking()
        {
            panic!("{error}");
        }
    }
}

/// Takes down the cluster of this name, whoever left it in whatever state.
///
/// # Errors
/// What does not end.
pub fn down(name: &LabName) -> Result<(), ClusterError> {
    sluice_lab::down(name)?;
    NODES.iter().try_for_each(|node| cgroup::remove(&group_of(name.as_str(), node)))
}

/// A node's addresses on the wire.
fn addresses_of(number: usize) -> [IpAddr; 2] {
    let last = 11 + u16::try_from(number).unwrap_or(0);
    let v4 = Ipv4Addr::new(192, 0, 2, u8::try_from(last).unwrap_or(0));
    [v4.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10 + (last - 10)).into()]
}

/// A wire for these nodes. The lab plays none of them: it is asked for hosts on a wire alone.
fn wire(name: &LabName, root: &Path) -> Result<UpOptions, ClusterError> {
    let manifests: PathBuf = root.join("manifests");
    fs::create_dir_all(&manifests).map_err(ClusterError::file("make", &manifests))?;
    let nodes: Vec<Value> = NODES
        .iter()
        .enumerate()
        .map(|(number, node)| {
            let addresses = addresses_of(number).map(|at| json!({ "type": "InternalIP", "address": at }));
            json!({
                "apiVersion": "v1", "kind": "Node", "metadata": { "name": node }, "status": { "addresses": addresses },
            })
        })
        .collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": nodes });
    let file = manifests.join("nodes.json");
    fs::write(&file, list.to_string()).map_err(ClusterError::file("write", &file))?;
    Ok(UpOptions {
        name: name.clone(),
        manifests,
        binaries: Binaries::find()?,
        underlay: true,
        agent: AgentSettings::default(),
        stop: Stop::default(),
    })
}

/// Puts a host on the wire, and returns the name of its network namespace.
fn plug(wire: &UpOptions, label: &str, addresses: &[IpAddr]) -> Result<String, ClusterError> {
    let host = WireHost { label: label.to_owned(), addresses: addresses.to_vec() };
    Ok(sluice_lab::raise_wire(wire, &host)?)
}
