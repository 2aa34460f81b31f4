//! A node that loses its power.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sluice_host::{Netlink, Netns};
use sluice_lab::{Layout, ProcessId, UPLINK};

use super::Cluster;
use crate::error::E2eError;

/// How long the kernel may take to end a killed process.
const END_BOUND: Duration = Duration::from_secs(20);

impl Cluster {
    /// Takes away what a node does not have any more after its power was cut: its processes, its pods, all network namespaces
    /// and devices, and what was in memory, its run directory. Its disk stays. [`Cluster::repair`] boots it, and its
    /// kubelet makes the pods' sandboxes anew.
    ///
    /// # Errors
    /// When the node is not there, or something of it does not go.
    pub fn cut_power(&self, node: &str) -> Result<(), E2eError> {
        let record = self.record()?;
        let host = record.node(self.name(), node)?;
        if let Some(agent) = host.agent {
            end(node, agent)?;
        }
        let netns = Netns::open_named(&host.netns)?;
        let mut netlink = Netlink::open_in(&netns)?;
        // The kernel takes a namespace's devices down in its own time, and the other end of this one is to be made anew.
        if let Some(uplink) = netlink.find_link(UPLINK)? {
            netlink.delete_link(uplink.index)?;
        }
        drop((netlink, netns));
        for pod in record.pods.values().filter(|pod| pod.node == node) {
            Netns::delete(&pod.netns)?;
        }
        Netns::delete(&host.netns)?;
        let memory = Layout::of(self.name()).run_dir(node);
        fs::remove_dir_all(&memory).map_err(E2eError::file(&memory))
    }
}

fn end(node: &str, agent: ProcessId) -> Result<(), E2eError> {
    let pid = i32::try_from(agent.pid).ok().and_then(Pid::from_raw);
    let start = Instant::now();
    while agent.is_running() {
        let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        if start.elapsed() > END_BOUND {
            return Err(E2eError::Object(format!("the agent of {node} does not end")));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
