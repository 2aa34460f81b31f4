//! How long changes take until they are in force.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sluice_model::{Object, Timestamp};

use crate::histogram::{Histogram, Snapshot};

/// Changes that are remembered until they are in force. Where there are more the others are not measured.
const PENDING: usize = 1 << 16;

/// What is measured.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// From an event's arrival until the generation with it was published.
    publication: Histogram,
    /// From what changed in the cluster, as the endpoints' controller noted it, until then.
    programming: Histogram,
    /// Changes that were noted as later than they were in force. A count alone, which orders nothing.
    ahead: AtomicU64,
}

/// How long changes took.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    /// From an event's arrival until the generation with it was published.
    pub(crate) publication: Snapshot,
    /// From what changed in the cluster until then.
    pub(crate) programming: Snapshot,
    /// Changes that happened, by the clock of whoever noted them, later than they were in force here: one of the two clocks is
    /// wrong.
    pub(crate) ahead: u64,
}

/// Changes that are not in force yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    arrived: Vec<Instant>,
    happened: Vec<Timestamp>,
}

/// When what an object tells of happened, as far as it says so: the annotation `endpoints.kubernetes.io/last-change-trigger-time`.
pub(super) fn happened(object: &Object) -> Option<Timestamp> {
    match object {
        Object::EndpointSlice(slice) => slice.changed,
        _ => None,
    }
}

impl Pending {
    /// A change that came at `arrived` and tells of what `happened` then.
    pub(super) fn note(&mut self, arrived: Instant, happened: Option<Timestamp>) {
        if self.arrived.len() < PENDING {
            self.arrived.push(arrived);
            self.happened.extend(happened);
        }
    }
}

impl Latency {
    /// All that was pending is in force now.
    pub(super) fn observe(&self, pending: &mut Pending, now: Instant, wall_clock: SystemTime) {
        for arrived in pending.arrived.drain(..) {
            self.publication.observe(now.saturating_duration_since(arrived));
        }
        for happened in pending.happened.drain(..) {
            let past = since(happened, wall_clock);
            self.ahead.fetch_add(u64::from(past < 0), Ordering::Relaxed);
            self.programming.observe(Duration::from_nanos(u64::try_from(past.max(0)).unwrap_or(u64::MAX)));
        }
    }

    /// What was measured so far.
    pub(super) fn read(&self) -> Latencies {
        let ahead = self.ahead.load(Ordering::Relaxed);
        Latencies { publication: self.publication.read(), programming: self.programming.read(), ahead }
    }
}

/// Nanoseconds from a time that another machine's clock said until one of this machine's; less than none where that is ahead.
fn since(happened: Timestamp, wall_clock: SystemTime) -> i128 {
    let nanoseconds = |seconds: i128, nanoseconds: u32| seconds * 1_000_000_000 + i128::from(nanoseconds);
    let now = match wall_clock.duration_since(UNIX_EPOCH) {
        Ok(since) => nanoseconds(since.as_secs().into(), since.subsec_nanos()),
        Err(before) => -nanoseconds(before.duration().as_secs().into(), before.duration().subsec_nanos()),
    };
    now - nanoseconds(happened.seconds.into(), happened.nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_gives_no_negative_time_and_is_counted() {
        let at = |seconds: i64, nanoseconds: u32| Timestamp { seconds, nanoseconds };
        let now = UNIX_EPOCH + Duration::new(1000, 500);
        assert_eq!(since(at(999, 500), now), 1_000_000_000);
        assert_eq!(since(at(999, 999_999_999), now), 501);
        assert_eq!(since(at(1000, 501), now), -1, "a nanosecond ahead");
        assert_eq!(since(at(10, 0), UNIX_EPOCH - Duration::from_secs(1)), -11_000_000_000, "this clock is far behind");
        let (latency, arrived) = (Latency::default(), Instant::now());
        let take = |happened: Timestamp| {
            let mut pending = Pending::default();
            pending.note(arrived, Some(happened));
            latency.observe(&mut pending, arrived, now);
            let Latencies { programming, ahead, .. } = latency.read();
            (programming.sum_seconds(), ahead)
        };
        assert_eq!(take(at(999, 500)), (1.0, 0));
        assert_eq!(take(at(1000, 501)), (1.0, 1));
        assert_eq!(take(at(i64::MAX, 0)), (1.0, 2));
        assert!(since(at(i64::MIN, 0), now) > 1 << 90, "and the other way round it is long");
    }

    #[test]
    fn every_change_is_measured_once() {
        let (latency, mut pending) = (Latency::default(), Pending::default());
        let now = Instant::now();
        pending.note(now, None);
        pending.note(now + Duration::from_secs(5), Some(Timestamp { seconds: 0, nanoseconds: 0 }));
        latency.observe(&mut pending, now, UNIX_EPOCH);
        latency.observe(&mut pending, now, UNIX_EPOCH);
        let read = latency.read();
        assert_eq!((read.publication.count(), read.programming.count()), (2, 1));
        assert_eq!(read.publication.sum_seconds(), 0.0, "one that came later than it was in force took no time");
    }
}
