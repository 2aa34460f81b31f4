//! Publication beside a worker that reads: every interleaving, and every value that the memory model lets a load see. By loom; run
//! by `make test` with the feature `loom`.
//!
//! Each of these changes, tried by hand, fails: a replaced generation dropped by `Publisher::publish` instead of kept, and one freed
//! while a reader holds it.

use loom::sync::Arc;
use loom::thread::{self, ThreadId};
use sluice_tables::Publisher;

/// A generation that says when it is freed by another thread than the publisher's.
struct Generation {
    number: u64,
    publisher: ThreadId,
}

impl Drop for Generation {
    fn drop(&mut self) {
        assert_eq!(thread::current().id(), self.publisher, "generation {} was freed by a worker", self.number);
    }
}

fn generation(number: u64) -> Generation {
    Generation { number, publisher: thread::current().id() }
}

#[test]
fn a_worker_never_goes_back_a_generation_and_never_frees_one() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let publisher = Arc::new(Publisher::new(generation(1)));
        let mut reader = publisher.reader();
        let worker = thread::spawn(move || {
            let mut last = 0;
            for _ in 0..3 {
                let number = reader.current().number;
                assert!(number >= last, "{number} after {last}");
                last = number;
            }
        });
        for number in 2..=3 {
            publisher.publish(generation(number));
        }
        publisher.collect();
        worker.join().expect("the worker gets through");
        assert_eq!(publisher.collect(), 0, "nobody holds one any more");
        assert_eq!(publisher.current().number, 3);
    });
}

#[test]
fn a_worker_that_is_told_of_a_generation_sees_it() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let publisher = Arc::new(Publisher::new(generation(1)));
        let mut reader = publisher.reader();
        let told = Arc::new(loom::sync::Mutex::new(1));
        let worker = {
            let told = Arc::clone(&told);
            // As by a command, or by a packet of a worker that knows it already.
            thread::spawn(move || {
                let least = *told.lock().expect("nobody panics");
                assert!(reader.current().number >= least);
            })
        };
        publisher.publish(generation(2));
        *told.lock().expect("nobody panics") = 2;
        worker.join().expect("the worker gets through");
        publisher.collect();
    });
}
