//! A lab for the time of a measurement, taken down whatever happens.

use std::path::Path;

use anyhow::{Context, Result};
use sluice_host::Netns;
use sluice_lab::{AgentSettings, Binaries, LabName, Record, Stop, UpOptions};

use crate::args::{LabArgs, PathKind};
use crate::machine::Machine;
use crate::measure::Bench;
use crate::metrics;
use crate::peers::{self, Cores};
use crate::report::AgentReport;

/// Everything a measurement makes bears this lab's name and goes with this value: at the end, on failure, on Ctrl-C
/// and when something panics.
#[derive(Debug)]
pub(crate) struct Session {
    name: LabName,
}

impl Session {
    /// Begins by removing what an earlier run of this name left.
    pub(crate) fn open(name: &LabName) -> Result<Self> {
        sluice_lab::down(name)?;
        Ok(Self { name: name.clone() })
    }

    /// What the names of all that is made here begin with.
    pub(crate) fn name(&self) -> &LabName {
        &self.name
    }

    /// Brings the lab up, or to what its manifests say now, and tells what it consists of.
    pub(crate) fn raise_lab(&self, manifests: &Path, args: &LabArgs, machine: &Machine, stop: &Stop) -> Result<Record> {
        self.raise(manifests, args, machine, stop, None)
    }

    /// The same with a wire between the nodes; Services are in these ranges. Settings of `args` go before.
    pub(crate) fn raise_cluster(
        &self,
        manifests: &Path,
        service_ranges: &[&str],
        args: &LabArgs,
        machine: &Machine,
        stop: &Stop,
    ) -> Result<Record> {
        self.raise(manifests, args, machine, stop, Some(service_ranges))
    }

    fn raise(
        &self,
        manifests: &Path,
        args: &LabArgs,
        machine: &Machine,
        stop: &Stop,
        service_ranges: Option<&[&str]>,
    ) -> Result<Record> {
        let mut agent = AgentSettings { cores: vec![machine.switch_core], ..AgentSettings::default() };
        if let Some(ranges) = service_ranges {
            agent.set.insert("services.cidrs".to_owned(), serde_json::json!(ranges));
        }
        for setting in &args.set {
            agent.set(setting)?;
        }
        let options = UpOptions {
            underlay: service_ranges.is_some(),
            name: self.name.clone(),
            manifests: manifests.to_owned(),
            binaries: Binaries::find()?,
            agent,
            stop: stop.clone(),
        };
        sluice_lab::up(&options, &mut |change| eprintln!("{change}"))?;
        Ok(sluice_lab::record(&self.name)?)
    }

    /// Makes the paths and waits until they carry packets; that of the switch is in the lab.
    pub(crate) fn paths(
        &self,
        kinds: &[PathKind],
        lab: Option<&Record>,
        machine: &Machine,
        bench: &Bench,
    ) -> Result<Vec<peers::Path>> {
        let make = |kind: &PathKind| {
            let cores = Cores::of(*kind, machine.load_core, machine.switch_core);
            let path = self.path(*kind, lab, cores).with_context(|| format!("cannot make path {}", kind.name()))?;
            bench.await_path(&path)?;
            Ok(path)
        };
        kinds.iter().map(make).collect()
    }

    fn path(&self, kind: PathKind, lab: Option<&Record>, cores: Cores) -> Result<peers::Path> {
        match kind {
            PathKind::Direct | PathKind::DirectTwoCores => peers::direct::make(&self.name, kind, cores),
            PathKind::Bridge => peers::bridge::make(&self.name, cores),
            PathKind::Vxlan => peers::vxlan::make(&self.name, cores),
            PathKind::Nftables | PathKind::OpenVSwitch | PathKind::Redirect => {
                anyhow::bail!("only scenarios bring it up: see `sluice-perf list`")
            }
            PathKind::Sluice => peers::sluice::of(lab.context("the switch needs the lab to be up")?, cores),
        }
    }

    /// The status document of a node's agent.
    pub(crate) fn agent_status(&self, node: &str) -> Result<serde_json::Value> {
        Ok(sluice_lab::agent_status(&self.name, node)?)
    }

    /// What the agent that serves the lab's pods says of itself.
    pub(crate) fn agent_report(&self, lab: &Record) -> Result<AgentReport> {
        let node = lab.pods.values().next().map(|pod| pod.node.as_str()).unwrap_or_default();
        let netns = Netns::open_named(&lab.node(&self.name, node)?.netns)?;
        let kernel_losses = metrics::kernel_losses(&netns)?;
        Ok(AgentReport { status: sluice_lab::agent_status(&self.name, node)?, kernel_losses })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        match sluice_lab::down(&self.name) {
            Ok(_) => eprintln!("lab {} is down", self.name),
            Err(error) => eprintln!("sluice-perf: lab {} is not wholly down: {error}", self.name),
        }
    }
}
