//! `sluice-perf idle-cost`: what attached pods cost while they are silent.

mod manifests;
mod usage;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use sluice_host::Netns;
use sluice_lab::{Layout, Record, Stop};

use crate::args::IdleCostArgs;
use crate::machine::Machine;
use crate::metrics;
use crate::report;
use crate::session::Session;
use crate::stats::{Spread, spread};

use usage::Usage;
pub(crate) use usage::{CpuTicks, own_memory_kib};

/// Time for what an attachment sets off (neighbour discovery, the end of the plugin's processes) to be over.
const SETTLE: Duration = Duration::from_secs(2);

/// Time between two looks at the stop flag.
const TICK: Duration = Duration::from_millis(50);

/// What the rows do not say. The kernel's records are in `net/xdp/xsk_buff_pool.c`: `xp_create_and_assign_umem`
/// allocates `heads` and `free_heads` for all chunks of the UMEM, for each queue that is bound.
const EXPLANATION: &str = "\
packet memory is a share of the pool that the agent has from its start
the kernel keeps a record of every frame of that pool for every port: slab per pod grows with umemFrames
the machine's figures are those of everything on it, so whatever else ran meanwhile is in them";

/// Results of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    machine: Machine,
    pods: u16,
    idle_seconds: u64,
    attach_millis: Option<Spread>,
    before: Usage,
    after: Usage,
    per_pod: Usage,
}

/// Attaches the pods to a node of their own and compares before and after; the lab is down when it returns.
pub(crate) fn run(args: &IdleCostArgs, stop: &Stop) -> Result<()> {
    let machine = Machine::look(args.lab.load_core, args.lab.switch_core)?;
    machine.describe();
    println!("switch on core {}", machine.switch_core);
    let session = Session::open(&args.name)?;
    // In the lab's own directory, so that they go with it.
    let directory = Layout::of(&args.name).root().join("manifests");
    manifests::write_node(&directory)?;
    let lab = session.raise_lab(&directory, &args.lab, &machine, stop)?;
    let before = idle_usage(&lab, args.seconds, stop)?;
    manifests::write_pods(&directory, args.pods)?;
    let lab = session.raise_lab(&directory, &args.lab, &machine, stop)?;
    let after = idle_usage(&lab, args.seconds, stop)?;

    let attached = lab.pods.values().filter_map(|pod| Some(pod.attached.as_ref()?.millis));
    let attach_millis = spread(attached);
    let per_pod = after.since(&before).divided_by(args.pods);
    let results =
        Results { machine, pods: args.pods, idle_seconds: args.seconds, attach_millis, before, after, per_pod };
    print(&results);
    report::write_json(&results, args.lab.json.as_deref())
}

/// Waits until it is quiet, watches the agent's processor time, then reads the rest.
fn idle_usage(lab: &Record, seconds: u64, stop: &Stop) -> Result<Usage> {
    let node = lab.nodes.get(manifests::NODE).context("the lab has lost its node")?;
    let agent = node.agent.context("the node has no agent")?;
    let netns = Netns::open_named(&node.netns)?;
    pause(SETTLE, stop)?;
    let (start, before) = (Instant::now(), CpuTicks::of(agent.pid)?);
    pause(Duration::from_secs(seconds), stop)?;
    let cpu_percent = CpuTicks::of(agent.pid)?.percent_since(before, start.elapsed());
    Usage::read(agent.pid, metrics::frames_held(&netns)?, cpu_percent)
}

fn pause(length: Duration, stop: &Stop) -> Result<()> {
    let end = Instant::now() + length;
    while Instant::now() < end {
        stop.check()?;
        std::thread::sleep(TICK.min(end.saturating_duration_since(Instant::now())));
    }
    Ok(())
}

fn print(results: &Results) {
    let Results { pods, idle_seconds, attach_millis, before, after, per_pod, machine: _ } = results;
    type Row = (&'static str, fn(&Usage) -> f64);
    let rows: [Row; 5] = [
        ("agent's resident memory, KiB", |usage| usage.agent_rss_kib),
        ("packet memory held by pods' ports, KiB", |usage| usage.packet_memory_kib),
        ("machine's available memory, KiB", |usage| usage.mem_available_kib),
        ("machine's slab of the kernel, KiB", |usage| usage.slab_kib),
        ("agent while idle, % of a core", |usage| usage.cpu_percent),
    ];
    let rows = rows.iter().map(|(name, value)| {
        let (before, after) = (value(before), value(after));
        let difference = after - before;
        let plain = |value: f64| format!("{value:.1}");
        [
            (*name).to_owned(),
            plain(before),
            plain(after),
            format!("{difference:+.1}"),
            format!("{:+.2}", value(per_pod)),
        ]
    });
    let heading = format!("Cost of {pods} attached, idle pods; processor time over {idle_seconds} s");
    report::table(&heading, ["MEASURE", "NO PODS", "WITH PODS", "DIFFERENCE", "PER POD"], rows);
    println!("attach, ms: {}", report::spread_cell(*attach_millis));
    println!("{EXPLANATION}");
}
