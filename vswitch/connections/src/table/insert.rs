//! Putting a connection in.

use super::Table;
use crate::layout::Line;
use crate::place::{Family, Place};
use crate::record::Record;
use crate::tuple::Key;
use crate::{Connection, Direction, New, RecordId, Refused, State, Tick};

impl Table {
    /// Puts a connection in; both directions find it from then on.
    ///
    /// Of several threads that insert the same tuple, one succeeds and the others get its connection.
    ///
    /// # Errors
    /// See [`Refused`]. A tuple that is taken is reported before a lack of room.
    pub fn insert(&self, new: &New, now: Tick) -> Result<Connection, Refused> {
        let keys = keys(new)?;
        let hashes = [self.hash_of(&keys[0]), self.hash_of(&keys[1])];
        // A packet to oneself: both directions are one tuple, and one entry is all there can be.
        let single = keys[0] == keys[1];
        let lines = self.lines();
        let index = self.layout.index_of(lines);
        loop {
            let mut locks = index.lock(hashes);
            // Mostly there is no such tag in the bucket, and nothing to be read.
            if index.may_hold(hashes[0])
                && let Some(other) = self.find_key(hashes[0], &keys[0])
            {
                return Err(Refused::OriginalTaken(other));
            }
            if !single && index.may_hold(hashes[1]) && self.find_key(hashes[1], &keys[1]).is_some() {
                return Err(Refused::ReplyTaken);
            }
            let Ok(original) = locks.reserve(hashes[0], None) else {
                locks.give_way();
                continue;
            };
            let original = original.ok_or(Refused::Full)?;
            let reply = if single {
                None
            } else {
                let Ok(reply) = locks.reserve(hashes[1], Some(original)) else {
                    locks.give_way();
                    continue;
                };
                Some(reply.ok_or(Refused::Full)?)
            };
            self.counts_in(lines).add(new.owner)?;
            let Some(record) = self.take_record(lines, family(&keys[0])) else {
                self.counts_in(lines).subtract(new.owner);
                return Err(Refused::Full);
            };
            locks.fill(original, record.place.entry(Direction::Original));
            if let Some(reply) = reply {
                locks.fill(reply, record.place.entry(Direction::Reply));
            }
            let state = State::first(new.original.protocol, new.segment);
            let incarnation = record.put(new, &keys, state, now);
            return Ok(as_found(new, RecordId { place: record.place, incarnation }, state));
        }
    }

    #[inline]
    pub(super) fn take_record<'t>(&self, lines: &'t [Line], family: Family) -> Option<Record<'t>> {
        let number = self.pool_in(lines, family).take()?;
        self.record_in(lines, Place::new(family, number))
    }
}

#[inline]
fn family(key: &Key) -> Family {
    match key {
        Key::V4 { .. } => Family::V4,
        Key::V6 { .. } => Family::V6,
    }
}

#[inline]
fn keys(new: &New) -> Result<[Key; 2], Refused> {
    let (Some(original), Some(reply)) = (Key::of(&new.original), Key::of(&new.reply)) else {
        return Err(Refused::Mismatch);
    };
    let same_family = matches!((original, reply), (Key::V4 { .. }, Key::V4 { .. }) | (Key::V6 { .. }, Key::V6 { .. }));
    if same_family && new.original.protocol == new.reply.protocol {
        Ok([original, reply])
    } else {
        Err(Refused::Mismatch)
    }
}

#[inline]
fn as_found(new: &New, id: RecordId, state: State) -> Connection {
    Connection {
        id,
        direction: Direction::Original,
        original: new.original,
        reply: new.reply,
        actions: new.actions,
        generation: new.generation,
        owner: new.owner,
        flags: new.flags,
        mss: new.mss,
        state,
    }
}
