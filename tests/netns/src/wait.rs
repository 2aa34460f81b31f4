//! Waiting for the kernel or a process to get somewhere.

use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take. Far more than any needs: on a loaded machine a test is to be slow, not red.
const BOUND: Duration = Duration::from_secs(20);
/// Between two looks at the condition.
const PAUSE: Duration = Duration::from_millis(2);

/// A condition did not become true in time.
#[derive(Debug)]
pub struct WaitTimeout {
    what: String,
}

impl std::fmt::Display for WaitTimeout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "waited {} s in vain for: {}", BOUND.as_secs(), self.what)
    }
}

impl std::error::Error for WaitTimeout {}

/// Calls `look` until it gives something, and returns that.
///
/// # Errors
/// [`WaitTimeout`], naming `what`, after 20 seconds.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, WaitTimeout> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if start.elapsed() > BOUND {
            return Err(WaitTimeout { what: what.to_owned() });
        }
        thread::sleep(PAUSE);
    }
}
