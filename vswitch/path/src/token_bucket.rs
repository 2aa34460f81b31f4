//! How much may pass in a time: a token bucket whose tokens are bits, as that of the kernel's `net/sched/sch_tbf.c`.
//!
//! A packet passes while the bucket is not in debt, and may put it there. So one that is longer than the burst passes too, however
//! small the burst is, and those after it wait until the debt is paid: the rate holds all the same. Whoever owns the bucket tells it
//! the time; it belongs to one thread.

use crate::Time;

/// Bits are counted in parts so small that a nanosecond at one bit a second fills one: nothing is lost to rounding.
const BIT: i128 = 1_000_000_000;

/// A rate, and how much may pass at once after a quiet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bits a second in the long run. With 0 nothing passes after the first burst.
    pub bits_per_second: u64,
    /// Bits at once.
    pub burst_bits: u64,
}

/// The bucket. In any time no more than the rate times that time, the burst and one packet pass.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    rate: Rate,
    /// What may pass now, in parts of a bit; below zero is a debt.
    level: i128,
    /// When it was last filled up.
    filled: Time,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn full(rate: Rate) -> Self {
        Self { rate, level: i128::from(rate.burst_bits) * BIT, filled: Time(0) }
    }

    /// Whether a packet of so many bytes passes at `now`; then it has.
    #[inline]
    pub fn admits(&mut self, now: Time, bytes: usize) -> bool {
        if now > self.filled {
            self.fill(now);
        }
        if self.level < 0 {
            return false;
        }
        // No packet has more bytes than this.
        self.level -= i128::from(bytes as u32) * 8 * BIT;
        true
    }

    fn fill(&mut self, now: Time) {
        let earned = u128::from(now.since(self.filled)) * u128::from(self.rate.bits_per_second);
        // At most the burst, and less than 2^100: far from either end.
        let missing = (i128::from(self.rate.burst_bits) * BIT).abs_diff(self.level);
        self.level += earned.min(missing) as i128;
        self.filled = now;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn bucket(bits_per_second: u64, burst_bits: u64) -> TokenBucket {
        TokenBucket::full(Rate { bits_per_second, burst_bits })
    }

    /// How many packets of `bytes` pass at once.
    fn passes(bucket: &mut TokenBucket, now: u64, bytes: usize) -> usize {
        (0..1000).filter(|_| bucket.admits(Time(now), bytes)).count()
    }

    #[test]
    fn the_burst_passes_at_once_and_then_the_rate() {
        let mut bucket = bucket(8000, 80_000);
        assert_eq!(passes(&mut bucket, 5, 1000), 11, "ten, and one that leaves a debt");
        assert_eq!(passes(&mut bucket, SECOND, 1000), 0, "of which a nanosecond's worth is not paid yet");
        assert_eq!(passes(&mut bucket, SECOND + 5, 1000), 1);
        assert_eq!(passes(&mut bucket, 3600 * SECOND, 1000), 11, "no more than the burst is saved");
    }

    #[test]
    fn a_packet_longer_than_the_burst_passes_and_is_paid_for() {
        for burst_bits in [0, 1, 8 * 1500] {
            let mut bucket = bucket(8_000_000, burst_bits);
            assert!(bucket.admits(Time(1), 65_000));
            assert!(!bucket.admits(Time(1 + SECOND / 20), 60), "50 ms pay for 50 000 bytes");
            assert!(bucket.admits(Time(1 + SECOND / 15), 65_000));
        }
    }

    #[test]
    fn extremes_neither_overflow_nor_panic() {
        let mut all = bucket(u64::MAX, u64::MAX);
        assert!(all.admits(Time(u64::MAX), usize::MAX) && all.admits(Time(0), usize::MAX));
        let mut nothing = bucket(0, 0);
        assert!(nothing.admits(Time(7), 1) && !nothing.admits(Time(u64::MAX), 1));
        let mut deep = bucket(u64::MAX, 0);
        assert_eq!(passes(&mut deep, 1, u32::MAX as usize), 1);
        assert!(deep.admits(Time(u64::MAX), 1));
    }

    #[test]
    fn a_clock_that_goes_back_fills_nothing() {
        let mut bucket = bucket(8, 0);
        assert!(bucket.admits(Time(5 * SECOND), 1));
        assert!(!bucket.admits(Time(0), 1) && !bucket.admits(Time(5 * SECOND), 1));
        assert!(bucket.admits(Time(6 * SECOND), 1));
    }

    fn offers() -> impl Strategy<Value = Vec<(u64, usize)>> {
        let pause = prop_oneof![Just(0), 0..1000u64, 0..SECOND, Just(10 * SECOND)];
        prop::collection::vec((pause, prop_oneof![60..1515usize, 60..70_000usize]), 1..80)
    }

    proptest! {
        #[test]
        fn between_any_two_moments_no_more_passes_than_rate_burst_and_one_packet(
            rate in prop_oneof![0..100_000u64, 0..100_000_000_000u64, any::<u64>()],
            burst in prop_oneof![0..10_000_000u64, any::<u64>()],
            offers in offers(),
        ) {
            let (mut bucket, mut now) = (bucket(rate, burst), 1);
            let mut passed: Vec<(u64, u128)> = Vec::new();
            for (pause, bytes) in offers {
                now += pause;
                if bucket.admits(Time(now), bytes) {
                    passed.push((now, bytes as u128 * 8));
                }
            }
            for (at, (from, _)) in passed.iter().enumerate() {
                let mut bits = 0;
                for (to, packet) in &passed[at..] {
                    // In parts of a bit. What passed before the last packet fits, and this one may go beyond.
                    let earned = u128::from(to - from) * u128::from(rate) + u128::from(burst) * BIT as u128;
                    prop_assert!(bits * BIT as u128 <= earned);
                    bits += packet;
                }
            }
        }

        #[test]
        fn who_is_refused_passes_once_the_packet_before_is_paid_for(
            rate in 1..100_000_000_000u64,
            burst in 0..10_000_000u64,
            offers in offers(),
        ) {
            let (mut bucket, mut now, mut last) = (bucket(rate, burst), 1, 0);
            for (pause, bytes) in offers {
                now += pause;
                if !bucket.admits(Time(now), bytes) {
                    // No debt is greater than one packet.
                    now += (last * 8 * u128::from(SECOND)).div_ceil(rate.into()) as u64;
                    prop_assert!(bucket.admits(Time(now), bytes));
                }
                last = bytes as u128;
            }
        }
    }
}
