//! A request to stop what is going on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::LabError;

/// A flag that a signal raises and every longer piece of work looks at between its steps.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The flag itself, to be raised from a signal handler.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// True once someone asked to stop.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// # Errors
    /// [`LabError::Interrupted`] once someone asked to stop.
    pub fn check(&self) -> Result<(), LabError> {
        if self.is_raised() { Err(LabError::Interrupted) } else { Ok(()) }
    }
}
