//! Puts plugin and network list on the node, as soon as a pod could be attached.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sluice_cni_protocol::installation::PLUGIN;
use tokio::time::sleep;
use tracing::{error, info};

use crate::agent::Agent;
use crate::config::Cni;

/// Time between two looks whether the agent is ready.
const LOOK: Duration = Duration::from_millis(100);
/// Time until the next try after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// Installs once, when everything is ready; until the task is dropped. What is taken away later is not put back by this process:
/// an operator may have done so for good. And it is left at a stop, for an upgrade is one: STATUS tells the runtime meanwhile.
pub(crate) async fn when_ready(agent: Arc<Agent>) {
    let Some(cni) = agent.config.cni.clone() else { return };
    loop {
        while !agent.readiness.reasons().is_empty() {
            sleep(LOOK).await;
        }
        let (agent, cni) = (Arc::clone(&agent), cni.clone());
        match tokio::task::spawn_blocking(move || install(&agent, &cni)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error!(error = format!("{error:#}"), "the plugin cannot be installed for the runtime"),
            // A panic has been logged.
            Err(_) => return,
        }
        sleep(RETRY).await;
    }
}

fn install(agent: &Agent, cni: &Cni) -> anyhow::Result<()> {
    let Some(list) = agent.config.network_list() else { return Ok(()) };
    let plugin = match &cni.plugin {
        Some(plugin) => plugin.clone(),
        None => beside_this_program()?,
    };
    let written = cni.installation.install(&plugin, &list)?;
    let (conf_dir, bin_dir) = (cni.installation.conf_dir.display(), cni.installation.bin_dir.display());
    info!(%conf_dir, %bin_dir, written, "plugin and network list are in place for the runtime");
    Ok(())
}

fn beside_this_program() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("finding the plugin beside sluiced; set cni.plugin")?;
    Ok(this.with_file_name(PLUGIN))
}
