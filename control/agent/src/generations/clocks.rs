//! What the wall clock does: it is set by people and daemons, and measures of time that come from other machines go by it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tracing::warn;

use super::Generations;

/// A wall clock that goes otherwise than the monotonic one by at least this, from one look to the next, was set. One that is
/// slewed differs by half a thousandth.
const STEP: Duration = Duration::from_secs(2);

/// The two clocks, looked at again and again.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    last: Option<(Instant, SystemTime)>,
    steps: Steps,
}

/// Steps of the wall clock since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Steps {
    /// How many.
    pub(crate) count: u64,
    /// The latest one.
    pub(crate) latest: Option<Step>,
}

/// The wall clock was set, or the machine slept, which the monotonic clock does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// When that was seen, by the clock as it is since.
    pub(crate) seen: SystemTime,
    /// By how many seconds, back where that is less than 0.
    pub(crate) seconds: i64,
}

impl Clocks {
    /// A look at both. Returns a step since the look before.
    pub(super) fn look(&self, now: Instant, wall: SystemTime) -> Option<Step> {
        let mut inner = self.inner();
        let (then, wall_then) = inner.last.replace((now, wall))?;
        let due = wall_then.checked_add(now.saturating_duration_since(then))?;
        let whole = |by: Duration| i64::try_from((by + Duration::from_millis(500)).as_secs()).unwrap_or(i64::MAX);
        let (by, seconds) = match wall.duration_since(due) {
            Ok(ahead) => (ahead, whole(ahead)),
            Err(behind) => (behind.duration(), -whole(behind.duration())),
        };
        if by < STEP {
            return None;
        }
        let step = Step { seen: wall, seconds };
        inner.steps.count += 1;
        inner.steps.latest = Some(step);
        Some(step)
    }

    /// Steps so far.
    pub(super) fn steps(&self) -> Steps {
        self.inner().steps
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    /// A look at the clocks: to be had every second or more often, so that what differs is a step.
    pub(crate) fn look_at_clocks(&self) {
        if let Some(Step { seconds, .. }) = self.clocks.look(Instant::now(), SystemTime::now()) {
            warn!(seconds, "the wall clock was set, or the machine slept; nothing that is waited for goes by it");
        }
    }

    /// Steps of the wall clock since the start.
    pub(crate) fn clock_steps(&self) -> Steps {
        self.clocks.steps()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_noted_with_time_and_size_and_one_that_is_slewed_is_not() {
        let (clocks, start, wall) =
            (Clocks::default(), Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
        let seconds = Duration::from_secs;
        assert_eq!(clocks.look(start, wall), None, "nothing to compare with");
        assert_eq!(clocks.look(start + seconds(10), wall + seconds(11)), None, "a second fast");
        assert_eq!(clocks.look(start + seconds(20), wall + seconds(20)), None, "and slow again");
        let ahead = Step { seen: wall + seconds(3631), seconds: 3600 };
        assert_eq!(clocks.look(start + seconds(31), wall + seconds(3631)), Some(ahead));
        assert_eq!(clocks.look(start + seconds(32), wall + seconds(3632)), None, "told once");
        let back = Step { seen: SystemTime::UNIX_EPOCH, seconds: -4633 };
        assert_eq!(clocks.look(start + seconds(33), SystemTime::UNIX_EPOCH), Some(back));
        assert_eq!(clocks.steps(), Steps { count: 2, latest: Some(back) });
    }
}
