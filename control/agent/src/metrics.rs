//! Prometheus metrics: a reading of all counters, encoded.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use sluice_path::{Counts, DropReason};
use sluice_source::kube::{KindState, KindStatus};
use sluice_worker::{PortSnapshot, WorkerSnapshot};

use crate::agent::Agent;
use crate::generations::{Latencies, Standing};
use crate::histogram::Snapshot;
use crate::ledger::{HOST_PORT, Phase};
use crate::uplink::Uplink;

/// The content type of [`text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Of a worker's and a port's counters, those that go up and down.
const GAUGES: [&str; 4] = ["pool_frames", "frames_held", "parked", "longest_pause_us"];

/// Everything that is exported, read at one time.
#[derive(Debug)]
struct Reading {
    ready: bool,
    generation: u64,
    workers: Vec<WorkerSnapshot>,
    ports: Vec<(PortLabels, PortSnapshot)>,
    attachments: [(&'static str, usize); 3],
    features: Vec<(&'static str, bool)>,
    frames: [(&'static str, usize); 3],
    addresses: Vec<(String, [(&'static str, f64); 3])>,
    connections: (u32, u32),
    objects: [(&'static str, usize); 3],
    /// Whether the objects in force are all that the source tells.
    current: bool,
    latencies: Latencies,
    /// Families without a free address.
    exhausted: usize,
    /// Addresses given before they had cooled off.
    early: u64,
    /// Times that the wall clock was set.
    clock_steps: u64,
    /// How the API's watches fare: kind, whether it follows, objects, failures.
    watches: Vec<(String, bool, usize, u64)>,
    /// What the uplink's program counted.
    uplink: Vec<(&'static str, u64)>,
    /// What became of flows with endpoints that are the node.
    flows: Vec<(&'static str, u64)>,
}

/// Who a port belongs to.
#[derive(Debug)]
struct PortLabels {
    port: u16,
    namespace: String,
    pod: String,
}

/// The metrics in the OpenMetrics text format.
pub(crate) fn text(agent: Arc<Agent>) -> Result<String, fmt::Error> {
    render(read(&agent))
}

fn render(reading: Reading) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("sluice");
    registry.register_collector(Box::new(reading));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn read(agent: &Agent) -> Reading {
    let all = agent.ledger.all();
    let labels = |port: u16| {
        let pod = all.iter().find(|(_, stored, _)| stored.port == port);
        let (namespace, pod) =
            pod.map_or_else(Default::default, |(_, stored, _)| (stored.pod_namespace.clone(), stored.pod_name.clone()));
        PortLabels { port, namespace, pod: if port == HOST_PORT.0 { "host".to_owned() } else { pod } }
    };
    let count = |wanted| all.iter().filter(|(_, _, phase)| *phase == wanted).count();
    let frames = agent.dataplane.frames();
    let objects = agent.generations.counts();
    let addresses = |usage: &crate::ipam::Usage| {
        let states = [("in_use", usage.in_use), ("cooling", usage.cooling), ("capacity", usage.capacity)];
        (usage.network.to_string(), states.map(|(state, n)| (state, n as f64)))
    };
    Reading {
        ready: agent.readiness.reasons().is_empty(),
        generation: agent.dataplane.generation(),
        workers: agent.dataplane.workers(),
        ports: agent.dataplane.ports().into_iter().map(|(port, counters)| (labels(port.0), counters)).collect(),
        attachments: [
            ("live", count(Phase::Live)),
            ("pending", count(Phase::Pending)),
            ("not_served", count(Phase::Kept)),
        ],
        features: agent.dataplane.features().list().to_vec(),
        frames: [("depot", frames.depot), ("kernel", frames.kernel), ("user", frames.user)],
        addresses: agent.ledger.usage().iter().map(addresses).collect(),
        connections: agent.dataplane.connections(),
        objects: [("service_ports", objects.services), ("peers", objects.peers), ("policies", objects.policies)],
        current: agent.generations.standing() == Standing::Current,
        latencies: agent.generations.latencies(),
        exhausted: agent.ledger.exhausted().len(),
        early: agent.ledger.early(),
        clock_steps: agent.generations.clock_steps().count,
        watches: watches(agent),
        uplink: agent.uplink.as_ref().map(Uplink::counters).unwrap_or_default(),
        flows: agent.detour.flows(),
    }
}

fn watches(agent: &Agent) -> Vec<(String, bool, usize, u64)> {
    let kinds = agent.api.get().map(|api| api.watches.kinds()).unwrap_or_default();
    let row =
        |kind: KindStatus| (kind.kind.to_string(), kind.state == KindState::Watching, kind.objects, kind.failures);
    kinds.into_iter().map(row).collect()
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_agent(&mut encoder)?;
        self.encode_objects(&mut encoder)?;
        self.encode_workers(&mut encoder)?;
        self.encode_ports(&mut encoder)
    }
}

type Labels = Vec<(&'static str, String)>;

impl Reading {
    fn encode_agent(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let one = |label: &'static str, value: &str| vec![(label, value.to_owned())];
        gauge(encoder, "ready", "Whether the agent is ready", f64::from(u8::from(self.ready)))?;
        gauge(encoder, "tables_generation", "Generation of the tables published last", self.generation as f64)?;
        let attachments = self.attachments.map(|(phase, n)| (one("phase", phase), n as f64));
        gauges(encoder, "attachments", "Attachments of pods", attachments)?;
        let features = self.features.iter().map(|(name, on)| (one("feature", name), f64::from(u8::from(*on))));
        gauges(encoder, "feature", "Whether a feature of the kernel is in use", features)?;
        let frames = self.frames.map(|(place, n)| (one("where", place), n as f64));
        gauges(encoder, "frames", "Frames of the packet memory by where they are", frames)?;
        let addresses = self.addresses.iter().flat_map(|(network, states)| {
            states.map(|(state, n)| (vec![("network", network.clone()), ("state", state.to_owned())], n))
        });
        gauges(encoder, "pod_addresses", "Pod addresses of the node", addresses)?;
        let (in_use, capacity) = self.connections;
        gauge(encoder, "connections", "Connections in the table", f64::from(in_use))?;
        gauge(encoder, "connections_capacity", "Connections that the table has room for", f64::from(capacity))?;
        gauge(
            encoder,
            "pod_address_families_exhausted",
            "Families in which no pod address is free, so that no further pod is attached",
            self.exhausted as f64,
        )?;
        counter(
            encoder,
            "pod_addresses_given_early",
            "Pod addresses given before they had cooled off, for want of others",
            self.early,
        )?;
        counter(encoder, "clock_steps", "Times that the wall clock was seen to be set", self.clock_steps)?;
        let uplink = self.uplink.iter().map(|(kind, n)| (one("kind", kind), *n));
        counters(encoder, "uplink", "Packets that came in by the uplink, by what became of them", uplink)?;
        let flows = self.flows.iter().map(|(kind, n)| (one("kind", kind), *n));
        counters(encoder, "detour_flows", "Flows with endpoints that are the node, by what became of them", flows)
    }

    fn encode_objects(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let one = |label: &'static str, value: &str| vec![(label, value.to_owned())];
        let objects = self.objects.map(|(kind, n)| (one("kind", kind), n as f64));
        gauges(encoder, "objects", "Objects in force on this node", objects)?;
        gauge(
            encoder,
            "objects_current",
            "Whether the objects in force are all that the source tells, and not those of an earlier time",
            f64::from(u8::from(self.current)),
        )?;
        let Latencies { publication, programming, ahead } = &self.latencies;
        histogram(encoder, "publication_seconds", "From an event's arrival until it was in force", publication)?;
        histogram(
            encoder,
            "programming_seconds",
            "From a change in the cluster, as endpoints.kubernetes.io/last-change-trigger-time tells, until it was in force",
            programming,
        )?;
        counter(
            encoder,
            "changes_from_the_future",
            "Changes that were noted, by another clock, as later than they were in force",
            *ahead,
        )?;
        let watches = || self.watches.iter();
        let following = watches().map(|(kind, on, ..)| (one("kind", kind), f64::from(u8::from(*on))));
        gauges(encoder, "watch_following", "Whether the API server tells changes of a kind as they come", following)?;
        let known = watches().map(|(kind, _, objects, _)| (one("kind", kind), *objects as f64));
        gauges(encoder, "watch_objects", "Objects of a kind that the API server has told of", known)?;
        let failures = watches().map(|(kind, .., failures)| (one("kind", kind), *failures));
        counters(encoder, "watch_failures", "Failures of a kind's list or watch", failures)
    }

    fn encode_workers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let label = |worker: usize| ("worker", worker.to_string());
        let workers = || self.workers.iter().enumerate();
        let drops = workers().flat_map(|(at, worker)| {
            let reason = move |reason: &DropReason| vec![("reason", reason.name().to_owned()), label(at)];
            DropReason::ALL.iter().map(move |r| (reason(r), worker.counts.dropped(*r)))
        });
        counters(encoder, "drops", "Packets that were not delivered, by reason", drops)?;
        let path = |worker: &WorkerSnapshot| Counts::NAMES.iter().copied().zip(worker.counts.values()).collect();
        let rows = workers().map(|(at, worker)| (vec![label(at)], path(worker))).collect();
        named(encoder, "path", "Packets on the path of a worker", rows)?;
        let generations = workers().map(|(at, worker)| (vec![label(at)], worker.generation as f64));
        gauges(encoder, "worker_generation", "Generation of the tables that a worker used last", generations)?;
        let rows = workers().map(|(at, worker)| (vec![label(at)], worker.looped.list())).collect();
        named(encoder, "worker", "Loop of a worker", rows)
    }

    fn encode_ports(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let row = |(labels, counters): &(PortLabels, PortSnapshot)| {
            let labels: Labels = vec![
                ("port", labels.port.to_string()),
                ("namespace", labels.namespace.clone()),
                ("pod", labels.pod.clone()),
            ];
            (labels, counters.list())
        };
        named(encoder, "port", "Port of the switch", self.ports.iter().map(row).collect())
    }
}

/// One metric for each name in the rows' lists, with each row's labels.
fn named(
    encoder: &mut DescriptorEncoder<'_>,
    prefix: &str,
    help: &str,
    rows: Vec<(Labels, Vec<(&'static str, u64)>)>,
) -> fmt::Result {
    let Some((_, first)) = rows.first() else { return Ok(()) };
    for (at, (name, _)) in first.iter().enumerate() {
        let (metric, help) = (format!("{prefix}_{name}"), format!("{help}: {}", name.replace('_', " ")));
        let each = rows.iter().filter_map(|(labels, list)| Some((labels.clone(), list.get(at)?.1)));
        if GAUGES.contains(name) {
            gauges(encoder, &metric, &help, each.map(|(labels, n)| (labels, n as f64)))?;
        } else {
            counters(encoder, &metric, &help, each)?;
        }
    }
    Ok(())
}

fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    each: impl IntoIterator<Item = (Labels, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in each {
        ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn gauges(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    each: impl IntoIterator<Item = (Labels, f64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in each {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn histogram(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, read: &Snapshot) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    metric.encode_histogram::<NoLabelSet>(read.sum_seconds(), read.count(), &read.buckets(), None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::histogram::Histogram;

    fn latencies() -> Latencies {
        let (publication, programming) = (Histogram::default(), Histogram::default());
        publication.observe(Duration::from_millis(1));
        publication.observe(Duration::from_secs(1000));
        Latencies { publication: publication.read(), programming: programming.read(), ahead: 4 }
    }

    #[test]
    fn every_drop_reason_worker_and_port_is_exported() {
        let mut counts = Counts::new();
        counts.drops[DropReason::ALL[0].index()] = 7;
        let worker = WorkerSnapshot { core: 1, looped: Default::default(), counts, generation: 3 };
        let port = PortSnapshot { rx_packets: 11, frames_held: 5, ..PortSnapshot::default() };
        let labels = PortLabels { port: 1, namespace: "default".into(), pod: "web-0".into() };
        let text = render(Reading {
            ready: true,
            generation: 4,
            workers: vec![worker],
            ports: vec![(labels, port)],
            attachments: [("live", 1), ("pending", 0), ("not_served", 0)],
            features: vec![("multi_buffer", true)],
            frames: [("depot", 9), ("kernel", 0), ("user", 0)],
            connections: (3, 1000),
            objects: [("service_ports", 2), ("peers", 1), ("policies", 0)],
            current: true,
            latencies: latencies(),
            exhausted: 1,
            early: 5,
            clock_steps: 6,
            watches: vec![("Pod".into(), false, 12, 3)],
            uplink: vec![("passed", 8)],
            flows: vec![("evicted", 9)],
            addresses: vec![("10.0.0.0/24".into(), [("in_use", 1.0), ("cooling", 0.0), ("capacity", 253.0)])],
        })
        .unwrap();
        for line in [
            format!("sluice_drops_total{{reason=\"{}\",worker=\"0\"}} 7", DropReason::ALL[0].name()),
            "sluice_port_rx_packets_total{port=\"1\",namespace=\"default\",pod=\"web-0\"} 11".into(),
            "sluice_port_frames_held{port=\"1\",namespace=\"default\",pod=\"web-0\"} 5.0".into(),
            "sluice_worker_sleeps_total{worker=\"0\"} 0".into(),
            "sluice_ready 1.0".into(),
            "sluice_path_received_total{worker=\"0\"} 0".into(),
            "sluice_connections 3.0".into(),
            "sluice_objects{kind=\"peers\"} 1.0".into(),
            "sluice_uplink_total{kind=\"passed\"} 8".into(),
            "sluice_detour_flows_total{kind=\"evicted\"} 9".into(),
            "sluice_objects_current 1.0".into(),
            "sluice_pod_address_families_exhausted 1.0".into(),
            "sluice_pod_addresses_given_early_total 5".into(),
            "sluice_clock_steps_total 6".into(),
            "sluice_changes_from_the_future_total 4".into(),
            "sluice_watch_following{kind=\"Pod\"} 0.0".into(),
            "sluice_watch_failures_total{kind=\"Pod\"} 3".into(),
            "# TYPE sluice_publication_seconds histogram".into(),
            "sluice_publication_seconds_bucket{le=\"0.001\"} 1".into(),
            "sluice_publication_seconds_bucket{le=\"+Inf\"} 2".into(),
            "sluice_publication_seconds_sum 1000.001".into(),
            "sluice_publication_seconds_count 2".into(),
            "sluice_programming_seconds_count 0".into(),
            "sluice_tables_generation 4.0".into(),
            "sluice_feature{feature=\"multi_buffer\"} 1.0".into(),
            "sluice_pod_addresses{network=\"10.0.0.0/24\",state=\"capacity\"} 253.0".into(),
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        for reason in DropReason::ALL {
            assert!(text.contains(&format!("reason=\"{}\"", reason.name())), "{}", reason.name());
        }
    }
}
