//! Generations are seen in order, kept while they are read, and freed by the publishing side.

use std::sync::Arc;

use sluice_tables::{Publisher, Tables, TablesBuilder};

fn generation(number: u64) -> Tables {
    TablesBuilder::new(number, 0).build().expect("empty tables")
}

#[test]
fn a_replaced_generation_lives_until_its_last_reader_moves_on() {
    let publisher = Publisher::new(generation(1));
    let mut reader = publisher.reader();
    assert_eq!(reader.current().generation(), 1);
    publisher.publish(generation(2));
    publisher.publish(generation(3));
    assert_eq!(publisher.collect(), 1, "generation 1 is still the reader's, 2 was nobody's");
    assert_eq!(reader.current().generation(), 3);
    assert_eq!(publisher.collect(), 0);
    assert_eq!(publisher.current().generation(), 3);
}

#[test]
fn a_reader_that_is_gone_holds_nothing() {
    let publisher = Publisher::new(generation(1));
    let reader = publisher.reader();
    publisher.publish(generation(2));
    assert_eq!(publisher.collect(), 1);
    drop(reader);
    assert_eq!(publisher.collect(), 0);
}

#[test]
fn readers_on_other_threads_never_go_back() {
    let publisher = Arc::new(Publisher::new(generation(0)));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mut reader = publisher.reader();
            std::thread::spawn(move || {
                let mut last = 0;
                while last < 2000 {
                    let now = reader.current().generation();
                    assert!(now >= last, "{now} after {last}");
                    last = now;
                }
                reader
            })
        })
        .collect();
    for number in 1..=2000 {
        publisher.publish(generation(number));
    }
    let readers: Vec<_> = readers.into_iter().map(|thread| thread.join().expect("reader")).collect();
    assert_eq!(publisher.collect(), 0, "all {} readers hold the current generation", readers.len());
}
