//! How soon the next generation may follow: the first change at once, those that come with many others together.

use std::time::{Duration, Instant};

/// Between two generations, at least.
const LEAST: Duration = Duration::from_millis(2);
/// As long as changes keep coming, this: each generation costs the workers a look at every connection that is in use.
const MOST: Duration = Duration::from_millis(16);
/// Making generations takes at most one part in so many of the time, as long as they are not slower than [`LIMIT`] then.
const SHARE: u32 = 3;
/// But nothing waits longer than this for the ones before it.
const LIMIT: Duration = Duration::from_millis(200);

/// When the next generation may be made.
#[derive(Debug)]
pub(crate) struct Pace {
    last: Option<Instant>,
    interval: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { last: None, interval: LEAST }
    }
}

impl Pace {
    /// How long the next generation has yet to wait.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        self.last.map_or(Duration::ZERO, |last| (last + self.interval).saturating_duration_since(now))
    }

    /// A generation was made, from `began` to `ended`. One that follows soon after another doubles the time to the next one.
    pub(crate) fn made(&mut self, began: Instant, ended: Instant) {
        let soon = self.last.is_some_and(|last| began.saturating_duration_since(last) < 2 * self.interval);
        let interval = if soon { (2 * self.interval).min(MOST) } else { LEAST };
        let cost = ended.saturating_duration_since(began);
        self.interval = interval.max((SHARE - 1) * cost).min(LIMIT);
        self.last = Some(ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_change_after_a_quiet_time_does_not_wait() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.wait(start), Duration::ZERO);
        pace.made(start, start);
        assert_eq!(pace.wait(start), LEAST);
        assert_eq!(pace.wait(start + ms(100)), Duration::ZERO);
        pace.made(start + ms(100), start + ms(100));
        assert_eq!(pace.wait(start + ms(100)), LEAST, "it was quiet before");
    }

    #[test]
    fn changes_that_keep_coming_are_taken_together_and_then_not_any_more() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        let mut made = 0;
        let end = now + ms(1000);
        while now < end {
            pace.made(now, now);
            made += 1;
            now += pace.wait(now);
        }
        assert!((60..=70).contains(&made), "one in 16 ms, not {made} in a second");
        now += ms(50);
        pace.made(now, now);
        assert_eq!(pace.wait(now), LEAST);
    }

    #[test]
    fn generations_that_take_long_leave_the_processor_to_others() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.made(start, start + ms(30));
        assert_eq!(pace.wait(start + ms(30)), ms(60));
        pace.made(start, start + ms(3000));
        assert_eq!(pace.wait(start + ms(3000)), LIMIT);
    }
}
