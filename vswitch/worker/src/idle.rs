//! What a worker does when it finds nothing to do.
use std::time::Duration;

use sluice_path::Time;

/// How a worker waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdlePolicy {
    /// It never waits: lowest latency, a whole core always busy.
    Poll,
    /// It spins for `spin` after the last packet, then sleeps until traffic, a command or a packet from another worker wakes
    /// it, but at most for `sleep`. Sleeping is how it gives its core to others: the scheduler lets a sleeper that wakes go
    /// before a thread that has been running, whereas one that yields waits for a whole slice of it (milliseconds).
    Adaptive {
        /// How long to spin; 100 us by default.
        spin: Duration,
        /// Longest sleep; 100 ms by default.
        sleep: Duration,
    },
}

impl Default for IdlePolicy {
    fn default() -> Self {
        IdlePolicy::Adaptive { spin: Duration::from_micros(100), sleep: Duration::from_millis(100) }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Turn again at once.
    Spin,
    /// Let other threads of this core run, then turn again.
    Yield,
    /// Sleep, at most for this long.
    Sleep(Duration),
}

/// The idle state of one worker.
#[derive(Debug)]
pub(crate) struct Idle {
    policy: IdlePolicy,
    quiet_since: Option<Time>,
}

impl Idle {
    pub(crate) fn new(policy: IdlePolicy) -> Idle {
        Idle { policy, quiet_since: None }
    }

    /// After a turn at `now`: whether it `worked`, and whether packets still `wait` in a tx ring for a receiver that has no
    /// room. Such a receiver may need this very core, so the worker neither spins nor sleeps for long.
    pub(crate) fn after(&mut self, worked: bool, waiting: bool, now: Time) -> Next {
        if worked {
            self.quiet_since = None;
            return if waiting { Next::Yield } else { Next::Spin };
        }
        let IdlePolicy::Adaptive { spin, sleep } = self.policy else {
            return Next::Spin;
        };
        let since = *self.quiet_since.get_or_insert(now);
        if u128::from(now.since(since)) < spin.as_nanos() {
            return if waiting { Next::Yield } else { Next::Spin };
        }
        Next::Sleep(if waiting { sleep.min(Duration::from_millis(1)) } else { sleep })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPIN: Duration = Duration::from_micros(50);
    const SLEEP: Duration = Duration::from_millis(100);

    fn adaptive() -> Idle {
        Idle::new(IdlePolicy::Adaptive { spin: SPIN, sleep: SLEEP })
    }

    #[test]
    fn poll_never_waits() {
        let mut idle = Idle::new(IdlePolicy::Poll);
        assert_eq!(idle.after(false, false, Time(0)), Next::Spin);
        assert_eq!(idle.after(false, false, Time(u64::MAX)), Next::Spin);
    }

    #[test]
    fn adaptive_spins_then_sleeps_with_a_bound() {
        let mut idle = adaptive();
        assert_eq!(idle.after(false, false, Time(1_000)), Next::Spin);
        assert_eq!(idle.after(false, false, Time(50_999)), Next::Spin);
        assert_eq!(idle.after(false, false, Time(51_000)), Next::Sleep(SLEEP));
    }

    #[test]
    fn work_begins_the_spin_anew() {
        let mut idle = adaptive();
        idle.after(false, false, Time(0));
        assert_eq!(idle.after(true, false, Time(60_000)), Next::Spin);
        assert_eq!(idle.after(false, false, Time(61_000)), Next::Spin);
    }

    #[test]
    fn waiting_packets_shorten_the_sleep() {
        let mut idle = adaptive();
        assert_eq!(idle.after(true, true, Time(0)), Next::Yield);
        assert_eq!(idle.after(false, true, Time(0)), Next::Yield);
        assert_eq!(idle.after(false, true, Time(60_000)), Next::Sleep(Duration::from_millis(1)));
    }
}
