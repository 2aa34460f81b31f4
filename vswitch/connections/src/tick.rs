//! Coarse time.

/// A moment in steps of 1/16 s, so that a busy connection's record is written 16 times a second and not once a packet.
///
/// The clock must never go back and must be the same for all workers and for a process that adopts the table: the
/// kernel's monotonic clock. Wraps after 8.5 years; moments are compared by their distance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tick(pub u32);

/// Ticks in a second.
pub const TICKS_PER_SECOND: u32 = 16;

impl Tick {
    /// The tick that holds that many nanoseconds.
    #[must_use]
    #[inline]
    pub const fn of(nanoseconds: u64) -> Tick {
        // By a constant: the compiler makes it a multiplication.
        Tick((nanoseconds / (1_000_000_000 / TICKS_PER_SECOND as u64)) as u32)
    }

    /// Ticks from `earlier` to here; negative when `earlier` lies ahead.
    #[must_use]
    #[inline]
    pub const fn since(self, earlier: Tick) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_a_sixteenth_of_a_second() {
        for seconds in [0, 1, 59, 86_400, 432_000, 40_000_000] {
            assert_eq!(Tick::of(seconds * 1_000_000_000), Tick(seconds as u32 * TICKS_PER_SECOND));
            assert_eq!(Tick::of(seconds * 1_000_000_000 + 62_500_000), Tick(seconds as u32 * TICKS_PER_SECOND + 1));
            assert_eq!(Tick::of(seconds * 1_000_000_000 + 62_499_999), Tick(seconds as u32 * TICKS_PER_SECOND));
        }
    }

    #[test]
    fn distance_survives_the_wrap() {
        assert_eq!(Tick(3).since(Tick(u32::MAX - 1)), 5);
        assert_eq!(Tick(u32::MAX).since(Tick(1)), -2);
    }
}
