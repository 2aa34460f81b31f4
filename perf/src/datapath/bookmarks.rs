//! The connection table alone, asked as the path asks it about packets that meet a pattern: what of a packet's cost is the
//! connection's.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use sluice_connections::{Action, Bookmark, Config, New, Owner, Segment, Table, Tick, Tuple};
use sluice_wire::{protocol, tcp};

use super::addresses::{SERVICE_PORT, pod};
use super::bed::BATCH;
use super::world::SERVER;

const DATA: Segment = Segment::Tcp { flags: tcp::flag::ACK | tcp::flag::PSH };

/// A table with the connections of the case `established`, and a bookmark in each.
pub(super) struct Bookmarks {
    table: Table,
    marks: Vec<Bookmark>,
}

impl Bookmarks {
    pub(super) fn new() -> Result<Self> {
        let table = Table::new(Config { capacity: 65_536, pod_share: 65_536, seed: 7, ..Config::default() });
        let mut marks = Vec::new();
        for original in (0..BATCH as u16).map(tuple) {
            let new = New {
                original,
                reply: original.reversed(),
                actions: [Action::default(); 2],
                generation: 1,
                owner: Owner(0),
                flags: 0,
                mss: 0,
                segment: DATA,
            };
            table.insert(&new, Tick(1)).map_err(|refused| anyhow!("{refused:?}"))?;
            let find = |tuple: &Tuple| table.find(table.hash(tuple), tuple).context("a connection is not found");
            table.observe(&find(&new.reply)?, DATA, Tick(1));
            let connection = find(&original)?;
            marks.push(table.bookmark(&connection, DATA).context("a connection is not established")?);
        }
        Ok(Self { table, marks })
    }

    /// Asks once whether every connection is still what it was, and tells it of a packet.
    #[inline]
    pub(super) fn run(&self) -> u32 {
        let (view, now) = (self.table.view(), black_box(Tick(1)));
        let mut found = 0;
        for mark in &self.marks {
            found += u32::from(view.observe_at(mark, now));
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
    fn every_bookmark_leads_to_its_connection() {
        assert_eq!(Bookmarks::new().expect("room for all").run(), BATCH as u32);
    }
}
