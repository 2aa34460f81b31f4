//! `sluice-perf control`: from objects to tables in memory, without a source, a kernel or a switch.
//!
//! ```text
//! cluster (objects as checked ones) -> road (index, compiler, tables) -> churn: one change, one generation
//!                                                                     -> memory: what stays resident
//! ```

mod churn;
mod cluster;
mod memory;
mod road;

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use crate::args::ControlArgs;
use crate::machine::Machine;
use crate::processors::CpuTime;
use crate::report;

use churn::{Change, Timed};
use cluster::{Cluster, Size};
use memory::resident_mib;
use road::Road;

/// What the rows do not say.
const EXPLANATION: &str = "\
a change: an object is applied to the index, and a whole generation of tables made; median, 99th of 100 and longest
memory: anonymous memory of this process beyond what it had before, so the objects, what was compiled and two generations";

/// Results of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    machine: Machine,
    size: Size,
    apply_millis: f64,
    cold_start_millis: f64,
    /// Ports of Services that the switch then serves.
    served: usize,
    changes: Vec<(Change, Timed)>,
    resident_mib: f64,
    changes_before_second_look: usize,
    resident_mib_after_changes: f64,
    steal_percent: f64,
}

/// Builds the cluster, compiles it, changes it.
pub(crate) fn run(args: &ControlArgs) -> Result<()> {
    let machine = Machine::look(None, None)?;
    machine.describe();
    let before = CpuTime::now()?;
    let nothing = resident_mib()?;
    let size = Size::large().divided_by(args.divide);
    let cluster = Cluster::new(size);
    let mut road = Road::new(&cluster);
    let objects = cluster.objects();
    let start = Instant::now();
    objects.into_iter().for_each(|object| road.apply(object));
    let apply_millis = millis(start);
    road.publish()?;
    let cold_start_millis = millis(start);
    let resident = resident_mib()? - nothing;
    let served = road.tables().services().iter().len();
    let mut changes = Vec::new();
    for change in Change::ALL {
        changes.push((change, churn::measure(&cluster, &mut road, change, args.changes)?));
    }
    churn::go_on(&cluster, &mut road, args.churn)?;
    let resident_mib_after_changes = resident_mib()? - nothing;
    let steal_percent = CpuTime::now()?.steal_percent_since(before);
    let results = Results {
        machine,
        size,
        apply_millis,
        cold_start_millis,
        served,
        changes,
        resident_mib: resident,
        changes_before_second_look: args.churn,
        resident_mib_after_changes,
        steal_percent,
    };
    print(&results);
    report::write_json(&results, args.json.as_deref())
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

fn print(results: &Results) {
    let Size { services, endpoints, policies, nodes, pods, .. } = results.size;
    let cold = format!("{:.1} ms (index alone {:.1})", results.cold_start_millis, results.apply_millis);
    let mut rows = vec![["cold start: objects to tables".to_owned(), "2000 ms".into(), "150 ms".into(), cold]];
    for (change, timed) in &results.changes {
        let Timed { p50, p99, max, changes } = timed;
        let figures = format!("{p50:.3} / {p99:.3} / {max:.3} ms ({changes})");
        rows.push([change.name().to_owned(), "50 ms".into(), "1 ms".into(), figures]);
    }
    let mib = |mib: f64| format!("{mib:.1} MiB");
    rows.push(["resident".into(), "300 MB".into(), "80 MB".into(), mib(results.resident_mib)]);
    let after = format!("resident after {} more changes", results.changes_before_second_look);
    rows.push([after, "no growth".into(), "no growth".into(), mib(results.resident_mib_after_changes)]);
    let heading = format!(
        "Objects to tables: {services} Services, {endpoints} endpoints, {policies} policies, {nodes} nodes, {pods} pods"
    );
    report::table(&heading, ["MEASURE", "MUST", "AIM", "MEASURED (p50 / p99 / max)"], rows);
    println!("\nsteal time {:.2} %\n{EXPLANATION}", results.steal_percent);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_cluster_is_compiled_and_every_kind_of_change_gives_a_generation() {
        let cluster = Cluster::new(Size::large().divided_by(10));
        let mut road = Road::new(&cluster);
        cluster.objects().into_iter().for_each(|object| road.apply(object));
        road.publish().expect("compiles");
        let services = cluster.size.services;
        assert_eq!(road.tables().services().iter().len(), services);
        let backends: usize = road.tables().services().iter().map(|service| service.cluster().len()).sum();
        assert_eq!(backends, cluster.size.endpoints);
        for change in Change::ALL {
            let before = road.tables().generation();
            assert_eq!(churn::measure(&cluster, &mut road, change, 3).expect("compiles").changes, 3);
            assert_eq!(road.tables().generation(), before + 3, "{change:?}");
        }
    }
}
