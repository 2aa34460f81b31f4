//! Calls for one attachment one after the other, calls for different ones side by side.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use sluice_cni_protocol::AttachmentId;

/// Who may work on an attachment. Calls for one are made in the order in which they came, so that the DEL which a runtime
/// sends after it gave an ADD up follows that ADD.
#[derive(Debug, Default)]
pub(crate) struct Serial {
    /// A line for each attachment that a call is about just now. The lock is never held while a call runs.
    lines: Mutex<HashMap<AttachmentId, Line>>,
    moved: Condvar,
}

/// Numbers as at a counter: one who comes takes the next, and is served when it is up.
#[derive(Debug, Default)]
struct Line {
    next: u64,
    served: u64,
}

impl Serial {
    /// Runs `call` when every earlier call for `attachment` has ended. Blocks the thread until then.
    pub(crate) fn run<T>(&self, attachment: &AttachmentId, call: impl FnOnce() -> T) -> T {
        let mut lines = self.lines();
        let line = lines.entry(attachment.clone()).or_default();
        let number = line.next;
        line.next += 1;
        // A line is there for as long as somebody stands in it.
        while lines.get(attachment).is_some_and(|line| line.served != number) {
            lines = self.moved.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
        drop(lines);
        let _turn = Turn { serial: self, attachment };
        call()
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<AttachmentId, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the next one in, also after a call that panicked: it has cleaned up after itself.
struct Turn<'a> {
    serial: &'a Serial,
    attachment: &'a AttachmentId,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut lines = self.serial.lines();
        if let Some(line) = lines.get_mut(self.attachment) {
            line.served += 1;
            if line.served == line.next {
                lines.remove(self.attachment);
            }
        }
        self.serial.moved.notify_all();
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
        assert!(serial.lines().is_empty());
    }

    #[test]
    fn calls_are_made_in_the_order_in_which_they_came() {
        let (serial, id, made) = (Serial::default(), attachment("c"), Mutex::new(Vec::new()));
        let waiting = |calls: u64| serial.lines().get(&id).is_some_and(|line| line.next == calls);
        thread::scope(|scope| {
            serial.run(&id, || {
                for n in 0..8 {
                    let (serial, id, made) = (&serial, &id, &made);
                    scope.spawn(move || serial.run(id, || made.lock().unwrap().push(n)));
                    while !waiting(n + 2) {
                        thread::yield_now();
                    }
                }
            });
        });
        assert_eq!(*made.lock().unwrap(), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn a_call_that_panics_lets_the_next_one_in() {
        let (serial, id) = (Serial::default(), attachment("c"));
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| serial.run(&id, || panic!("scripted"))));
        assert!(panicked.is_err() && serial.lines().is_empty());
        serial.run(&id, || ());
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
