//! A node: a machine with containerd and kubelet on it.

mod containerd;
mod kubelet;

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sluice_e2e::{ApiServer, built};

use crate::cgroup;
use crate::error::ClusterError;
use crate::images::Image;
use crate::machine::Machine;
use crate::wait::wait_for;

/// What runs on a node outside of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The container runtime.
    Containerd,
    /// The node's Kubernetes.
    Kubelet,
}

impl Service {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
        }
    }
}

/// What a node is made of.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// Its name, which is its Node's.
    pub(crate) name: &'a str,
    /// Its network namespace, on the wire.
    pub(crate) netns: &'a str,
    /// Its addresses there.
    pub(crate) addresses: &'a [IpAddr],
    /// The cluster's name, which the names of its control groups begin with.
    pub(crate) cluster: &'a str,
    /// The cluster's files.
    pub(crate) directory: &'a Path,
}

/// A node whose machine runs, or can be started again.
#[derive(Debug)]
pub struct Node {
    name: String,
    group: String,
    cluster: PathBuf,
    netns: String,
    machine: Machine,
}

impl Node {
    /// Starts a machine with containerd on it, which has these images, and a kubelet that makes itself known to the API server.
    pub(crate) fn up(plan: &Plan<'_>, api: &ApiServer, images: &[PathBuf]) -> Result<Self, ClusterError> {
        let directory = plan.directory.join(plan.name);
        let group = group_of(plan.cluster, plan.name);
        cgroup::make(&group)?;
        let machine = Machine::boot(plan.name, plan.netns, plan.directory, &directory)?;
        containerd::configure(&directory)?;
        kubelet::configure(plan, &directory, &group, api)?;
        let node = Self {
            name: plan.name.to_owned(),
            group,
            cluster: plan.directory.to_owned(),
            netns: plan.netns.to_owned(),
            machine,
        };
        node.start(Service::Containerd)?;
        for image in images {
            node.run(&format!("ctr --namespace k8s.io images import {}", image.display()))?;
        }
        // containerd before 2.0 has this plugin set up the loopback device of every pod. A node has it from its packages.
        node.run("cp /usr/lib/cni/loopback /opt/cni/bin/")?;
        node.start(Service::Kubelet)?;
        Ok(node)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The machine it is on.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Runs a script of sh(1) on it.
    ///
    /// # Errors
    /// [`ClusterError::Failed`] with what it printed.
    pub fn run(&self, script: &str) -> Result<String, ClusterError> {
        self.machine.run(script)
    }

    /// Starts a service; containerd answers when this returns.
    ///
    /// # Errors
    /// [`ClusterError::InVain`] when containerd does not answer.
    pub fn start(&self, service: Service) -> Result<(), ClusterError> {
        let name = service.name();
        let directory = self.machine.directory();
        let (script, log) = (directory.join(name), directory.join(format!("{name}.log")));
        self.run(&format!("setsid {} >>{} 2>&1 </dev/null &", script.display(), log.display()))?;
        if service == Service::Containerd {
            let answers = || self.run("ctr version");
            wait_for(&format!("containerd of {}", self.name), answers)?;
        }
        Ok(())
    }

    /// Kills a service, with nothing else: containers live on. It is started again at once, as systemd would; containerd answers when
    /// this returns.
    ///
    /// # Errors
    /// When it does not run; [`ClusterError::InVain`] when it does not come back.
    pub fn restart(&self, service: Service) -> Result<(), ClusterError> {
        let name = service.name();
        let pid = || self.run(&format!("cat /run/{name}.pid"));
        let before = pid()?;
        self.run(&format!("kill -KILL {before}"))?;
        let again = || match pid()? {
            same if same == before => Err(ClusterError::Failed {
                command: name.to_owned(),
                status: "no new process".to_owned(),
                output: self.log(service, 5),
            }),
            _ if service == Service::Containerd => self.run("ctr version").map(drop),
            _ => Ok(()),
        };
        wait_for(&format!("{name} on {} again", self.name), again)
    }

    /// Pulls its plug and starts it again: every process of the node ends, its files stay but for `/run`, its network namespace
    /// stays with its wire, as a machine keeps its cable.
    ///
    /// # Errors
    /// What does not start.
    pub fn reboot(&mut self) -> Result<(), ClusterError> {
        self.machine.power_off();
        cgroup::remove(&self.group)?;
        cgroup::make(&self.group)?;
        let directory = self.machine.directory().to_owned();
        self.machine = Machine::boot(&self.name, &self.netns, &self.cluster, &directory)?;
        self.start(Service::Containerd)?;
        self.start(Service::Kubelet)
    }

    /// The end of what a service has printed.
    pub fn log(&self, service: Service, lines: usize) -> String {
        let file = self.machine.directory().join(format!("{}.log", service.name()));
        let text = fs::read(file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Whether it has an image.
    ///
    /// # Errors
    /// When containerd does not answer.
    pub fn has_image(&self, image: &Image) -> Result<bool, ClusterError> {
        let listed = self.run("ctr --namespace k8s.io images list --quiet")?;
        Ok(listed.lines().any(|line| line == image.name))
    }
}

/// The control group of a node.
pub(crate) fn group_of(cluster: &str, node: &str) -> String {
    format!("sluice-{cluster}-{node}")
}

/// Writes the script that runs a service, again whenever it ends, and leaves its process id where [`Node::restart`] finds it.
fn script(directory: &Path, service: Service, command: &[String]) -> Result<(), ClusterError> {
    let name = service.name();
    let path = directory.join(name);
    let once = format!("echo $$ >/run/{name}.pid; exec {}", command.join(" "));
    let text = format!("#!/bin/sh\nwhile :; do\n    sh -c '{once}'\n    sleep 1\ndone\n");
    fs::write(&path, text).map_err(ClusterError::file("write", &path))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(ClusterError::file("write", &path))
}

/// A program that `setup/cluster` builds.
fn program(name: &'static str, variable: &'static str) -> Result<String, ClusterError> {
    Ok(built(name, variable)?.to_string_lossy().into_owned())
}
