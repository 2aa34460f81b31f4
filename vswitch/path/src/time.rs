//! Time as the path knows it: an argument.

/// Nanoseconds on a clock that never goes back; where it starts does not matter. Read once a burst by the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// Nanoseconds since `earlier`; 0 if that lies ahead.
    #[must_use]
    #[inline]
    pub const fn since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
