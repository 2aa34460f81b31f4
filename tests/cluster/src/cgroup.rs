//! A node's control groups: one of its name in every hierarchy of version 1, under which its kubelet keeps its pods.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::ClusterError;

/// How long the kernel may take to let go of the groups of processes that were killed.
const BOUND: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// What a group of the cpuset hierarchy has to be told before it takes a process.
const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// Makes the groups called `name` where they are missing.
pub(crate) fn make(name: &str) -> Result<(), ClusterError> {
    for hierarchy in hierarchies() {
        let group = hierarchy.join(name);
        fs::create_dir_all(&group).map_err(ClusterError::file("make", &group))?;
        for key in CPUSET {
            let file = group.join(key);
            if file.exists() {
                let all = fs::read_to_string(hierarchy.join(key)).map_err(ClusterError::file("read", &file))?;
                fs::write(&file, all).map_err(ClusterError::file("write", &file))?;
            }
        }
    }
    Ok(())
}

/// Removes the groups called `name`, with all below them, once no process is in them any more.
pub(crate) fn remove(name: &str) -> Result<(), ClusterError> {
    let start = Instant::now();
    for group in hierarchies().map(|hierarchy| hierarchy.join(name)) {
        while let Err(error) = remove_all(&group) {
            if start.elapsed() > BOUND {
                return Err(ClusterError::file("remove", group)(error));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
    Ok(())
}

/// Only directories: the kernel takes the files in them away itself.
fn remove_all(group: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_all(&entry.path())?;
        }
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Where the hierarchies are mounted.
fn hierarchies() -> impl Iterator<Item = PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    of_mounts(&mounts).into_iter()
}

fn of_mounts(mounts: &str) -> Vec<PathBuf> {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.filter(|fields| fields.get(2) == Some(&"cgroup")).map(|fields| PathBuf::from(fields[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_the_mounts_of_version_1() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(of_mounts(mounts), [PathBuf::from("/sys/fs/cgroup/cpu")]);
    }
}
