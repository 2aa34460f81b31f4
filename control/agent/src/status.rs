//! The status document: what the agent is doing, for `GET /status` and the command line.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Value, json};
use sluice_model::PodName;
use sluice_path::{Counts, DropReason};
use sluice_tables::{PortId, WorkerId};
use sluice_worker::PortSnapshot;
use sluice_xsk::umem::Census;

use crate::agent::Agent;
use crate::bandwidth;
use crate::config::Source;
use crate::generations::{Latencies, Load, MANY_LABELS, ObjectCounts, Standing, Step, Steps};
use crate::host_port::SWITCH_END;
use crate::last_good::timestamp;
use crate::ledger::{HOST_PORT, Phase};
use crate::state::StoredAttachment;
use crate::uplink::Uplink;

/// Everything an operator asks first, as JSON. Numbers are as of now; no two are of the same instant.
pub(crate) fn document(agent: &Agent) -> Value {
    let reasons = agent.readiness.reasons();
    let dataplane = &agent.dataplane;
    let load = agent.generations.load();
    let features: BTreeMap<_, _> = dataplane.features().list().into_iter().collect();
    json!({
        "node": agent.config.node_name.as_str(),
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptimeSeconds": agent.started.elapsed().as_secs(),
        "ready": reasons.is_empty(),
        "notReadyBecause": reasons,
        "generation": dataplane.generation(),
        "generationRefused": agent.generations.refused(),
        "objectsInForce": standing(agent),
        "objectsOnDisk": agent.last_good.failure(),
        "addressesExhausted": agent.ledger.exhausted().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "addressesOutside": outside(agent),
        "addressesGivenEarly": agent.ledger.early(),
        "podMtu": agent.shape.path_mtu,
        "superFrames": agent.shape.super_frames,
        "xdpMode": dataplane.mode(),
        "features": features,
        "hugePages": dataplane.in_huge_pages(),
        "frames": frames(agent),
        "podCIDRs": pod_cidrs(agent),
        "uplink": uplink(agent),
        "detours": detours(agent),
        "objects": objects(agent),
        "policies": policies(agent, &load),
        "labels": labels(&load),
        "publication": publication(agent),
        "clock": clock(agent),
        "watches": watches(agent),
        "reports": reports(agent),
        "connections": connections(agent),
        "path": path(agent),
        "hostPort": { "port": HOST_PORT.0, "mac": agent.host_port.mac.to_string() },
        "attachments": attachments(agent, &load),
        "ports": ports(agent),
        "workers": workers(agent),
        "drops": drops(agent),
        "faults": agent.faults.list(),
    })
}

/// `null` without one. `taken` and the like are what the XDP program counted on it.
fn uplink(agent: &Agent) -> Value {
    let Some(uplink) = &agent.uplink else { return Value::Null };
    let network = &agent.config.network;
    let mut fields: serde_json::Map<String, Value> =
        uplink.counters().into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
    fields.insert("device".into(), uplink.name.as_str().into());
    fields.insert("encapsulation".into(), json!(network.encapsulation));
    if network.is_tunnelled() {
        fields.insert("vni".into(), network.vni.into());
        fields.insert("tunnelPort".into(), network.tunnel_port.into());
    }
    fields.into()
}

/// What the programs around the node's own stack do: `failure` is why they do not lead all that the tables say.
fn detours(agent: &Agent) -> Value {
    let flows: serde_json::Map<String, Value> =
        agent.detour.flows().into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
    json!({ "answersReturn": agent.detour.answers_return(), "failure": agent.detour.failure(), "flows": flows })
}

fn objects(agent: &Agent) -> Value {
    let ObjectCounts { services, peers, policies } = agent.generations.counts();
    json!({ "servicePorts": services, "peers": peers, "networkPolicies": policies })
}

/// How many there are, and how much of them a pod here has at most.
fn policies(agent: &Agent, load: &Load) -> Value {
    let most = load.most_selected();
    json!({
        "inForce": agent.generations.counts().policies,
        "podsSelected": load.selected.len(),
        "mostOnOnePod": most.map_or(0, |(_, selected)| selected.policies),
        "rulesOfThese": most.map_or(0, |(_, selected)| selected.rules),
        "pod": most.map(|(pod, _)| pod.to_string()),
    })
}

/// Pods of the cluster with so many labels that each change of them, and each selector, costs.
fn labels(load: &Load) -> Value {
    let most = load.most_labels.as_ref();
    json!({
        "limit": MANY_LABELS,
        "podsWithMore": load.with_many_labels,
        "most": most.map_or(0, |(_, labels)| *labels),
        "pod": most.map(|(pod, _)| pod.to_string()),
    })
}

/// What the wall clock did, and what other clocks said.
fn clock(agent: &Agent) -> Value {
    let Steps { count, latest } = agent.generations.clock_steps();
    let latest = latest.map(|Step { seen, seconds }| format!("{}: {seconds:+} s", timestamp(seen)));
    json!({
        "steps": count,
        "latestStep": latest,
        "changesFromTheFuture": agent.generations.latencies().ahead,
    })
}

/// Where the objects in force come from, in words.
fn standing(agent: &Agent) -> String {
    let (all, waiting) = match &agent.config.source {
        Source::Directory(_) => ("all manifests", "waiting for the manifests"),
        Source::Kubernetes(_) => ("all that the API server tells", "waiting for the API server"),
    };
    match agent.generations.standing() {
        Standing::Current => all.to_owned(),
        Standing::LastGood(written) => {
            format!("serving the last good objects of {}; {waiting}", timestamp(written))
        }
        Standing::Withheld(since) => format!(
            "serving the objects of {}, when Node {} went; nothing is taken away or over until it is there again: put the store \
             back, or have the Node registered (restart kubelet)",
            timestamp(since),
            agent.config.node_name
        ),
        Standing::Unknown => format!("none; {waiting}"),
    }
}

/// Pods that keep addresses which the node's podCIDRs do not have any more.
fn outside(agent: &Agent) -> Vec<String> {
    agent.ledger.outside().into_iter().map(|(address, pod)| format!("{address} ({pod})")).collect()
}

/// How long changes took until they were in force, in milliseconds.
fn publication(agent: &Agent) -> Value {
    let Latencies { publication, programming, .. } = agent.generations.latencies();
    let rounded = |ms: Option<f64>| ms.map(|ms| (ms * 1000.0).round() / 1000.0);
    json!({
        "changes": publication.count(),
        "fromArrivalP50Ms": rounded(publication.quantile_ms(0.5)),
        "fromArrivalP99Ms": rounded(publication.quantile_ms(0.99)),
        "endpointChanges": programming.count(),
        "fromTriggerP50Ms": rounded(programming.quantile_ms(0.5)),
        "fromTriggerP99Ms": rounded(programming.quantile_ms(0.99)),
    })
}

/// How the watches of the API fare; none with another source.
fn watches(agent: &Agent) -> Vec<Value> {
    let kinds = agent.api.get().map(|api| api.watches.kinds()).unwrap_or_default();
    let time = |time: SystemTime| timestamp(time).to_string();
    kinds
        .into_iter()
        .map(|kind| {
            let failure = kind.last_failure.map(|(failure, at)| format!("{}: {failure}", time(at)));
            json!({
                "kind": kind.kind.to_string(),
                "state": kind.state.to_string(),
                "since": time(kind.since),
                "objects": kind.objects,
                "faulty": kind.faulty,
                "resourceVersion": kind.resource_version,
                "heard": kind.heard.map(time),
                "lists": kind.lists,
                "events": kind.events,
                "failures": kind.failures,
                "lastFailure": failure,
            })
        })
        .collect()
}

/// What the API was told; `null` with another source.
fn reports(agent: &Agent) -> Value {
    let Some(api) = agent.api.get() else { return Value::Null };
    let status = api.reporter.status();
    json!({
        "nodeWritten": status.node_written.map(|time| timestamp(time).to_string()),
        "nodeFailure": status.node_failure,
        "eventsWritten": status.events_written,
        "eventsDropped": status.events_dropped,
        "eventFailure": status.event_failure,
    })
}

fn connections(agent: &Agent) -> Value {
    let (in_use, capacity) = agent.dataplane.connections();
    json!({ "inUse": in_use, "capacity": capacity })
}

/// What the paths of all workers counted, drops apart.
fn path(agent: &Agent) -> BTreeMap<&'static str, u64> {
    let workers = agent.dataplane.workers();
    let sum = |at: usize| workers.iter().map(|worker| worker.counts.values()[at]).sum();
    Counts::NAMES.iter().enumerate().map(|(at, name)| (*name, sum(at))).collect()
}

fn pod_cidrs(agent: &Agent) -> Vec<Value> {
    let usage = agent.ledger.usage();
    usage
        .iter()
        .map(|one| {
            // 2^64 addresses and more have no exact number in JSON.
            let [in_use, cooling, capacity] =
                [one.in_use, one.cooling, one.capacity].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
            json!({ "network": one.network, "inUse": in_use, "cooling": cooling, "capacity": capacity })
        })
        .collect()
}

fn attachments(agent: &Agent, load: &Load) -> Vec<Value> {
    let describe = |phase| match phase {
        Phase::Live => "live",
        Phase::Pending => "pending",
        Phase::Kept => "not served",
    };
    let selected = |stored: &StoredAttachment| {
        let pod = PodName::parse(&stored.pod_namespace, &stored.pod_name).ok();
        pod.and_then(|pod| load.selected.get(&pod).copied()).unwrap_or_default()
    };
    let all = agent.ledger.all();
    all.into_iter()
        .map(|(id, stored, phase)| {
            json!({
                "containerId": id.container_id,
                "ifname": id.ifname,
                "pod": format!("{}/{}", stored.pod_namespace, stored.pod_name),
                "netns": stored.netns,
                "addresses": stored.addresses,
                "mac": sluice_wire::MacAddr(stored.mac).to_string(),
                "hostVeth": stored.host_veth,
                "port": stored.port,
                "phase": describe(phase),
                "bandwidth": bandwidth::described(stored.requested.bandwidth),
                "policies": selected(&stored).policies,
                "rules": selected(&stored).rules,
            })
        })
        .collect()
}

/// Every port that the switch has, with every counter of it.
fn ports(agent: &Agent) -> Vec<Value> {
    let attachments = agent.ledger.all();
    let pods: BTreeMap<u16, _> = attachments.iter().map(|(_, stored, _)| (stored.port, stored)).collect();
    let all = agent.dataplane.ports();
    all.iter()
        .map(|(id, counters)| {
            let (uplink, pod) = (agent.uplink.as_ref(), pods.get(&id.0).copied());
            port(*id, uplink, pod, agent.dataplane.worker_for(*id), counters)
        })
        .collect()
}

/// `pod` is `None` for the host port, for the uplink, and for a port whose pod is just being forgotten.
fn port(
    id: PortId,
    uplink: Option<&Uplink>,
    pod: Option<&StoredAttachment>,
    worker: WorkerId,
    counters: &PortSnapshot,
) -> Value {
    let counters: BTreeMap<_, _> = counters.list().into_iter().collect();
    let (kind, device) = match uplink {
        _ if id == HOST_PORT => ("host", Some(SWITCH_END)),
        Some(uplink) if uplink.has_port(id) => ("uplink", Some(uplink.name.as_str())),
        _ => ("pod", None),
    };
    json!({
        "id": id.0,
        "kind": kind,
        "pod": pod.map(|stored| format!("{}/{}", stored.pod_namespace, stored.pod_name)),
        "device": device.or(pod.map(|stored| stored.host_veth.as_str())),
        "worker": worker.0,
        "counters": counters,
    })
}

/// `free` may be taken by ports, `kernel` are on ports' rings, `user` in workers' pools and bursts.
fn frames(agent: &Agent) -> Value {
    let Census { depot, kernel, user } = agent.dataplane.frames();
    json!({ "total": agent.dataplane.occupancy().total, "free": depot, "kernel": kernel, "user": user })
}

fn workers(agent: &Agent) -> Vec<Value> {
    let all = agent.dataplane.workers();
    all.iter()
        .map(|one| {
            let looped: BTreeMap<_, _> = one.looped.list().into_iter().collect();
            json!({ "core": one.core, "generation": one.generation, "loop": looped })
        })
        .collect()
}

/// Drops by reason over all workers, only those that there were.
fn drops(agent: &Agent) -> BTreeMap<&'static str, u64> {
    let workers = agent.dataplane.workers();
    let dropped = |reason: DropReason| workers.iter().map(|w| w.counts.dropped(reason)).sum();
    DropReason::ALL.iter().map(|reason| (reason.name(), dropped(*reason))).filter(|(_, n): &(_, u64)| *n > 0).collect()
}
