//! Taking a connection out.

use std::net::IpAddr;

use super::Table;
use super::sweep::nth;
use crate::index::{Busy, Locks, Slot};
use crate::place::Family;
use crate::record::{Record, Use};
use crate::tuple::Key;
use crate::{Connection, Direction, Owner};

impl Table {
    /// Takes a connection out; neither direction finds it any more. False when it has gone meanwhile.
    pub fn remove(&self, connection: &Connection) -> bool {
        self.remove_if(connection, None)
    }

    /// Takes out what a pod that has gone leaves behind: the connections that count against `owner`, its port's share, and
    /// those that one of its `addresses` began. Returns how many.
    ///
    /// For the control side, once no worker has tables with the pod any more (else its last packets begin connections
    /// anew), and before another pod has the port. Reads every record that was ever used, once, and locks only the buckets of
    /// what it removes. Others' connections to the pod stay: their next packet is what tells the client.
    pub fn remove_owned(&self, owner: Owner, addresses: &[IpAddr]) -> u32 {
        let first = self.pool(Family::V4).used() as usize;
        let mut removed = 0;
        for number in 0..self.used() {
            let record = self.record(nth(number, first)).filter(Record::is_live);
            let Some((connection, _)) = record.and_then(|record| record.read()) else { continue };
            if connection.owner == owner || addresses.contains(&connection.original.source) {
                removed += u32::from(self.remove(&connection));
            }
        }
        removed
    }

    /// The same, and with `unused_since` only if no packet has come since that was seen.
    pub(super) fn remove_if(&self, connection: &Connection, unused_since: Option<Use>) -> bool {
        let (Some(original), Some(reply)) = (Key::of(&connection.original), Key::of(&connection.reply)) else {
            return false;
        };
        let Some(record) = self.record(connection.id.place) else { return false };
        let hashes = [self.hash_of(&original), self.hash_of(&reply)];
        let single = original == reply;
        let incarnation = connection.id.incarnation;
        loop {
            let mut locks = self.index().lock(hashes);
            // With the locks of its buckets held, nobody else can take it out.
            if !record.holds(incarnation) {
                return false;
            }
            let Ok(slots) = slots(&mut locks, &record, hashes, single) else {
                locks.give_way();
                continue;
            };
            if unused_since.is_some_and(|seen| !record.claim(incarnation, seen)) || !record.take_out(incarnation) {
                return false;
            }
            for slot in slots.into_iter().flatten() {
                locks.clear(slot);
            }
            drop(locks);
            // The record first: whoever is let in by the counts finds one.
            self.pool(record.place.family()).give(record.place.index());
            self.counts().subtract(connection.owner);
            return true;
        }
    }
}

/// The slots of both directions.
fn slots(
    locks: &mut Locks<'_>,
    record: &Record<'_>,
    hashes: [u64; 2],
    single: bool,
) -> Result<[Option<Slot>; 2], Busy> {
    let original = locks.locate(hashes[0], record.place.entry(Direction::Original))?;
    let reply = if single { None } else { locks.locate(hashes[1], record.place.entry(Direction::Reply))? };
    Ok([original, reply])
}
