//! Where a lab keeps its files.

use std::path::{Path, PathBuf};

use crate::name::LabName;

/// The directory that holds one directory a lab.
pub const LABS: &str = "/run/sluice-lab";

/// The paths of one lab.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout of the lab called `name`.
    pub fn of(name: &LabName) -> Self {
        Self { root: Path::new(LABS).join(name.as_str()) }
    }

    /// The lab's own directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the lab consists of.
    pub fn record(&self) -> PathBuf {
        self.root.join("lab.json")
    }

    /// Everything of one node.
    pub fn node(&self, node: &str) -> PathBuf {
        self.root.join("nodes").join(node)
    }

    /// The objects that the agents of a lab with a wire watch.
    pub fn objects(&self) -> PathBuf {
        self.root().join("objects")
    }

    /// The run directory of a node's agent.
    pub fn run_dir(&self, node: &str) -> PathBuf {
        self.node(node).join("run")
    }

    /// The state directory of a node's agent.
    pub fn state_dir(&self, node: &str) -> PathBuf {
        self.node(node).join("state")
    }

    /// The configuration of a node's agent.
    pub fn config(&self, node: &str) -> PathBuf {
        self.node(node).join("config.yaml")
    }

    /// What a node's agent prints.
    pub fn log(&self, node: &str) -> PathBuf {
        self.node(node).join("log")
    }

    /// The socket of a node's agent.
    pub fn socket(&self, node: &str) -> PathBuf {
        self.run_dir(node).join(sluice_cni_protocol::SOCKET_NAME)
    }
}

/// Where a named namespace is found.
pub(crate) fn netns_path(name: &str) -> PathBuf {
    Path::new(sluice_host::NAMED_NAMESPACES).join(name)
}
