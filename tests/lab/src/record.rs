//! What a lab consists of, on disk before it exists.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::LabError;
use crate::layout::Layout;
use crate::name::LabName;
use crate::process::ProcessId;
use crate::underlay::UnderlayRecord;

/// Version of the file; another one is not read.
const VERSION: u32 = 1;

/// Everything a lab has made or was about to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    version: u32,
    /// The directory of manifests the lab was made from.
    pub manifests: PathBuf,
    /// False from the beginning of an `up` to its good end.
    pub complete: bool,
    /// The wire between the nodes, where there is one.
    #[serde(default)]
    pub underlay: Option<UnderlayRecord>,
    /// The nodes by name.
    pub nodes: BTreeMap<String, NodeRecord>,
    /// The pods by `namespace/name`.
    pub pods: BTreeMap<String, PodRecord>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRecord {
    /// Name of its namespace under `/run/netns`.
    pub netns: String,
    /// Its InternalIPs.
    pub addresses: Vec<IpAddr>,
    /// Its agent, once started.
    pub agent: Option<ProcessId>,
}

/// One pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRecord {
    /// Its Kubernetes namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its Kubernetes UID, or one made up from its names.
    pub uid: String,
    /// The node it is on.
    pub node: String,
    /// Name of its network namespace under `/run/netns`.
    pub netns: String,
    /// CNI_CONTAINERID of its attachment, chosen before ADD is called.
    pub container_id: String,
    /// What ADD answered, once it has.
    pub attached: Option<PodAttachment>,
}

/// The outcome of a CNI ADD.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodAttachment {
    /// Name of the pod's interface.
    pub interface: String,
    /// The pod's addresses.
    pub addresses: Vec<IpAddr>,
    /// The gateways of these addresses, as the agent names them.
    pub gateways: Vec<IpAddr>,
    /// How long the plugin took, in milliseconds.
    pub millis: f64,
}

impl Record {
    /// A lab with nothing in it.
    pub(crate) fn new(manifests: PathBuf) -> Self {
        Self {
            version: VERSION,
            manifests,
            complete: false,
            underlay: None,
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
        }
    }

    /// Reads a lab's record; none when there is no lab (or it was left before it had a record).
    ///
    /// # Errors
    /// [`LabError::Record`] when it is damaged or of another version.
    pub fn load(name: &LabName, layout: &Layout) -> Result<Option<Self>, LabError> {
        let path = layout.record();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LabError::file("read", path)(error)),
        };
        Self::parse(&text).map(Some).map_err(|reason| LabError::Record { name: name.to_string(), path, reason })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let record: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if record.version == VERSION { Ok(record) } else { Err(format!("version {} is not {VERSION}", record.version)) }
    }

    /// Writes the record beside the old one and renames it over, so that a crash leaves one of the two.
    pub(crate) fn save(&self, layout: &Layout) -> Result<(), LabError> {
        let path = layout.record();
        let beside = path.with_extension("json.new");
        let text = serde_json::to_vec_pretty(self).map_err(|error| LabError::file("write", &path)(error.into()))?;
        let mut file = File::create(&beside).map_err(LabError::file("create", &beside))?;
        file.write_all(&text).map_err(LabError::file("write", &beside))?;
        fs::rename(&beside, &path).map_err(LabError::file("rename", &beside))
    }

    /// Looks a pod up by name, in a namespace or, without one, in all.
    ///
    /// # Errors
    /// [`LabError::NoSuchPod`] when there is none or more than one; it lists what there is.
    pub fn pod(&self, namespace: Option<&str>, name: &str) -> Result<&PodRecord, LabError> {
        let fits = |pod: &&PodRecord| pod.name == name && namespace.is_none_or(|wanted| pod.namespace == wanted);
        let found: Vec<&PodRecord> = self.pods.values().filter(fits).collect();
        let list = |pods: &mut dyn Iterator<Item = &String>| pods.cloned().collect::<Vec<_>>().join(", ");
        match found.as_slice() {
            [pod] => Ok(pod),
            [] => {
                let wanted = namespace.map_or(name.to_owned(), |namespace| format!("{namespace}/{name}"));
                let known = list(&mut self.pods.keys());
                Err(LabError::NoSuchPod { problem: format!("no pod {wanted} in this lab; it has {known}") })
            }
            several => {
                let spaces = several.iter().map(|pod| pod.namespace.as_str()).collect::<Vec<_>>().join(", ");
                let problem = format!("pod {name} is in several namespaces ({spaces}); name one with -n");
                Err(LabError::NoSuchPod { problem })
            }
        }
    }

    /// Looks a node up by name.
    ///
    /// # Errors
    /// [`LabError::NoSuchNode`] with the nodes there are.
    pub fn node(&self, lab: &LabName, name: &str) -> Result<&NodeRecord, LabError> {
        self.nodes.get(name).ok_or_else(|| LabError::NoSuchNode {
            lab: lab.to_string(),
            node: name.to_owned(),
            known: self.nodes.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// The names of all network namespaces in the record.
    pub(crate) fn netns_names(&self) -> impl Iterator<Item = &String> {
        let wire = self.underlay.iter().flat_map(|underlay| [&underlay.netns, &underlay.outside]);
        self.nodes.values().map(|node| &node.netns).chain(self.pods.values().map(|pod| &pod.netns)).chain(wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, name: &str) -> (String, PodRecord) {
        let record = PodRecord {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: "u".to_owned(),
            node: "n".to_owned(),
            netns: "slu-a-b".to_owned(),
            container_id: "c".to_owned(),
            attached: None,
        };
        (format!("{namespace}/{name}"), record)
    }

    #[test]
    fn a_record_reads_back() {
        let mut record = Record::new("/m".into());
        record.pods.extend([pod("demo", "web")]);
        let text = serde_json::to_string(&record).expect("plain data");
        assert_eq!(Record::parse(&text), Ok(record));
    }

    #[test]
    fn damage_and_other_versions_are_named() {
        assert!(Record::parse("{").is_err());
        let other = r#"{"version":9,"manifests":"/m","complete":true,"nodes":{},"pods":{}}"#;
        assert_eq!(Record::parse(other), Err("version 9 is not 1".to_owned()));
    }

    #[test]
    fn a_pod_is_found_without_its_namespace_when_the_name_is_clear() {
        let mut record = Record::new("/m".into());
        record.pods.extend([pod("demo", "web"), pod("demo", "db"), pod("other", "db")]);
        assert_eq!(record.pod(None, "web").expect("one").namespace, "demo");
        assert_eq!(record.pod(Some("other"), "db").expect("one").namespace, "other");
        for (namespace, name) in [(None, "db"), (Some("other"), "web"), (None, "nobody")] {
            assert!(matches!(record.pod(namespace, name), Err(LabError::NoSuchPod { .. })), "{namespace:?} {name}");
        }
    }
}
