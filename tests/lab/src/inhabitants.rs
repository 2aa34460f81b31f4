//! Which processes live in a lab's namespaces.
//!
//! A pod that goes takes its processes with it, whoever started them: those of `sluice lab exec`, and an agent whose
//! id a crash kept from being recorded.

use std::fs;
use std::os::unix::fs::MetadataExt;

use sluice_host::Netns;

use crate::process::ProcessId;

/// Device and inode of a namespace.
type Id = (u64, u64);

/// The processes inside the named namespaces. A name that is no (finished) namespace has none, and this process
/// itself is never among them.
pub(crate) fn of(netns_names: &[String]) -> Vec<ProcessId> {
    let wanted: Vec<Id> = netns_names.iter().filter_map(|name| id_of_name(name)).collect();
    // Never the namespace that the machine, or the caller, lives in, whatever a name says.
    let forbidden = ["/proc/1/ns/net", "/proc/self/ns/net"].map(id_of_path);
    let wanted: Vec<Id> = wanted.into_iter().filter(|id| !forbidden.contains(&Some(*id))).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let process = ProcessId::of(pid)?;
        let inside = wanted.contains(&id_of_path(&format!("/proc/{pid}/ns/net"))?);
        (inside && pid != std::process::id()).then_some(process)
    })
    .collect()
}

fn id_of_name(name: &str) -> Option<Id> {
    // Opening tells a namespace from the plain file that a crash between create and mount leaves.
    let path = crate::layout::netns_path(name);
    Netns::open(&path).ok()?;
    id_of_path(path.to_str()?)
}

fn id_of_path(path: &str) -> Option<Id> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
