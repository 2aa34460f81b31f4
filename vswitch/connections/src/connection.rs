//! What a record says, as values: what is put in, and the copy that a look-up gives.

use crate::{Segment, State, Tuple};

/// Which of a connection's two tuples a packet matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Direction {
    /// As the first packet went.
    Original = 0,
    /// The other way.
    Reply = 1,
}

impl Direction {
    /// The other one.
    #[must_use]
    #[inline]
    pub const fn reversed(self) -> Direction {
        match self {
            Direction::Original => Direction::Reply,
            Direction::Reply => Direction::Original,
        }
    }
}

/// What is done to the packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Action {
    /// Where they leave, in the path's own encoding; opaque here.
    pub egress: u32,
    /// What to add to the IPv4 header checksum, a ones' complement difference (RFC 1624).
    pub l3_delta: u16,
    /// What to add to the transport checksum, a ones' complement difference (RFC 1624).
    pub l4_delta: u16,
}

/// Whose share a connection counts against: the id of the port of the pod that began it, else of the local pod that
/// was addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(pub u16);

impl Owner {
    /// The node itself, and what comes over its uplink for others than its pods: limited to three quarters of the table, so
    /// that a flood from outside leaves room for the pods.
    pub const NODE: Owner = Owner(u16::MAX);
}

/// Names one record for as long as the connection in it lives; afterwards it names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordId {
    /// Pool and place in it.
    pub(crate) place: crate::place::Place,
    /// How many connections the place has held.
    pub(crate) incarnation: u32,
}

/// A connection to be put into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct New {
    /// Tuple of the packets of the original direction, as they arrive.
    pub original: Tuple,
    /// Tuple of the packets of the reply direction, as they arrive. Of the same family and protocol.
    pub reply: Tuple,
    /// What is done to each direction, by [`Direction`].
    pub actions: [Action; 2],
    /// The generation of the tables that this was decided under.
    pub generation: u32,
    /// Whose share it counts against.
    pub owner: Owner,
    /// The path's own.
    pub flags: u16,
    /// The smaller maximum segment size that the two ends announced so far, in bytes; 0 while unknown.
    pub mss: u16,
    /// What the first packet is.
    pub segment: Segment,
}

/// A consistent copy of a record, found by a tuple of either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The record.
    pub id: RecordId,
    /// Which of the tuples was looked for.
    pub direction: Direction,
    /// Tuple of the packets of the original direction.
    pub original: Tuple,
    /// Tuple of the packets of the reply direction.
    pub reply: Tuple,
    /// What is done to each direction, by [`Direction`].
    pub actions: [Action; 2],
    /// The generation of the tables that this was decided under; [`Connection::UNDECIDED`] after the table was adopted.
    pub generation: u32,
    /// Whose share it counts against.
    pub owner: Owner,
    /// The path's own.
    pub flags: u16,
    /// The smaller maximum segment size that the two ends announced, in bytes; 0 while unknown.
    pub mss: u16,
    /// Where the connection is in its life.
    pub state: State,
}

impl Connection {
    /// The generation of adopted connections: that of no tables, so that each is decided again on its next packet.
    pub const UNDECIDED: u32 = 0;

    /// What is done to packets of the direction that was looked for.
    #[must_use]
    #[inline]
    pub const fn action(&self) -> Action {
        match self.direction {
            Direction::Original => self.actions[0],
            Direction::Reply => self.actions[1],
        }
    }
}

/// Why a connection was not put into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No record is free.
    #[error("the connection table is full: raise its capacity, or wait for connections to expire")]
    Full,
    /// The owner has as many connections as one pod, or the node, may have.
    #[error(
        "the owner has its whole share of the connection table: raise the share or the capacity, or let it open fewer"
    )]
    Share,
    /// The original tuple belongs to a connection already, often because another worker was faster: use that one.
    #[error("a connection has that original tuple already")]
    OriginalTaken(Connection),
    /// The reply tuple belongs to another connection: choose other ports.
    #[error("a connection has that reply tuple already: choose another port")]
    ReplyTaken,
    /// The four addresses are not of one family, or the two protocols differ.
    #[error("original and reply tuple differ in address family or protocol")]
    Mismatch,
}

/// What one call of [`crate::Table::sweep`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Records looked at.
    pub seen: u32,
    /// Connections that had been idle for too long, and were removed.
    pub expired: u32,
    /// Whether the shared cursor came past the last record, so that every record has been seen since the last time.
    pub wrapped: bool,
}
