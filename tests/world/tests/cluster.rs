//! The real path against the oracle that knows the objects: clusters and flows that proptest makes up, on one worker and on two.
//!
//! Each flow is a conversation: first packet, answer, second packet, answer, second packet. `PROPTEST_CASES` sets how many
//! clusters are tried instead of the number here; with 20000 it is minutes.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use sluice_path::{ErrorRate, PathConfig, SharedConfig};
use sluice_world::aftermath::{self, Next};
use sluice_world::cluster::Cluster;
use sluice_world::cluster::generate::{self, changes};
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

fn hold(cluster: &Cluster, drafts: &[Draft], workers: usize) -> Result<Held, String> {
    hold_in(&mut switch(cluster, workers), cluster, drafts)
}

type Held = (Conversations, Vec<(Flow, Arrived)>);

fn hold_in(switch: &mut ClusterSwitch, cluster: &Cluster, drafts: &[Draft]) -> Result<Held, String> {
    let mut conversations = Conversations::default();
    let mut arrived = Vec::new();
    for flow in drafts.iter().filter_map(|draft| draft.fit(cluster)) {
        let told = conversations.hold(cluster, switch, &flow).map_err(|error| format!("{flow:?}: {error}"))?;
        arrived.extend(told.map(|it| (flow, it)));
    }
    let counts = switch.counts();
    if counts.dropped(sluice_path::DropReason::Undecided) > 0 {
        return Err("a packet was left undecided".to_owned());
    }
    Ok((conversations, arrived))
}

/// As many cases as here, or as the environment says.
fn config(cases: u32) -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, max_shrink_iters: 4000, ..ProptestConfig::default() };
    let asked = std::env::var("PROPTEST_CASES").is_ok();
    ProptestConfig { cases: if asked { config.cases } else { cases }, ..config }
}

fn on_workers(workers: usize) {
    let config = config(CLUSTERS);
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

/// Policies and endpoints change while connections are there: each next packet goes on, is cut, begins anew or is reset, as the
/// objects say.
#[test]
fn connections_follow_the_objects_as_they_change() {
    let seen = Cell::new([0_usize; 4]);
    let config = config(300);
    let tried = config.cases;
    let mut runner = TestRunner::new(config);
    let result = runner.run(&(generate::clusters(), vec(drafts(), FLOWS), changes(), 1_usize..3), |input| {
        let (before, drafts, change, workers) = input;
        let mut switch = switch(&before, workers);
        let (_, arrived) = hold_in(&mut switch, &before, &drafts).map_err(TestCaseError::fail)?;
        let after = change.apply(&before);
        switch.publish(&after);
        for (flow, arrived) in &arrived {
            let next = aftermath::hold(&after, &mut switch, flow, arrived)
                .map_err(|error| TestCaseError::fail(format!("{flow:?}: {error}")))?;
            let mut counts = seen.get();
            counts[match next {
                Next::On => 0,
                Next::Cut(_) => 1,
                Next::Anew => 2,
                Next::Reset => 3,
            }] += 1;
            seen.set(counts);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(tried < 300 || seen.get().iter().all(|times| *times > 20), "on, cut, anew, reset: {:?}", seen.get());
}

/// Where nothing is left to chance, one worker and two do the same, packet for packet.
#[test]
fn one_worker_and_two_do_the_same() {
    let mut runner = TestRunner::new(config(200));
    let result = runner.run(&(generate::clusters(), vec(drafts(), FLOWS)), |(mut cluster, drafts)| {
        for slice in cluster.services.iter_mut().flat_map(|service| &mut service.slices) {
            slice.endpoints.truncate(1);
        }
        for service in &mut cluster.services {
            let mut families = std::collections::BTreeSet::new();
            service.slices.retain(|slice| families.insert(slice.v4));
        }
        let (_, one) = hold(&cluster, &drafts, 1).map_err(TestCaseError::fail)?;
        let (_, two) = hold(&cluster, &drafts, 2).map_err(TestCaseError::fail)?;
        prop_assert_eq!(one, two);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
