//! How long something takes, as a histogram that is read while it is written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in microseconds: from what a quick machine needs to what nobody should have to wait.
const BOUNDS: [u64; 22] = [
    50,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    900_000_000,
];

/// What is longer counts as this, so that no clock that jumped spoils the sum.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Durations counted by their length. What is longer than the last bound has a place of its own.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    counts: [AtomicU64; BOUNDS.len() + 1],
    /// Microseconds.
    sum: AtomicU64,
}

/// A histogram as it was at one moment, or nearly: it may have been written while it was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Snapshot {
    counts: [u64; BOUNDS.len() + 1],
    sum: u64,
}

impl Histogram {
    /// Counts a duration.
    pub(crate) fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.min(LONGEST).as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|bound| *bound < micros);
        // Counts alone, which order nothing.
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// As it is now.
    pub(crate) fn read(&self) -> Snapshot {
        let mut counts = [0; BOUNDS.len() + 1];
        counts.iter_mut().zip(&self.counts).for_each(|(read, count)| *read = count.load(Ordering::Relaxed));
        Snapshot { counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

impl Snapshot {
    /// Durations counted.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum in seconds.
    pub(crate) fn sum_seconds(&self) -> f64 {
        self.sum as f64 / 1e6
    }

    /// Upper bounds in seconds, each with how many durations are above the one before; the last has no bound.
    pub(crate) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY]);
        bounds.zip(self.counts).collect()
    }

    /// The duration that `share` of them, between 0 and 1, are no longer than, in milliseconds: as if those between two bounds were
    /// spread evenly. `None` when there are none.
    pub(crate) fn quantile_ms(&self, share: f64) -> Option<f64> {
        let rank = share * self.count() as f64;
        let mut below = 0_u64;
        for (place, count) in self.counts.into_iter().enumerate() {
            if count > 0 && (below + count) as f64 >= rank {
                let low = place.checked_sub(1).map_or(0, |before| BOUNDS[before]) as f64;
                let Some(high) = BOUNDS.get(place).map(|bound| *bound as f64) else { return Some(low / 1e3) };
                let within = ((rank - below as f64) / count as f64).clamp(0.0, 1.0);
                return Some((low + (high - low) * within) / 1e3);
            }
            below += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_under_the_bound_that_they_do_not_exceed() {
        let histogram = Histogram::default();
        for micros in [0, 50, 51, 1_000, u64::MAX] {
            histogram.observe(Duration::from_micros(micros));
        }
        let read = histogram.read();
        let count_at = |seconds: f64| read.buckets().into_iter().find(|(bound, _)| *bound == seconds).unwrap().1;
        assert_eq!(
            (read.count(), count_at(50e-6), count_at(100e-6), count_at(1e-3), count_at(f64::INFINITY)),
            (5, 2, 1, 1, 1)
        );
    }

    #[test]
    fn quantiles_lie_between_the_bounds_around_them() {
        assert_eq!(Histogram::default().read().quantile_ms(0.5), None);
        let histogram = Histogram::default();
        (0..99).for_each(|_| histogram.observe(Duration::from_micros(700)));
        histogram.observe(Duration::from_millis(20));
        let read = histogram.read();
        let (half, most, all) = (read.quantile_ms(0.5), read.quantile_ms(0.99), read.quantile_ms(1.0));
        assert!(half.is_some_and(|ms| (0.5..=1.0).contains(&ms)), "{half:?}");
        assert!(most.is_some_and(|ms| (0.5..=1.0).contains(&ms)), "{most:?}");
        assert!(all.is_some_and(|ms| (10.0..=25.0).contains(&ms)), "{all:?}");
        assert!((read.sum_seconds() - 0.0893).abs() < 1e-6);
    }
}
