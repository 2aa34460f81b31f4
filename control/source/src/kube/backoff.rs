//! How long is waited before the next try.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Counts failures in a row, and says how long to wait for the next try: longer each time, and at random, so that the
/// nodes of a cluster do not all come back at once.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    limit: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, limit: Duration) -> Backoff {
        Backoff { first, limit, failures: 0 }
    }

    /// The wait after one more failure: between half of the present step and all of it. `random` is any number.
    /// What the server asked for is granted up to ten times the limit.
    pub(crate) fn after_failure(&mut self, asked: Option<Duration>, random: u64) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let step = self.first.saturating_mul(factor).min(self.limit);
        self.failures = self.failures.saturating_add(1).min(31);
        let asked = asked.unwrap_or_default().min(self.limit.saturating_mul(10));
        asked + part(step / 2, random) + step / 2
    }

    /// It went well: the next failure counts as the first.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A part of a duration, as large as a random number is of all numbers.
pub(crate) fn part(whole: Duration, random: u64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a wait needs no more than this")]
    let share = (random >> 12) as f64 / (1_u64 << 52) as f64;
    whole.mul_f64(share)
}

/// A number that nobody can tell before: the standard library seeds each of these anew.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(Duration::from_millis(100), Duration::from_secs(1))
    }

    #[test]
    fn waits_grow_up_to_the_limit_and_begin_anew_after_a_success() {
        let mut backoff = backoff();
        let millis = |wait: Duration| wait.as_millis();
        let waits: Vec<_> = (0..6).map(|_| millis(backoff.after_failure(None, 0))).collect();
        assert_eq!(waits, [50, 100, 200, 400, 500, 500]);
        for _ in 0..100 {
            assert!(backoff.after_failure(None, u64::MAX) <= Duration::from_secs(1));
        }
        backoff.reset();
        assert_eq!(millis(backoff.after_failure(None, 0)), 50);
    }

    #[test]
    fn what_the_server_asks_for_comes_on_top_and_is_bounded() {
        let asked = |seconds| backoff().after_failure(Some(Duration::from_secs(seconds)), 0);
        assert_eq!(asked(3), Duration::from_millis(3050));
        assert_eq!(asked(1_000_000), Duration::from_millis(10_050));
    }

    #[test]
    fn two_random_numbers_differ() {
        assert_ne!((random(), random()), (random(), random()));
    }
}
