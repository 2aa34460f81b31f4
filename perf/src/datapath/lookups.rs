//! The connection table alone, asked as the path asks it: what of a packet's cost is the connection's.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use sluice_connections::{Action, Config, New, Owner, Segment, Table, Tick, Tuple};
use sluice_wire::{protocol, tcp};

use super::addresses::{SERVICE_PORT, pod};
use super::bed::{BATCH, BURST};
use super::world::SERVER;

const DATA: Segment = Segment::Tcp { flags: tcp::flag::ACK | tcp::flag::PSH };

/// A table with the connections of the case `established`.
pub(super) struct Lookups {
    table: Table,
    tuples: Vec<Tuple>,
}

impl Lookups {
    pub(super) fn new() -> Result<Self> {
        let table = Table::new(Config { capacity: 65_536, pod_share: 65_536, seed: 7, ..Config::default() });
        let tuples: Vec<Tuple> = (0..BATCH as u16).map(tuple).collect();
        for original in &tuples {
            let new = New {
                original: *original,
                reply: original.reversed(),
                actions: [Action::default(); 2],
                generation: 1,
                owner: Owner(0),
                flags: 0,
                mss: 0,
                segment: DATA,
            };
            let connection = table.insert(&new, Tick(1)).map_err(|refused| anyhow!("{refused:?}"))?;
            table.observe(&connection, DATA, Tick(1));
        }
        Ok(Self { table, tuples })
    }

    /// Finds and observes every connection once: what the path does with each burst, as `walk` has it.
    #[inline]
    pub(super) fn run(&self) -> u32 {
        let mut found = 0;
        let mut hashes = [0; BURST];
        for tuples in self.tuples.chunks_exact(BURST) {
            let mut read_ahead = 0;
            for (hash, tuple) in hashes.iter_mut().zip(tuples) {
                *hash = self.table.hash(tuple);
                read_ahead ^= self.table.touch(*hash);
            }
            for hash in &hashes {
                read_ahead ^= self.table.peek(*hash);
            }
            black_box(read_ahead);
            for (hash, tuple) in hashes.iter().zip(tuples) {
                if let Some(connection) = self.table.find(*hash, tuple) {
                    found += connection.generation;
                    black_box((self.table.observe(&connection, DATA, Tick(1)), connection.action()));
                }
            }
        }
        found
    }

    /// Nanoseconds a packet, for each time that all could be looked up in `length`.
    pub(super) fn trial(&self, length: Duration) -> Vec<f64> {
        let end = Instant::now() + length;
        let mut samples = Vec::new();
        while samples.is_empty() || Instant::now() < end {
            let start = Instant::now();
            black_box(self.run());
            samples.push(start.elapsed().as_nanos() as f64 / BATCH as f64);
        }
        samples
    }
}

fn tuple(number: u16) -> Tuple {
    Tuple {
        source: pod(SERVER + 1).v4.into(),
        destination: pod(SERVER).v4.into(),
        source_port: 1024 + number,
        destination_port: SERVICE_PORT,
        protocol: protocol::TCP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_look_up_finds_its_connection() {
        assert_eq!(Lookups::new().expect("room for all").run(), BATCH as u32);
    }
}
