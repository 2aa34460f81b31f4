//! Two pods of a lab, with the switch between them.

use anyhow::{Context, Result, bail};
use sluice_host::Netns;
use sluice_lab::{PodAttachment, PodRecord, Record};

use super::{Cores, INTERFACE, Path};
use crate::args::PathKind;

/// The path between the lab's first two pods that are on one node.
pub(crate) fn of(record: &Record, cores: Cores) -> Result<Path> {
    let pods: Vec<&PodRecord> = record.pods.values().collect();
    let pair = pods.iter().enumerate().find_map(|(i, client)| {
        pods[i + 1..].iter().find(|server| server.node == client.node).map(|server| (*client, *server))
    });
    let Some((client, server)) = pair else { bail!("the manifests have no two pods on one node") };
    between(client, server, cores)
}

/// The path between two pods of a lab, wherever they are.
pub(crate) fn between(client: &PodRecord, server: &PodRecord, cores: Cores) -> Result<Path> {
    let attachment = attachment(server)?;
    let address = |v4: bool| attachment.addresses.iter().find(|address| address.is_ipv4() == v4).copied();
    let no_address = || format!("pod {} has not both an IPv4 and an IPv6 address", server.name);
    Ok(Path {
        kind: PathKind::Sluice,
        cores,
        client: Netns::open_named(&client.netns)?,
        server: Netns::open_named(&server.netns)?,
        interface: INTERFACE,
        server_v4: address(true).with_context(no_address)?,
        server_v6: address(false).with_context(no_address)?,
    })
}

/// What the plugin answered for a pod.
pub(crate) fn attachment(pod: &PodRecord) -> Result<&PodAttachment> {
    pod.attached.as_ref().with_context(|| format!("pod {} is not attached", pod.name))
}
