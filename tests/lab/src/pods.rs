//! Making and removing what plays a pod.

use std::time::{SystemTime, UNIX_EPOCH};

use sluice_host::{Netlink, Netns};

use crate::cni::{INTERFACE, Plugin};
use crate::error::LabError;
use crate::inhabitants;
use crate::nodes::{delete_netns, loopback_up, open_or_create};
use crate::process::end_all;
use crate::record::PodRecord;
use crate::topology::Pod;
use crate::up::{Change, Running};

/// Brings one pod to where the manifests want it: a namespace, attached.
pub(crate) fn raise(running: &mut Running<'_>, key: &str, pod: &Pod) -> Result<(), LabError> {
    if let Some(known) = running.record.pods.get(key).cloned() {
        if known.attached.is_some() && has_interface(&known)? {
            return Ok(());
        }
        // Half made by an `up` that did not end, or its device has gone: from the beginning.
        detach(running, &known)?;
    }
    let mut record = new_record(pod);
    running.record.pods.insert(key.to_owned(), record.clone());
    running.save()?;

    let netns = open_or_create(&pod.netns)?;
    loopback_up(&mut Netlink::open_in(&netns)?)?;
    let node_netns = node_netns(running, &pod.node)?;
    let attachment = plugin(running, &node_netns).add(&record)?;
    record.attached = Some(attachment.clone());
    running.record.pods.insert(key.to_owned(), record);
    running.save()?;
    running.report(Change::PodAttached { pod: key.to_owned(), attachment });
    Ok(())
}

/// Detaches one pod and removes everything of it.
pub(crate) fn remove(running: &mut Running<'_>, key: &str) -> Result<(), LabError> {
    let Some(pod) = running.record.pods.get(key).cloned() else { return Ok(()) };
    detach(running, &pod)?;
    let left = end_all(&inhabitants::of(std::slice::from_ref(&pod.netns)));
    if !left.is_empty() {
        let pids = left.iter().map(|process| process.pid).collect();
        return Err(LabError::Immortal { name: running.options.name.to_string(), pids });
    }
    delete_netns(&pod.netns)?;
    running.record.pods.remove(key);
    running.save()?;
    running.report(Change::PodRemoved { pod: key.to_owned() });
    Ok(())
}

/// Calls DEL, which the plugin answers with success even while the agent is away.
fn detach(running: &Running<'_>, pod: &PodRecord) -> Result<(), LabError> {
    match node_netns(running, &pod.node) {
        Ok(node_netns) => plugin(running, &node_netns).del(pod),
        // Without the node's namespace there is no device and no agent either.
        Err(LabError::Host(error)) if error.is_absent() => Ok(()),
        Err(error) => Err(error),
    }
}

fn plugin<'a>(running: &'a Running<'_>, node_netns: &'a Netns) -> Plugin<'a> {
    Plugin { program: &running.options.binaries.sluice_cni, node_netns, layout: running.layout }
}

fn node_netns(running: &Running<'_>, node: &str) -> Result<Netns, LabError> {
    let netns = running.options.name.node_netns(node);
    Ok(Netns::open_named(&netns)?)
}

fn has_interface(pod: &PodRecord) -> Result<bool, LabError> {
    match Netns::open_named(&pod.netns) {
        Ok(netns) => Ok(Netlink::open_in(&netns)?.find_link(INTERFACE)?.is_some()),
        Err(error) if error.is_absent() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A container of its own for every attachment, as a runtime makes one: an id is never used again.
fn new_record(pod: &Pod) -> PodRecord {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    PodRecord {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        node: pod.node.clone(),
        netns: pod.netns.clone(),
        container_id: format!("{}-{nanos:x}", pod.netns),
        attached: None,
    }
}
