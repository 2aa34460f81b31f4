//! Removing a lab, in whatever state it is.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::ErrorKind;

use sluice_host::Netns;

use crate::error::LabError;
use crate::inhabitants;
use crate::layout::Layout;
use crate::lock::{LabLock, remove_labs_directory_if_empty};
use crate::name::LabName;
use crate::nodes::delete_netns;
use crate::process::{ProcessId, end_all};
use crate::record::Record;

/// Rounds of ending processes: one that is being ended may still start another.
const ROUNDS: usize = 3;

/// What was there and is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Network namespaces.
    pub namespaces: Vec<String>,
    /// Processes that had to be ended.
    pub processes: usize,
    /// Whether there were files.
    pub files: bool,
}

impl Removed {
    /// True when there was no such lab, nor a trace of one.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Removes the lab called `name`: its processes (SIGTERM, a bounded wait, SIGKILL), its namespaces, its files. Works
/// on a lab that was half made or whose commands were killed, and with nothing there.
///
/// # Errors
/// [`LabError::NotRoot`], [`LabError::Busy`], [`LabError::Immortal`]; a name or file that cannot be removed.
pub fn down(name: &LabName) -> Result<Removed, LabError> {
    let layout = Layout::of(name);
    let mut namespaces = leftover_namespaces(name)?;
    if namespaces.is_empty() && !layout.root().exists() {
        return Ok(Removed::default());
    }
    if !rustix::process::geteuid().is_root() {
        return Err(LabError::NotRoot);
    }
    let files = layout.root().exists();
    let _lock = LabLock::create(name, &layout)?;
    // A damaged record is no reason to leave things behind: names and inhabitants are found without it.
    let record = Record::load(name, &layout).ok().flatten();
    namespaces.extend(leftover_namespaces(name)?);
    namespaces.extend(record.iter().flat_map(Record::netns_names).filter(|name| exists(name)).cloned());
    let namespaces: Vec<String> = namespaces.into_iter().collect();

    let agents = record.iter().flat_map(|record| record.nodes.values()).filter_map(|node| node.agent);
    let processes = end_everyone(name, agents.collect(), &namespaces)?;
    for namespace in &namespaces {
        delete_netns(namespace)?;
    }
    match fs::remove_dir_all(layout.root()) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(LabError::file("remove", layout.root())(error));
        }
        _ => {}
    }
    remove_labs_directory_if_empty();
    Ok(Removed { namespaces, processes, files })
}

/// Ends the agents and whoever else lives in the namespaces; returns how many there were.
fn end_everyone(name: &LabName, agents: Vec<ProcessId>, namespaces: &[String]) -> Result<usize, LabError> {
    let mut ended: HashSet<ProcessId> = HashSet::new();
    let mut processes: Vec<ProcessId> = agents.into_iter().filter(|agent| agent.is_running()).collect();
    for _ in 0..ROUNDS {
        processes.extend(inhabitants::of(namespaces));
        if processes.is_empty() {
            return Ok(ended.len());
        }
        let left = end_all(&processes);
        if !left.is_empty() {
            let pids = left.iter().map(|process| process.pid).collect();
            return Err(LabError::Immortal { name: name.to_string(), pids });
        }
        ended.extend(processes.drain(..));
    }
    match inhabitants::of(namespaces).as_slice() {
        [] => Ok(ended.len()),
        left => {
            let pids = left.iter().map(|process| process.pid).collect();
            Err(LabError::Immortal { name: name.to_string(), pids })
        }
    }
}

/// The namespaces whose names say that they are this lab's.
fn leftover_namespaces(name: &LabName) -> Result<BTreeSet<String>, LabError> {
    let prefix = name.netns_prefix();
    Ok(Netns::names()?.into_iter().filter(|netns| netns.starts_with(&prefix)).collect())
}

fn exists(netns: &str) -> bool {
    crate::layout::netns_path(netns).exists()
}
