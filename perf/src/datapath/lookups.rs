//! The connection table alone, asked as the path's shortcut asks it: what of a packet's cost is the connection's.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use sluice_connections::{Action, Config, New, Owner, Segment, Table, Tick, Tuple};
use sluice_wire::{protocol, tcp};

use super::addresses::{SERVICE_PORT, pod};
use super::bed::{BATCH, BURST};
use super::world::SERVER;

const DATA: Segment = Segment::Tcp { flags: tcp::flag::ACK | tcp::flag::PSH };

/// A table with the connections of the case `established`.
pub(super) struct Lookups {
    table: Table,
    /// Addresses, ports, protocol, as the table's view takes them.
    keys: Vec<(u64, u32, u8)>,
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
            let reply = table.find(table.hash(&new.reply), &new.reply).context("a connection has no reply")?;
            table.observe(&reply, DATA, Tick(1));
        }
        Ok(Self { table, keys: (0..BATCH as u16).map(key).collect() })
    }

    /// Finds and observes every connection once: what the path does with each burst, as `walk` and `shortcut` have it.
    #[inline]
    pub(super) fn run(&self) -> u32 {
        let mut found = 0;
        let mut probes = [(0, 0); BURST];
        for keys in self.keys.chunks_exact(BURST) {
            let view = self.table.view();
            let mut read_ahead = 0;
            for ((hash, _), (addresses, ports, protocol)) in probes.iter_mut().zip(keys) {
                *hash = view.hash(*addresses, *ports, *protocol);
                read_ahead ^= view.touch(*hash);
            }
            for (hash, entry) in &mut probes {
                let (probed, loaded) = view.probe(*hash);
                *entry = probed;
                read_ahead ^= loaded;
            }
            black_box(read_ahead);
            for ((hash, entry), key) in probes.iter().zip(keys) {
                if let Some(known) = view.at(*entry, *key).or_else(|| view.find(*hash, *key)) {
                    found += u32::from(known.observe(DATA, Tick(1)));
                    black_box((known.egress, known.addresses, known.ports));
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

fn key(number: u16) -> (u64, u32, u8) {
    let (client, server) = (pod(SERVER + 1).v4.to_bits(), pod(SERVER).v4.to_bits());
    let addresses = u64::from(client) << 32 | u64::from(server);
    (addresses, u32::from(1024 + number) << 16 | u32::from(SERVICE_PORT), protocol::TCP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_look_up_finds_its_connection() {
        assert_eq!(Lookups::new().expect("room for all").run(), BATCH as u32);
    }
}
