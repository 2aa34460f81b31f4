//! What became of stamped packets that a socket received: as `sink.bpf.c` does it for frames.

use anyhow::Result;
use hdrhistogram::Histogram;
use sluice_ebpf::traffic::Stamp;

use super::pingpong::Latency;

/// Flows that are told apart; a packet of another is not ours.
pub(crate) const MOST_FLOWS: u32 = 65_536;

/// Packets of a flow that are remembered one by one: an older one that comes late may have come before.
const WINDOW: u32 = 64;

/// Counts of packets, and how long they took from when they were due.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Packets with a whole stamp, duplicates among them.
    pub(crate) received: u64,
    /// Packets that came after later ones of their flow.
    pub(crate) reordered: u64,
    /// Packets that had come before.
    pub(crate) duplicated: u64,
    /// Packets whose stamp is not whole.
    pub(crate) corrupted: u64,
    latencies: Histogram<u64>,
    flows: Vec<Seen>,
}

/// What has come of a flow.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// One after the highest number.
    next: u32,
    /// Bit n: next - 1 - n has come.
    window: u64,
}

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        // One nanosecond to an hour.
        let latencies = Histogram::new_with_bounds(1, 3_600_000_000_000, 3)?;
        Ok(Self { received: 0, reordered: 0, duplicated: 0, corrupted: 0, latencies, flows: Vec::new() })
    }

    /// Counts a packet that came at `now`, `CLOCK_MONOTONIC` in nanoseconds.
    pub(crate) fn take(&mut self, payload: &[u8], now: u64) {
        let Some(stamp) = Stamp::of(payload).filter(|stamp| stamp.flow < MOST_FLOWS) else {
            self.corrupted += 1;
            return;
        };
        self.received += 1;
        self.latencies.saturating_record(now.saturating_sub(stamp.due));
        let place = stamp.flow as usize;
        if self.flows.len() <= place {
            self.flows.resize(place + 1, Seen::default());
        }
        let flow = &mut self.flows[place];
        let ahead = stamp.sequence.wrapping_sub(flow.next);
        let age = flow.next.wrapping_sub(1).wrapping_sub(stamp.sequence);
        if ahead <= i32::MAX as u32 {
            flow.window = flow.window.checked_shl(ahead + 1).unwrap_or(0) | 1;
            flow.next = stamp.sequence.wrapping_add(1);
        } else if age < WINDOW && (flow.window >> age) & 1 == 1 {
            self.duplicated += 1;
        } else {
            flow.window |= 1_u64.checked_shl(age).unwrap_or(0);
            self.reordered += 1;
        }
    }

    /// Percentiles of how long packets took.
    pub(crate) fn latency(&self) -> Latency {
        Latency::of(&self.latencies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(sequences: &[u32]) -> Tally {
        let mut tally = Tally::new().expect("bounds are valid");
        for &sequence in sequences {
            tally.take(&Stamp { flow: 3, sequence, due: 1000 }.to_bytes(18), 3000);
        }
        tally
    }

    #[test]
    fn packets_are_late_or_twice_or_neither() {
        let counts = |sequences: &[u32]| {
            let tally = tally(sequences);
            (tally.received, tally.reordered, tally.duplicated)
        };
        assert_eq!(counts(&[0, 1, 2, 3]), (4, 0, 0));
        assert_eq!(counts(&[0, 5, 6]), (3, 0, 0), "lost ones are neither");
        assert_eq!(counts(&[0, 2, 1, 3]), (4, 1, 0));
        assert_eq!(counts(&[0, 1, 1, 2, 0]), (5, 0, 2));
        assert_eq!(counts(&[2, 1, 1]), (3, 1, 1), "late, and then once more");
        assert_eq!(counts(&[0, 200, 0]), (3, 1, 0), "too long ago to be known");
        assert_eq!(counts(&[63, 0, 64, 1]), (4, 2, 0));
    }

    #[test]
    fn what_is_not_ours_is_corrupted_and_flows_are_told_apart() {
        let mut tally = tally(&[0, 1]);
        tally.take(&Stamp { flow: 4, sequence: 0, due: 1000 }.to_bytes(18), 3000);
        assert_eq!((tally.received, tally.reordered, tally.duplicated), (3, 0, 0));
        let mut broken = Stamp { flow: 4, sequence: 1, due: 1000 }.to_bytes(18);
        broken[9] ^= 1;
        for payload in [&broken[..], &[], &Stamp { flow: MOST_FLOWS, ..Stamp::default() }.to_bytes(18)] {
            tally.take(payload, 3000);
        }
        assert_eq!((tally.received, tally.corrupted), (3, 3));
        assert!((tally.latency().p50 - 2.0).abs() < 0.01, "{:?}", tally.latency());
    }

    proptest::proptest! {
        #[test]
        fn each_packet_is_counted_once_whatever_the_order(sequences in proptest::collection::vec(0_u32..80, 0..200)) {
            let tally = tally(&sequences);
            proptest::prop_assert_eq!(tally.received, sequences.len() as u64);
            let distinct = sequences.iter().collect::<std::collections::HashSet<_>>().len() as u64;
            proptest::prop_assert!(tally.received - tally.duplicated >= distinct);
            proptest::prop_assert_eq!(tally.latency().samples, tally.received);
        }
    }
}
