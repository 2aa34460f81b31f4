//! Waiting for the cluster to get somewhere.

use std::time::{Duration, Instant};

use crate::error::ClusterError;

/// How long a condition may take. Far more than any needs: on a loaded machine a test is to be slow, not red.
const BOUND: Duration = Duration::from_secs(180);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Calls `look` until it gives something, and returns that. What it gives as an error is what there is instead.
///
/// # Errors
/// [`ClusterError::InVain`], naming `what`, after three minutes.
pub fn wait_for<T, E: ToString>(what: &str, mut look: impl FnMut() -> Result<T, E>) -> Result<T, ClusterError> {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(last) if start.elapsed() > BOUND => {
                return Err(ClusterError::InVain { what: what.to_owned(), bound: BOUND, last: last.to_string() });
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
