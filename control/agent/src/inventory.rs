//! What the switch got of the kernel and the machine, told at the start in one line for each subject, with a warning for
//! each thing that was wanted and is not to be had.

use sluice_xsk::{CHUNK_SIZE, Features};
use tracing::{info, warn};

use crate::config::{Config, Need, SuperFrames, Switchable};
use crate::dataplane::Dataplane;
use crate::shape::Shape;

/// A feature and why it is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Probed {
    name: &'static str,
    state: State,
    /// What its absence means, and what would remedy it.
    consequence: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    On,
    /// By the configuration.
    Forced,
    /// Wanted, but not to be had.
    Missing,
}

/// Logs the inventory of a switch whose host port is bound.
pub(crate) fn log(config: &Config, dataplane: &Dataplane, shape: Shape) {
    let probed = probed(config, dataplane.features());
    info!("features: {}", line(&probed));
    info!(wanted = ?config.xdp_mode, super_frames = shape.super_frames, "XDP mode: {}", dataplane.mode());
    info!(idle = ?config.idle, idle_cores = ?config.idle_cores, "cores of the workers: {:?}", config.cores);
    let in_huge_pages = dataplane.in_huge_pages();
    info!(wanted = ?config.huge_pages, "huge pages: {}", if in_huge_pages { "on" } else { "off" });
    let frames = dataplane.occupancy().total;
    info!(free = dataplane.occupancy().free, "packet memory: {frames} frames, {} MiB", (frames * CHUNK_SIZE) >> 20);
    for missing in probed.iter().filter(|one| one.state == State::Missing) {
        warn!(feature = missing.name, "missing in this kernel: {}", missing.consequence);
    }
    if config.huge_pages == Need::Auto && !in_huge_pages {
        warn!(
            "no huge pages are free: packet memory is in ordinary pages and misses the TLB more often; raise vm.nr_hugepages"
        );
    }
    if config.super_frames == SuperFrames::Auto && !shape.super_frames {
        warn!(
            "super-frames are off, as they need generic XDP mode and multi_buffer: pods' TCP sends packets of the path MTU, at \
             several times the cost"
        );
    }
}

fn probed(config: &Config, features: Features) -> [Probed; 5] {
    let Features { multi_buffer, tx_metadata, tx_budget, need_wakeup, zero_copy } = features;
    let one = |name, on, allowed, consequence| {
        let state = match (on, allowed) {
            (true, _) => State::On,
            (false, false) => State::Forced,
            (false, true) => State::Missing,
        };
        Probed { name, state, consequence }
    };
    let auto = |wanted: Switchable| wanted == Switchable::Auto;
    let wanted = config.features;
    [
        one(
            "multi_buffer",
            multi_buffer,
            auto(wanted.multi_buffer),
            "super-frames are off and a packet has at most one frame; generic mode has it from Linux 6.9, native from 6.6",
        ),
        one(
            "tx_metadata",
            tx_metadata,
            auto(wanted.tx_metadata),
            "the switch completes every partial checksum itself, which costs a pass over the packet; since Linux 6.11",
        ),
        one(
            "tx_budget",
            tx_budget,
            auto(wanted.tx_budget),
            "a system call sends 32 frames instead of a whole ring; since Linux 6.17",
        ),
        one(
            "need_wakeup",
            need_wakeup,
            auto(wanted.need_wakeup),
            "every burst that is sent costs a system call; since Linux 5.4",
        ),
        one(
            "zero_copy",
            zero_copy,
            config.zero_copy != Need::Off,
            "the kernel copies every packet between device and frames; a veth can do nothing else",
        ),
    ]
}

fn line(probed: &[Probed]) -> String {
    let state = |state| match state {
        State::On => "on",
        State::Forced => "off (by configuration)",
        State::Missing => "off (missing)",
    };
    probed.iter().map(|one| format!("{} {}", one.name, state(one.state))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FeatureKeys, Keys, SourceKeys, Surroundings};

    #[test]
    fn each_feature_is_told_with_whether_it_was_forced_off_or_is_missing() {
        let keys = Keys {
            source: SourceKeys::of_directory("/m"),
            features: FeatureKeys { tx_metadata: Some(Switchable::Off), ..FeatureKeys::default() },
            ..Keys::default()
        };
        let surroundings = Surroundings { node_name: Some("n1".into()), cores: vec![0], ..Surroundings::default() };
        let config = Config::check(keys, &surroundings).unwrap();
        let features = Features { multi_buffer: true, need_wakeup: true, ..Features::default() };
        assert_eq!(
            line(&probed(&config, features)),
            "multi_buffer on, tx_metadata off (by configuration), tx_budget off (missing), need_wakeup on, zero_copy off \
             (by configuration)"
        );
    }
}
