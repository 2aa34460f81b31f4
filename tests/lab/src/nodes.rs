//! Making and removing what plays a node.

use std::fs;
use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;
use sluice_host::{AddressSpec, LinkChange, Netlink, Netns, sysctl};

use crate::agent::{self, Readiness, Watched};
use crate::error::LabError;
use crate::inhabitants;
use crate::process::{ProcessId, end_all};
use crate::record::NodeRecord;
use crate::topology::Node;
use crate::underlay::UPLINK;
use crate::up::{Change, Running};

/// Brings one node to where the manifests want it, its agent running and ready.
pub(crate) fn raise(running: &mut Running<'_>, name: &str, node: &Node) -> Result<(), LabError> {
    let known = running.record.nodes.get(name);
    let agent = known.and_then(|node| node.agent).filter(|agent| agent.is_running());
    let before: Vec<IpAddr> = known.map(|node| node.addresses.clone()).unwrap_or_default();
    let surplus: Vec<IpAddr> = before.into_iter().filter(|address| !node.addresses.contains(address)).collect();
    let record = NodeRecord { netns: node.netns.clone(), addresses: node.addresses.clone(), agent };
    running.record.nodes.insert(name.to_owned(), record);
    running.save()?;

    let netns = open_or_create(&node.netns)?;
    match &running.record.underlay {
        Some(underlay) => {
            underlay.join(name, &netns, &node.addresses)?;
            underlay.take(&netns, &surplus)?;
        }
        None => furnish(&netns, &node.addresses, &surplus)?,
    }
    let layout = running.layout;
    let mut settings = running.options.agent.clone();
    if running.record.underlay.is_some() {
        settings.set.entry("uplink.device".to_owned()).or_insert_with(|| UPLINK.into());
    }
    let objects = match &running.record.underlay {
        Some(_) => layout.objects(),
        None => running.record.manifests.clone(),
    };
    let changed = agent::configure(&settings, layout, name, &objects)?;
    if let Some(agent) = agent {
        let watched = Watched::Earlier(agent);
        if !changed && matches!(agent::wait_ready(layout, name, watched, &running.options.stop)?, Readiness::Ready) {
            return Ok(());
        }
        end(running, &[agent])?;
    }
    start_agent(running, name, &netns, agent.is_some() && changed)
}

/// Starts a node's agent and waits until it is ready.
fn start_agent(running: &mut Running<'_>, name: &str, netns: &Netns, again: bool) -> Result<(), LabError> {
    let layout = running.layout;
    // One that an `up` started and was killed before it could take note of it.
    end(running, &agent::unrecorded(layout, name, &running.options.name.node_netns(name)))?;
    let start = Instant::now();
    let mut child = agent::start(&running.options.binaries.sluiced, layout, name, netns)?;
    if let Some(node) = running.record.nodes.get_mut(name) {
        node.agent = ProcessId::of(child.id());
    }
    running.save()?;
    let readiness = agent::wait_ready(layout, name, Watched::Child(&mut child), &running.options.stop)?;
    if let Readiness::Ended(Some(status)) = readiness {
        return Err(LabError::AgentEnded { node: name.to_owned(), status, tail: agent::log_tail(layout, name) });
    }
    let millis = start.elapsed().as_secs_f64() * 1000.0;
    running.report(Change::AgentStarted { node: name.to_owned(), again, millis });
    Ok(())
}

/// Removes one node and everything of it.
pub(crate) fn remove(running: &mut Running<'_>, name: &str) -> Result<(), LabError> {
    let Some(node) = running.record.nodes.get(name).cloned() else { return Ok(()) };
    let mut processes: Vec<ProcessId> = node.agent.into_iter().collect();
    processes.extend(inhabitants::of(std::slice::from_ref(&node.netns)));
    end(running, &processes)?;
    delete_netns(&node.netns)?;
    let directory = running.layout.node(name);
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(LabError::file("remove", directory)(error));
        }
        _ => {}
    }
    running.record.nodes.remove(name);
    running.save()?;
    running.report(Change::NodeRemoved { node: name.to_owned() });
    Ok(())
}

fn end(running: &Running<'_>, processes: &[ProcessId]) -> Result<(), LabError> {
    let left = end_all(processes);
    if left.is_empty() {
        return Ok(());
    }
    let pids = left.iter().map(|process| process.pid).collect();
    Err(LabError::Immortal { name: running.options.name.to_string(), pids })
}

/// Opens a namespace, making it when it is missing and anew when a crash left only its file.
pub(crate) fn open_or_create(name: &str) -> Result<Netns, LabError> {
    match Netns::open_named(name) {
        Ok(netns) => Ok(netns),
        Err(error) if error.is_absent() => Ok(Netns::create(name)?),
        Err(error) if *error.kind() == sluice_host::ErrorKind::NotANamespace => {
            Netns::delete(name)?;
            Ok(Netns::create(name)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Deletes a namespace's name; it being gone is what is wanted.
pub(crate) fn delete_netns(name: &str) -> Result<(), LabError> {
    match Netns::delete(name) {
        Err(error) if !error.is_absent() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Gives a node its loopback, its addresses (less those it had before) and a router's settings.
fn furnish(netns: &Netns, addresses: &[IpAddr], surplus: &[IpAddr]) -> Result<(), LabError> {
    let mut netlink = Netlink::open_in(netns)?;
    let lo = loopback_up(&mut netlink)?;
    for address in addresses {
        // A node has no uplink here, and loopback is the device that is always there to hold its address.
        match netlink.add_address(lo, &AddressSpec::new(IpNet::from(*address))) {
            Err(error) if !error.is_taken() => return Err(error.into()),
            _ => {}
        }
    }
    for address in surplus {
        match netlink.delete_address(lo, IpNet::from(*address)) {
            Err(error) if !error.is_absent() => return Err(error.into()),
            _ => {}
        }
    }
    let forwarding = [("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")];
    Ok(sysctl::set_in(netns, &forwarding)?)
}

/// Sets a namespace's loopback up.
pub(crate) fn loopback_up(netlink: &mut Netlink) -> Result<sluice_host::LinkIndex, LabError> {
    let lo = netlink.link_by_name("lo")?.index;
    netlink.set_link(lo, &LinkChange::up())?;
    Ok(lo)
}
