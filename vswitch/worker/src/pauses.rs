//! How long a worker that is awake does not look at its ports: the longest turns, and whatever took its core away meanwhile.
//!
//! The loop reads the clock anyway. What is told is the longest of the last ten to twenty seconds, so that a question now and then
//! finds it, whoever else asks.

use sluice_path::Time;

use crate::counters::LoopSnapshot;

/// Nanoseconds after which a longest pause is the one before, and after twice as many forgotten.
const WINDOW: u64 = 10_000_000_000;

/// Nanoseconds from which on a pause is counted: a receive ring of 2048 frames at a million packets a second is half full.
const LONG: u64 = 1_000_000;

#[derive(Debug)]
pub(crate) struct Pauses {
    /// When it last looked; `None` while it rests.
    looked: Option<Time>,
    began: Time,
    longest: u64,
    /// Of the window before.
    before: u64,
}

impl Pauses {
    pub(crate) fn new() -> Pauses {
        Pauses { looked: None, began: Time(0), longest: 0, before: 0 }
    }

    /// It looks at its ports now.
    #[inline]
    pub(crate) fn look(&mut self, now: Time, looped: &mut LoopSnapshot) {
        let pause = self.looked.replace(now).map_or(0, |looked| now.since(looked));
        if pause > self.longest || now.since(self.began) >= WINDOW {
            self.note(pause, now, looped);
        }
        if pause >= LONG {
            looped.long_pauses += 1;
        }
    }

    /// It lets others run, or sleeps: what comes then is no pause.
    #[inline]
    pub(crate) fn rest(&mut self) {
        self.looked = None;
    }

    #[cold]
    fn note(&mut self, pause: u64, now: Time, looped: &mut LoopSnapshot) {
        let age = now.since(self.began);
        if age >= WINDOW {
            self.before = if age < 2 * WINDOW { self.longest } else { 0 };
            (self.began, self.longest) = (now, 0);
        }
        self.longest = self.longest.max(pause);
        looped.longest_pause_us = self.longest.max(self.before) / 1000;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_longest_pause_is_told_for_ten_to_twenty_seconds() {
        let (mut pauses, mut looped) = (Pauses::new(), LoopSnapshot::default());
        let start = Time(100 * WINDOW);
        let at = |ms: u64| Time(start.0 + ms * MS);
        pauses.look(start, &mut looped);
        pauses.look(at(3), &mut looped);
        pauses.look(at(4), &mut looped);
        assert_eq!((looped.longest_pause_us, looped.long_pauses), (3000, 2));
        pauses.rest();
        pauses.look(at(10_001), &mut looped);
        assert_eq!((looped.longest_pause_us, looped.long_pauses), (3000, 2), "what it slept is no pause");
        pauses.look(at(10_003), &mut looped);
        assert_eq!(looped.longest_pause_us, 3000, "it is not long ago");
        pauses.rest();
        pauses.look(at(20_002), &mut looped);
        assert_eq!(looped.longest_pause_us, 2000);
        pauses.rest();
        pauses.look(at(60_000), &mut looped);
        assert_eq!((looped.longest_pause_us, looped.long_pauses), (0, 3));
    }
}
