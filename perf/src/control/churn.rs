//! One change, one generation, again and again.

use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use sluice_model::Object;

use super::cluster::Cluster;
use super::road::Road;

/// What changes.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Change {
    /// An endpoint is ready or not any more.
    Endpoint,
    /// A pod of another node has another address.
    Pod,
    /// A policy opens another port.
    Policy,
    /// Another node has another address.
    Node,
}

/// How long a change took, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Timed {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
    pub(super) changes: usize,
}

impl Change {
    pub(super) const ALL: [Change; 4] = [Change::Endpoint, Change::Pod, Change::Policy, Change::Node];

    /// What a reader calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Change::Endpoint => "one endpoint changed",
            Change::Pod => "one pod of another node changed",
            Change::Policy => "one policy changed",
            Change::Node => "one other node changed",
        }
    }

    /// The changed object; each `turn` another one, and every object in turn.
    fn object(self, cluster: &Cluster, turn: usize) -> Object {
        let size = cluster.size;
        // Prime, so that all are met in an order that has nothing of theirs.
        let step = turn * 7919;
        match self {
            Change::Endpoint => {
                // Every tenth is of a large Service, as the more endpoints one has the more it changes.
                let service = if turn.is_multiple_of(10) { step % size.large_services } else { step % size.services };
                let part = turn % cluster.slices_of(service);
                let unready = (turn / size.services).is_multiple_of(2).then_some(turn % 5);
                Object::EndpointSlice(cluster.slice(service, part, unready))
            }
            Change::Pod => Object::Pod(cluster.pod(step % size.pods, turn / size.pods + 1)),
            Change::Policy => cluster.policy(step % size.policies, turn + 1),
            Change::Node => Object::Node(cluster.node(1 + step % (size.nodes - 1), turn / (size.nodes - 1) + 1)),
        }
    }
}

/// So many changes, each with a generation of its own.
pub(super) fn measure(cluster: &Cluster, road: &mut Road, change: Change, changes: usize) -> Result<Timed> {
    let mut millis = Vec::with_capacity(changes);
    for turn in 0..changes {
        let object = change.object(cluster, turn);
        let start = Instant::now();
        road.apply(object);
        road.publish()?;
        millis.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    millis.sort_by(f64::total_cmp);
    let at =
        |share: f64| millis.get(((millis.len() as f64 * share) as usize).min(millis.len().saturating_sub(1))).copied();
    let [p50, p99, max] = [at(0.5), at(0.99), at(1.0)].map(|value| value.context("no change was asked for"));
    Ok(Timed { p50: p50?, p99: p99?, max: max?, changes })
}

/// So many changes more, most of them of endpoints, to see whether anything grows.
pub(super) fn go_on(cluster: &Cluster, road: &mut Road, changes: usize) -> Result<()> {
    for turn in 0..changes {
        let change = match turn % 20 {
            0 => Change::Pod,
            1 => Change::Policy,
            2 => Change::Node,
            _ => Change::Endpoint,
        };
        road.apply(change.object(cluster, turn + changes));
        road.publish()?;
    }
    Ok(())
}
