//! What only the switch has an agent for: attaching pods, idling, being started again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluice_lab::ProcessId;

use super::super::sluice::Cluster;
use crate::idle_cost::{CpuTicks, own_memory_kib};
use crate::run::{Better, Figure, Load, Measure, Outcome, Stage, Takes};
use crate::stats::{quantile, sorted};

const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long an agent may take to end.
const END: Duration = Duration::from_secs(20);

fn cluster<'s>(stage: &'s Stage<'_>) -> Result<&'s Cluster<'s>> {
    stage.standing.cluster().context("only the switch has an agent")
}

/// Sleeps, with an eye on the stop flag.
fn pause(stage: &Stage<'_>, length: Duration) -> Result<()> {
    let end = Instant::now() + length;
    while Instant::now() < end {
        stage.site.stop.check()?;
        std::thread::sleep(LOOK_AGAIN.min(end.saturating_duration_since(Instant::now())));
    }
    Ok(())
}

/// Pods that are attached and detached in one trial.
const PODS: u32 = 10;

/// Pods attached one after another, then detached.
pub(in crate::run) struct Attach;

impl Measure for Attach {
    fn name(&self) -> &'static str {
        "attach"
    }

    fn title(&self, _load: &Load) -> String {
        format!("{PODS} pods attached one after another, then detached")
    }

    fn figures(&self) -> &'static [Figure] {
        &[
            Figure { name: "attach", label: "CNI ADD, median", unit: "ms", better: Better::Lower },
            Figure { name: "slowest", label: "CNI ADD, slowest", unit: "ms", better: Better::Lower },
            Figure { name: "rate", label: "attached", unit: "pods/s", better: Better::Higher },
            Figure {
                name: "detach",
                label: "DEL and the end of the namespace, mean",
                unit: "ms",
                better: Better::Lower,
            },
        ]
    }

    fn needs_cluster(&self) -> bool {
        true
    }

    fn measure(&self, stage: &Stage<'_>, _load: &Load) -> Result<Outcome> {
        let cluster = cluster(stage)?;
        let before = cluster.record();
        let pods = before.pods.len() as u32;
        cluster.bring_to(pods + PODS)?;
        let record = cluster.record();
        let new = record.pods.iter().filter(|(key, _)| !before.pods.contains_key(*key));
        let millis = sorted(new.filter_map(|(_, pod)| Some(pod.attached.as_ref()?.millis)));
        let start = Instant::now();
        cluster.bring_to(pods)?;
        let detach = start.elapsed().as_secs_f64() * 1000.0 / f64::from(PODS);
        let all: f64 = millis.iter().sum();
        let figures = [
            ("attach", quantile(&millis, 0.5)),
            ("slowest", millis.last().copied()),
            ("rate", (all > 0.0).then(|| millis.len() as f64 * 1000.0 / all)),
            ("detach", Some(detach)),
        ];
        let figures = figures.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        Ok(Outcome { figures, ..Outcome::default() })
    }
}

/// What the agents use while nothing happens.
pub(in crate::run) struct Idle;

impl Measure for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn title(&self, _load: &Load) -> String {
        "The agent while nothing is sent".to_owned()
    }

    fn figures(&self) -> &'static [Figure] {
        &[
            Figure { name: "processor", label: "of a core", unit: "%", better: Better::Lower },
            Figure { name: "memory", label: "resident and not shared", unit: "KiB", better: Better::Lower },
        ]
    }

    fn needs_cluster(&self) -> bool {
        true
    }

    fn measure(&self, stage: &Stage<'_>, _load: &Load) -> Result<Outcome> {
        let agent = agent(cluster(stage)?)?;
        let (start, before) = (Instant::now(), CpuTicks::of(agent.pid)?);
        pause(stage, Duration::from_millis(stage.millis))?;
        let processor = CpuTicks::of(agent.pid)?.percent_since(before, start.elapsed());
        let figures = [("processor", processor), ("memory", own_memory_kib(agent.pid)?)].into();
        Ok(Outcome { figures, ..Outcome::default() })
    }
}

/// The agent of the client's node.
fn agent(cluster: &Cluster<'_>) -> Result<ProcessId> {
    let record = cluster.record();
    record.nodes.values().next().and_then(|node| node.agent).context("the node has no agent")
}

/// The agent ended and started again while a pod sends to another one.
pub(in crate::run) struct Restart;

/// A restart needs this long to be seen from both sides.
const SHORTEST: u64 = 4000;

impl Measure for Restart {
    fn name(&self) -> &'static str {
        "restart"
    }

    fn title(&self, load: &Load) -> String {
        format!("The agent started again while {} kpps are sent, {}", load.rate as f64 / 1000.0, load.family)
    }

    fn figures(&self) -> &'static [Figure] {
        &[
            Figure { name: "outage", label: "packets lost, as time", unit: "ms", better: Better::Lower },
            Figure { name: "lost", label: "packets lost", unit: "packets", better: Better::Lower },
            Figure { name: "ready", label: "ended, started and ready", unit: "ms", better: Better::Lower },
        ]
    }

    fn takes(&self) -> Takes {
        Takes { rates: true, sizes: true, flows: false }
    }

    fn needs_cluster(&self) -> bool {
        true
    }

    fn measure(&self, stage: &Stage<'_>, load: &Load) -> Result<Outcome> {
        let cluster = cluster(stage)?;
        let (pods, agent) = (cluster.record().pods.len() as u32, agent(cluster)?);
        let (bench, way, millis) = (stage.site.bench, stage.way(load), stage.millis.max(SHORTEST));
        let (sent, ready) = std::thread::scope(|scope| {
            let sending = scope.spawn(|| bench.udp_over(&way, load.rate, load.size, millis));
            let restarted = restart(stage, cluster, pods, agent, Duration::from_millis(millis / 4));
            let sent = sending.join().map_err(|_| anyhow::anyhow!("the sender's thread has panicked"));
            (sent, restarted)
        });
        let (run, ready) = (sent??, ready?);
        let lost = run.sent_packets.saturating_sub(run.received_packets);
        let outage = if run.offered > 0.0 { lost as f64 / run.offered * 1000.0 } else { 0.0 };
        let slow = || format!("the sender kept {:.1} of {} kpps", run.offered / 1000.0, load.rate / 1000);
        let remarks = if run.kept_rate() { Vec::new() } else { vec![slow()] };
        // Who lost them is no longer there to say so: packets are not held against counters here.
        let figures = [("outage", outage), ("lost", lost as f64), ("ready", ready)].into();
        Ok(Outcome { figures, packets: None, remarks })
    }
}

/// Ends the agent after a while and has the lab start it; milliseconds from the signal to readiness.
fn restart(stage: &Stage<'_>, cluster: &Cluster<'_>, pods: u32, agent: ProcessId, after: Duration) -> Result<f64> {
    pause(stage, after)?;
    let start = Instant::now();
    kill(Pid::from_raw(i32::try_from(agent.pid)?), Signal::SIGTERM).context("cannot end the agent")?;
    while agent.is_running() {
        anyhow::ensure!(start.elapsed() < END, "the agent does not end within {END:?}");
        pause(stage, LOOK_AGAIN)?;
    }
    cluster.bring_to(pods)?;
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}
