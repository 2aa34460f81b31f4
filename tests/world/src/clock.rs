//! Time that passes when told to.

use core::time::Duration;

use sluice_path::Time;

/// A clock that stands still between two calls of [`Clock::advance`].
#[derive(Clone, Debug, Default)]
pub struct Clock {
    now: Time,
}

impl Clock {
    /// What the path is told.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// Lets time pass; it stops at the end of the 64 bits (584 years).
    pub fn advance(&mut self, by: Duration) {
        self.now.0 = self.now.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX));
    }
}
