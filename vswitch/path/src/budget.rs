//! How many ICMP errors may be sent: a token bucket (RFC 4443 section 2.4 (f), RFC 1812 section 4.3.2.8).

use crate::Time;

/// Rate and burst of the ICMP errors that one worker sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorRate {
    /// Errors per second in the long run. 0 sends none beyond the first burst.
    pub per_second: u32,
    /// Errors that may be sent at once after a quiet time. 0 sends none at all.
    pub burst: u32,
}

impl Default for ErrorRate {
    fn default() -> Self {
        Self { per_second: 1000, burst: 100 }
    }
}

/// One error costs this much credit; a nanosecond earns `per_second` of it. Integers, so nothing is lost to rounding.
const COST: u64 = 1_000_000_000;

/// The bucket.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    rate: ErrorRate,
    credit: u64,
    filled: Time,
}

impl Budget {
    /// A full bucket.
    pub(crate) fn new(rate: ErrorRate) -> Self {
        Self { rate, credit: Self::capacity(rate), filled: Time(0) }
    }

    fn capacity(rate: ErrorRate) -> u64 {
        u64::from(rate.burst) * COST
    }

    /// Takes a token if there is one at `now`.
    pub(crate) fn take(&mut self, now: Time) -> bool {
        let earned = now.since(self.filled).saturating_mul(u64::from(self.rate.per_second));
        self.credit = self.credit.saturating_add(earned).min(Self::capacity(self.rate));
        self.filled = self.filled.max(now);
        match self.credit.checked_sub(COST) {
            Some(left) => {
                self.credit = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, ErrorRate};
    use crate::Time;

    fn taken(budget: &mut Budget, now: u64) -> usize {
        (0..1000).filter(|_| budget.take(Time(now))).count()
    }

    #[test]
    fn burst_then_rate() {
        let mut budget = Budget::new(ErrorRate { per_second: 10, burst: 3 });
        assert_eq!(taken(&mut budget, 0), 3);
        assert_eq!(taken(&mut budget, 99_999_999), 0);
        assert_eq!(taken(&mut budget, 100_000_000), 1);
        assert_eq!(taken(&mut budget, 60_000_000_000), 3);
    }

    #[test]
    fn a_clock_that_goes_back_earns_nothing() {
        let mut budget = Budget::new(ErrorRate { per_second: 1, burst: 1 });
        assert!(budget.take(Time(5_000_000_000)));
        assert!(!budget.take(Time(0)));
        assert!(!budget.take(Time(5_000_000_000)));
        assert!(budget.take(Time(6_000_000_000)));
    }

    #[test]
    fn extremes_neither_overflow_nor_panic() {
        let mut budget = Budget::new(ErrorRate { per_second: u32::MAX, burst: u32::MAX });
        assert!(budget.take(Time(u64::MAX)));
        let mut none = Budget::new(ErrorRate { per_second: 0, burst: 0 });
        assert!(!none.take(Time(u64::MAX)));
    }
}
