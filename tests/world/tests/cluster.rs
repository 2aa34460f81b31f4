//! The real path against the oracle that knows the objects: clusters and flows that proptest makes up, on one worker and on two.
//!
//! Each flow is a conversation: first packet, answer, second packet, answer, second packet. `PROPTEST_CASES` sets how many
//! clusters are tried instead of the number here; with 20000 it is minutes.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use sluice_path::{ErrorRate, PathConfig, SharedConfig};
use sluice_world::cluster::{Cluster, generate};
use sluice_world::cluster_switch::ClusterSwitch;
use sluice_world::conversation::{Arrived, Conversations};
use sluice_world::traffic::{Draft, Flow, drafts};

/// Clusters that each property tries.
const CLUSTERS: u32 = 700;
/// Flows sent into each.
const FLOWS: usize = 60;
/// Packets that all this must come to.
const PACKETS: usize = 60_000;

fn switch(cluster: &Cluster, workers: usize) -> ClusterSwitch {
    // Every error that is due is sent: how many may be is tested elsewhere.
    let icmp_errors = ErrorRate { per_second: 1000, burst: 10_000 };
    ClusterSwitch::with(
        cluster,
        workers,
        PathConfig { icmp_errors, seed: 11, ..PathConfig::default() },
        SharedConfig::default(),
    )
}

fn hold(cluster: &Cluster, drafts: &[Draft], workers: usize) -> Result<(Conversations, Vec<(Flow, Arrived)>), String> {
    let mut switch = switch(cluster, workers);
    let mut conversations = Conversations::default();
    let mut arrived = Vec::new();
    for flow in drafts.iter().filter_map(|draft| draft.fit(cluster)) {
        let told = conversations.hold(cluster, &mut switch, &flow).map_err(|error| format!("{flow:?}: {error}"))?;
        arrived.extend(told.map(|it| (flow, it)));
    }
    let counts = switch.counts();
    if counts.dropped(sluice_path::DropReason::Undecided) > 0 {
        return Err("a packet was left undecided".to_owned());
    }
    Ok((conversations, arrived))
}

fn on_workers(workers: usize) {
    let cases = std::env::var("PROPTEST_CASES").is_err().then_some(CLUSTERS);
    let mut config = ProptestConfig { failure_persistence: None, max_shrink_iters: 4000, ..ProptestConfig::default() };
    config.cases = cases.unwrap_or(config.cases);
    let (packets, delivered, tried) = (Cell::new(0), Cell::new(0), config.cases);
    let mut runner = TestRunner::new(config);
    let result = runner.run(&(generate::clusters(), vec(drafts(), FLOWS)), |(cluster, drafts)| {
        let (held, _) = hold(&cluster, &drafts, workers).map_err(TestCaseError::fail)?;
        packets.set(packets.get() + held.packets);
        delivered.set(delivered.get() + held.delivered);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    if tried >= CLUSTERS {
        assert!(packets.get() >= PACKETS, "{} packets in all", packets.get());
        assert!(delivered.get() * 3 > packets.get() / 5, "{} flows of {} packets", delivered.get(), packets.get());
    }
}

#[test]
fn one_worker_does_what_the_objects_say() {
    on_workers(1);
}

#[test]
fn two_workers_do_what_the_objects_say() {
    on_workers(2);
}
