//! Why a lab could not be made, asked or removed.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use sluice_cni_protocol::{ClientError, CniError};

/// What went wrong, with what, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A name that is not a lab's name.
    #[error("{name:?} is not a lab name; take 1 to 16 of a-z and 0-9")]
    Name {
        /// The name asked for.
        name: String,
    },
    /// The caller may not make namespaces.
    #[error("a lab makes network namespaces and needs root; run it again with sudo")]
    NotRoot,
    /// A program of ours is missing.
    #[error("{program} is not there (looked in {}); build it with `cargo build -p {program}` or set {variable}", show(.looked))]
    NoBinary {
        /// The program's name.
        program: &'static str,
        /// The environment variable that names it.
        variable: &'static str,
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// The directory of manifests cannot be read.
    #[error("cannot read manifests in {directory}: {source}; name their directory with -f")]
    ManifestDirectory {
        /// The directory.
        directory: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A manifest is not YAML, or not the object it says it is.
    #[error("{file}: {reason}")]
    Manifest {
        /// The manifest.
        file: PathBuf,
        /// What is wrong, with the line.
        reason: String,
    },
    /// The manifests do not describe a lab.
    #[error("{object}: {problem}")]
    Topology {
        /// The object, as `Kind namespace/name`.
        object: String,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// Another command works on this lab.
    #[error("another command is working on lab {name}; wait for it or look for it with `ps`")]
    Busy {
        /// The lab.
        name: String,
    },
    /// The lab was made with a wire between its nodes and is now wanted without, or the other way round.
    #[error("lab {name} is up and differs in its underlay; take it down first with `sluice lab down{}`", name_option(.name))]
    OtherWire {
        /// The lab.
        name: String,
    },
    /// A host was to be on the wire of a lab that has none.
    #[error("lab {name} is to have no wire between its nodes; make it with an underlay")]
    NoWire {
        /// The lab.
        name: String,
    },
    /// There is no lab of this name.
    #[error("lab {name} is not up; start it with `sluice lab up{}`", name_option(.name))]
    NotUp {
        /// The lab.
        name: String,
    },
    /// The record cannot be understood.
    #[error("{path}: {reason}; remove the lab with `sluice lab down{}` and start it again", name_option(.name))]
    Record {
        /// The lab.
        name: String,
        /// The record.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No pod of this name, or several.
    #[error("{problem}")]
    NoSuchPod {
        /// What was asked for and what there is.
        problem: String,
    },
    /// No node of this name.
    #[error("lab {lab} has no node {node}; it has {known}")]
    NoSuchNode {
        /// The lab.
        lab: String,
        /// The node asked for.
        node: String,
        /// The nodes there are.
        known: String,
    },
    /// A file or directory of the lab.
    #[error("cannot {operation} {path}: {source}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A namespace, a device, an address.
    #[error(transparent)]
    Host(#[from] sluice_host::Error),
    /// The agent ended instead of getting ready.
    #[error("sluiced of node {node} ended with {status}\n{tail}")]
    AgentEnded {
        /// The node.
        node: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        tail: String,
    },
    /// The agent did not get ready.
    #[error("sluiced of node {node} is not ready after {waited:?}: {last}\n{tail}")]
    AgentNotReady {
        /// The node.
        node: String,
        /// How long was waited.
        waited: Duration,
        /// Its last answer.
        last: String,
        /// The end of its log.
        tail: String,
    },
    /// The agent could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The agent answered with an error.
    #[error("sluiced refused: {0}")]
    Refused(CniError),
    /// The CNI plugin could not attach or detach a pod.
    #[error("{command} of pod {pod}: {reason}")]
    Cni {
        /// The CNI verb.
        command: &'static str,
        /// The pod, as `namespace/name`.
        pod: String,
        /// The plugin's error, or what it printed instead.
        reason: String,
    },
    /// Processes that do not end, not even when killed.
    #[error("processes {pids:?} of lab {name} do not end; look at them with `ps`, then run down again")]
    Immortal {
        /// The lab.
        name: String,
        /// The processes.
        pids: Vec<u32>,
    },
    /// A setting for the agents that is not KEY=VALUE.
    #[error("{setting:?} is not a setting; write KEY=VALUE, such as superFrames=off or features.txMetadata=off")]
    Setting {
        /// What was given.
        setting: String,
    },
    /// A command that was to run in a namespace.
    #[error("cannot run {program}: {source}")]
    Exec {
        /// The program.
        program: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Someone asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl LabError {
    pub(crate) fn file(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { operation, path, source }
    }
}

fn show(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn name_option(name: &str) -> String {
    if name == crate::name::LabName::default().as_str() { String::new() } else { format!(" --name {name}") }
}
