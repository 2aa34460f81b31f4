//! Calls for one attachment one after the other, calls for different ones side by side.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_cni_protocol::AttachmentId;

/// A lock for each attachment that a call is about just now.
#[derive(Debug, Default)]
pub(crate) struct Serial {
    /// Held only to look a lock up, never while a call runs.
    locks: Mutex<HashMap<AttachmentId, Arc<Mutex<()>>>>,
}

impl Serial {
    /// Runs `call` when no other call for `attachment` runs. Blocks the thread until then.
    pub(crate) fn run<T>(&self, attachment: &AttachmentId, call: impl FnOnce() -> T) -> T {
        let lock = Arc::clone(self.lock_map().entry(attachment.clone()).or_default());
        let done = {
            // What the lock guards is outside of it, and its owners clean up after a panic of their own.
            let _turn = lock.lock().unwrap_or_else(PoisonError::into_inner);
            call()
        };
        let mut locks = self.lock_map();
        // Two: the map's and ours. Who waits holds another one, and cannot appear while the map is locked.
        if Arc::strong_count(&lock) == 2 {
            locks.remove(attachment);
        }
        done
    }

    fn lock_map(&self) -> MutexGuard<'_, HashMap<AttachmentId, Arc<Mutex<()>>>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    fn attachment(container: &str) -> AttachmentId {
        AttachmentId {
            container_id: container.to_owned().try_into().unwrap(),
            ifname: "eth0".to_owned().try_into().unwrap(),
        }
    }

    #[test]
    fn one_attachment_has_one_call_at_a_time_and_leaves_no_lock_behind() {
        let serial = Serial::default();
        let (inside, id) = (AtomicUsize::new(0), attachment("c"));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        serial.run(&id, || {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                });
            }
        });
        assert!(serial.lock_map().is_empty());
    }

    #[test]
    fn different_attachments_run_side_by_side() {
        let serial = Serial::default();
        let both_inside = Barrier::new(2);
        thread::scope(|scope| {
            for container in ["a", "b"] {
                let (serial, both_inside) = (&serial, &both_inside);
                scope.spawn(move || serial.run(&attachment(container), || both_inside.wait()));
            }
        });
    }
}
