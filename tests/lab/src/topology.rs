//! The nodes and pods a lab is to have, checked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use crate::error::LabError;
use crate::layout::Layout;
use crate::manifests::{self, Object};
use crate::name::LabName;

/// Longest path of a Unix socket (`sun_path` less its final zero, unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// What the manifests ask for.
#[derive(Debug)]
pub(crate) struct Topology {
    /// The nodes by name.
    pub(crate) nodes: BTreeMap<String, Node>,
    /// The pods by `namespace/name`.
    pub(crate) pods: BTreeMap<String, Pod>,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) netns: String,
    pub(crate) addresses: Vec<IpAddr>,
}

#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) node: String,
    pub(crate) netns: String,
}

impl Topology {
    /// Reads and checks the manifests of a directory.
    pub(crate) fn load(lab: &LabName, directory: &Path) -> Result<Self, LabError> {
        Self::of(lab, &manifests::read(directory)?)
    }

    fn of(lab: &LabName, objects: &[Object]) -> Result<Self, LabError> {
        let mut topology = Self { nodes: BTreeMap::new(), pods: BTreeMap::new() };
        for object in objects.iter().filter(|object| object.kind == "Node") {
            topology.add_node(lab, object)?;
        }
        if topology.nodes.is_empty() {
            return Err(refuse("manifests", "they hold no Node; a lab needs at least one"));
        }
        // A pod in its node's own network has no namespace and no CNI call: `sluice lab node` is where it would be.
        for object in objects.iter().filter(|object| object.kind == "Pod" && !object.spec.host_network) {
            topology.add_pod(lab, object)?;
        }
        topology.check_netns_names()?;
        Ok(topology)
    }

    fn add_node(&mut self, lab: &LabName, object: &Object) -> Result<(), LabError> {
        let name = dns_name("Node", "", &object.metadata.name)?;
        let what = format!("Node {name}");
        let internal = object.status.addresses.iter().filter(|address| address.kind == "InternalIP");
        let addresses = internal
            .map(|address| address.address.parse::<IpAddr>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| refuse(&what, format!("an InternalIP is no IP address ({error})")))?;
        if addresses.is_empty() {
            return Err(refuse(&what, "it has no InternalIP; add one under status.addresses"));
        }
        let socket = Layout::of(lab).socket(name);
        if socket.as_os_str().len() > SOCKET_PATH_MAX {
            return Err(refuse(&what, "its name is too long for the path of its socket; take a shorter one"));
        }
        let node = Node { netns: lab.node_netns(name), addresses };
        match self.nodes.insert(name.to_owned(), node) {
            Some(_) => Err(refuse(&what, "it is there twice; remove one")),
            None => Ok(()),
        }
    }

    fn add_pod(&mut self, lab: &LabName, object: &Object) -> Result<(), LabError> {
        let namespace = dns_name("Namespace", "", object.metadata.namespace.as_deref().unwrap_or("default"))?;
        let name = dns_name("Pod", namespace, &object.metadata.name)?;
        let key = format!("{namespace}/{name}");
        let what = format!("Pod {key}");
        let node = match (&object.spec.node_name, self.nodes.len()) {
            (Some(node), _) => node.clone(),
            (None, 1) => self.nodes.keys().next().cloned().unwrap_or_default(),
            (None, _) => return Err(refuse(&what, "it has no spec.nodeName and there are several nodes; name one")),
        };
        if !self.nodes.contains_key(&node) {
            return Err(refuse(&what, format!("there is no Node {node}; add it or change spec.nodeName")));
        }
        let uid = object.metadata.uid.clone().unwrap_or_else(|| format!("{lab}-{namespace}-{name}"));
        let netns = lab.pod_netns(namespace, name);
        let pod = Pod { namespace: namespace.to_owned(), name: name.to_owned(), uid, node, netns };
        match self.pods.insert(key, pod) {
            Some(_) => Err(refuse(&what, "it is there twice; remove one")),
            None => Ok(()),
        }
    }

    /// Hyphens join the parts of a namespace's name and may be in the parts, so two objects can want the same one.
    fn check_netns_names(&self) -> Result<(), LabError> {
        let nodes = self.nodes.iter().map(|(name, node)| (&node.netns, format!("Node {name}")));
        let pods = self.pods.iter().map(|(key, pod)| (&pod.netns, format!("Pod {key}")));
        let mut owners: BTreeMap<&String, String> = BTreeMap::new();
        for (netns, what) in nodes.chain(pods) {
            if netns.len() > 255 {
                return Err(refuse(&what, "its name is too long for the name of a network namespace"));
            }
            if let Some(other) = owners.insert(netns, what.clone()) {
                let problem = format!("{other} and it would both play in network namespace {netns}; rename one");
                return Err(refuse(&what, problem));
            }
        }
        Ok(())
    }
}

/// A name as Kubernetes allows it, which is also safe as part of a path and of CNI_ARGS.
fn dns_name<'n>(kind: &str, namespace: &str, name: &'n str) -> Result<&'n str, LabError> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let edges = name.bytes().next().zip(name.bytes().last());
    let edges_valid = edges.is_some_and(|(a, z)| a.is_ascii_alphanumeric() && z.is_ascii_alphanumeric());
    if edges_valid && name.len() <= 253 && name.bytes().all(inner) {
        return Ok(name);
    }
    let what = format!("{kind} {namespace}{}{name:?}", if namespace.is_empty() { "" } else { "/" });
    Err(refuse(&what, "metadata.name is not a Kubernetes name (a-z, 0-9, '-', '.')"))
}

fn refuse(object: &str, problem: impl Into<String>) -> LabError {
    LabError::Topology { object: object.to_owned(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifests::tests::objects;

    const NODE: &str =
        "kind: Node\nmetadata: {name: a}\nstatus: {addresses: [{type: InternalIP, address: 192.0.2.1}]}\n";

    fn topology(text: &str) -> Result<Topology, LabError> {
        Topology::of(&LabName::default(), &objects(text))
    }

    #[test]
    fn a_pod_without_a_node_goes_to_the_only_one() {
        let topology = topology(&format!("{NODE}---\nkind: Pod\nmetadata: {{name: p}}\n")).expect("valid");
        assert_eq!(topology.nodes["a"].netns, "slu-default-a");
        let pod = &topology.pods["default/p"];
        assert_eq!((pod.node.as_str(), pod.netns.as_str()), ("a", "slu-default-default-p"));
    }

    #[test]
    fn a_pod_in_the_node_s_network_gets_no_namespace() {
        let pod = "kind: Pod\nmetadata: {name: p}\nspec: {hostNetwork: true}\n";
        assert!(topology(&format!("{NODE}---\n{pod}")).expect("valid").pods.is_empty());
    }

    #[test]
    fn what_cannot_be_a_lab_is_refused_with_its_object() {
        let cases = [
            ("kind: Namespace\nmetadata: {name: x}\n".to_owned(), "no Node"),
            ("kind: Node\nmetadata: {name: a}\n".to_owned(), "no InternalIP"),
            (NODE.replace("192.0.2.1", "here"), "no IP address"),
            (NODE.replace("name: a", "name: ../a"), "not a Kubernetes name"),
            (NODE.replace("name: a", &format!("name: {}", "a".repeat(80))), "too long"),
            (format!("{NODE}---\n{NODE}"), "there twice"),
            (format!("{NODE}---\nkind: Pod\nmetadata: {{name: p}}\nspec: {{nodeName: b}}\n"), "no Node b"),
            (format!("{NODE}---\nkind: Pod\nmetadata: {{name: 'p;K8S=x'}}\n"), "not a Kubernetes name"),
            (
                format!(
                    "{NODE}---\nkind: Pod\nmetadata: {{name: b-c, namespace: a}}\n---\n\
                     kind: Pod\nmetadata: {{name: c, namespace: a-b}}\n"
                ),
                "both play",
            ),
        ];
        for (text, expected) in cases {
            let error = topology(&text).expect_err(&text).to_string();
            assert!(error.contains(expected), "{error:?} should say {expected:?}");
        }
    }
}
