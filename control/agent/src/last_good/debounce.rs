//! When the objects are written down again: soon after the last of several changes, and not too often.

use std::time::{Duration, Instant};

/// So long no object must have changed.
const QUIET: Duration = Duration::from_secs(2);
/// But after this it is written, however much changes.
const LATEST: Duration = Duration::from_secs(30);
/// Writing takes at most one part in so many of the time.
const SHARE: u32 = 50;
/// After a failure it is tried again, however little changes.
const RETRY: Duration = Duration::from_secs(30);

/// What of the objects' changes is written down. Changes are counted by whoever makes them.
#[derive(Debug, Default)]
pub(super) struct Debounce {
    written: u64,
    seen: u64,
    /// When the first change came that is not written, and the last one.
    unwritten: Option<(Instant, Instant)>,
    /// How long the last writing took.
    cost: Duration,
    /// Not before, after a failure.
    not_before: Option<Instant>,
}

impl Debounce {
    /// Whether it is to be written now that so many changes have been made. To be asked every second or so.
    pub(super) fn is_due(&mut self, now: Instant, changes: u64) -> bool {
        if changes == self.written {
            self.unwritten = None;
            return false;
        }
        let (first, last) = self.unwritten.get_or_insert((now, now));
        if changes != self.seen {
            self.seen = changes;
            *last = now;
        }
        if self.not_before.is_some_and(|then| now < then) {
            return false;
        }
        let latest = LATEST.max(self.cost.saturating_mul(SHARE));
        now.saturating_duration_since(*last) >= QUIET || now.saturating_duration_since(*first) >= latest
    }

    /// Whether there are changes that are not written.
    pub(super) fn is_behind(&self, changes: u64) -> bool {
        changes != self.written
    }

    /// Writing failed at `now`, after so long.
    pub(super) fn failed(&mut self, now: Instant, cost: Duration) {
        (self.cost, self.not_before) = (cost, Some(now + RETRY));
    }

    /// What there was after so many changes is written, and that took so long.
    pub(super) fn written(&mut self, changes: u64, cost: Duration) {
        *self = Self { written: changes, seen: changes, unwritten: None, cost, not_before: None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_is_tried_again_though_nothing_changes_and_at_the_stop() {
        let (mut debounce, start) = (Debounce::default(), Instant::now());
        debounce.is_due(start, 5);
        assert!(debounce.is_due(start + QUIET, 5));
        debounce.failed(start + QUIET, Duration::from_millis(1));
        assert!(debounce.is_behind(5), "a stop tries it at once");
        assert!(!debounce.is_due(start + RETRY, 5), "no disk is worn by it");
        assert!(debounce.is_due(start + QUIET + RETRY, 5));
        debounce.written(5, Duration::from_millis(1));
        assert!(!debounce.is_behind(5) && !debounce.is_due(start + QUIET + RETRY * 2, 5));
    }

    #[test]
    fn it_is_written_once_it_is_quiet_and_not_again_until_something_changes() {
        let (mut debounce, start) = (Debounce::default(), Instant::now());
        assert!(!debounce.is_due(start, 0), "nothing is known yet");
        assert!(!debounce.is_due(start, 5) && debounce.is_behind(5));
        assert!(!debounce.is_due(start + Duration::from_secs(1), 6), "it goes on");
        assert!(!debounce.is_due(start + Duration::from_secs(2), 6));
        assert!(debounce.is_due(start + Duration::from_secs(3), 6));
        debounce.written(6, Duration::from_millis(1));
        assert!(!debounce.is_behind(6) && !debounce.is_due(start + Duration::from_secs(100), 6));
    }

    #[test]
    fn what_never_comes_to_rest_is_written_now_and_then_and_seldom_where_it_costs_much() {
        let start = Instant::now();
        let first_due = |cost: Duration| {
            let mut debounce = Debounce::default();
            debounce.written(0, cost);
            (1..).find(|second| debounce.is_due(start + Duration::from_secs(*second), *second)).expect("some time")
        };
        assert_eq!(first_due(Duration::from_millis(1)), 31);
        assert_eq!(first_due(Duration::from_secs(2)), 101);
    }
}
