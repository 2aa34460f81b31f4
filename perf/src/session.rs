//! A lab for the time of a measurement, taken down whatever happens.

use anyhow::{Context, Result};
use sluice_host::Netns;
use sluice_lab::{AgentSettings, Binaries, LabName, Record, Stop, UpOptions};

use crate::args::{LabArgs, PathKind};
use crate::machine::Machine;
use crate::metrics;
use crate::peers::{self, Path};
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

    /// Brings the lab up and tells what it consists of.
    pub(crate) fn raise_lab(&self, args: &LabArgs, machine: &Machine, stop: &Stop) -> Result<Record> {
        let mut agent = AgentSettings { cores: vec![machine.switch_core], ..AgentSettings::default() };
        for setting in &args.set {
            agent.set(setting)?;
        }
        let options = UpOptions {
            name: self.name.clone(),
            manifests: args.manifests.clone(),
            binaries: Binaries::find()?,
            agent,
            stop: stop.clone(),
        };
        sluice_lab::up(&options, &mut |change| eprintln!("{change}"))?;
        Ok(sluice_lab::record(&self.name)?)
    }

    /// Makes one of the paths; that of the switch is in the lab.
    pub(crate) fn path(&self, kind: PathKind, lab: Option<&Record>) -> Result<Path> {
        match kind {
            PathKind::Direct => peers::direct::make(&self.name).context("cannot make the direct pair"),
            PathKind::Bridge => peers::bridge::make(&self.name).context("cannot make the bridge"),
            PathKind::Sluice => peers::sluice::of(lab.context("the switch needs the lab to be up")?),
        }
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
