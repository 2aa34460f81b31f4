//! Bytes read as a script: packets into a node with something of everything on it, time that passes, objects that change.
//! Most packets are right ones that the bytes choose and then change, so that mutations get past the parse; some answer or
//! quote what left before. Property tests and the fuzz targets play scripts.
//!
//! ```text
//! input --Script--> Step --Rig--> the paths of one or two workers --sound--> what left, for the next step
//! ```
//!
//! [`exercise`] plays a script in plain memory, [`compare`] with and without the path's shortcut;
//! `vswitch/worker/tests/any_frames.rs` plays one over rings.

mod bytes;
mod frames;
mod ground;
mod mutate;
mod rig;
mod sound;

use core::time::Duration;

use sluice_tables::PortId;

use crate::cluster::Encapsulation;
use crate::traffic::From;
use crate::wiring::{HOST_PORT, port_of, uplink_of};
use bytes::Bytes;
use frames::Frames;

pub use ground::Ground;
pub use rig::{compare, exercise};
pub use sound::{Arrived, Left, Sent, check, transport_is_right};

/// What a script is mostly about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// Tunnel packets.
    Decapsulation,
    /// ICMP errors.
    Quotes,
    /// Fragments.
    Fragments,
    /// Everything.
    Cluster,
    /// Packets of connections that there are.
    Known,
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A packet comes.
    Frame(Given),
    /// Time passes.
    Wait(Duration),
    /// The objects have changed: the next tables hold.
    Publish,
}

/// A packet and how it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its port, which may not exist.
    pub port: PortId,
    /// Its bytes.
    pub frame: Vec<u8>,
    /// How many of them the first frame of its chain holds at most.
    pub first: usize,
    /// Whether there is room in front of it.
    pub headroom: bool,
    /// Whether the next belongs to the same burst.
    pub together: bool,
}

/// Packets that left, and packets that came, that are remembered.
const REMEMBERED: usize = 8;

/// An input on its way to be played.
pub struct Script<'d> {
    bytes: Bytes<'d>,
    focus: Focus,
    frames: Frames,
    /// Workers, 1 or 2.
    pub workers: usize,
    left: Vec<Left>,
    /// Right packets that came.
    came: Vec<(From, Vec<u8>)>,
}

impl<'d> Script<'d> {
    /// The script in `data`. Its first byte chooses how the nodes are joined and how many workers there are.
    #[must_use]
    pub fn new(focus: Focus, data: &'d [u8]) -> Self {
        let mut bytes = Bytes::new(data);
        let first = bytes.byte();
        let tunnels = [Encapsulation::Vxlan, Encapsulation::Geneve];
        let encapsulation = match (focus, first >> 1 & 3) {
            (Focus::Quotes | Focus::Fragments | Focus::Cluster | Focus::Known, 3) => Encapsulation::None,
            (_, choice) => tunnels[usize::from(choice & 1)],
        };
        let workers = 1 + usize::from(first & 1);
        let frames = Frames { ground: ground::ground(encapsulation, workers), encapsulation };
        Self { bytes, focus, frames, workers, left: Vec::new(), came: Vec::new() }
    }

    /// What it is played on.
    #[must_use]
    pub fn ground(&self) -> &'static Ground {
        self.frames.ground
    }

    /// Tells it what left, for later steps to answer or quote.
    pub fn remember(&mut self, left: Left) {
        if self.left.len() >= REMEMBERED {
            self.left.remove(0);
        }
        self.left.push(left);
    }

    /// The next step, until the bytes are used up.
    pub fn step(&mut self) -> Option<Step> {
        if self.bytes.is_empty() {
            return None;
        }
        let kind = self.bytes.byte();
        match kind {
            250.. => return Some(Step::Publish),
            240..250 => {
                let steps = [1, 100, 900, 1100, 5000, 31_000, 130_000, 700_000];
                return Some(Step::Wait(Duration::from_millis(self.bytes.one_of(&steps))));
            }
            _ => {}
        }
        let (from, mut frame) = self.packet(kind);
        if self.focus == Focus::Known {
            if self.came.len() >= REMEMBERED {
                self.came.remove(0);
            }
            self.came.push((from, frame.clone()));
        }
        mutate::apply(&mut frame, &mut self.bytes);
        Some(Step::Frame(self.given(from, frame)))
    }

    fn packet(&mut self, kind: u8) -> (From, Vec<u8>) {
        let Self { bytes, frames, left, focus, came, .. } = self;
        let kind = kind % 16;
        if *focus == Focus::Known && kind >= 7 && !came.is_empty() {
            let (from, frame) = &came[bytes.below(came.len())];
            return (*from, frames.again(*from, frame, bytes));
        }
        // Which of 16 kinds are packets of flows, answers, errors, fragments, questions; the rest is any bytes.
        let [flows, answers, errors, pieces, questions] = match focus {
            Focus::Decapsulation => [9, 11, 12, 15, 15],
            Focus::Quotes => [4, 6, 15, 16, 16],
            Focus::Fragments => [2, 3, 4, 16, 16],
            Focus::Cluster => [6, 10, 12, 14, 15],
            Focus::Known => [3, 6, 7, 7, 7],
        };
        let last = if left.is_empty() { None } else { left.get(bytes.below(left.len())) };
        let made = match kind {
            kind if kind < flows => None,
            kind if kind < answers => last.and_then(|left| frames.answer(left, bytes)),
            kind if kind < errors => {
                let quoted = if bytes.seldom(30) { None } else { last };
                frames.error(quoted, bytes)
            }
            kind if kind < pieces => frames.piece(bytes),
            kind if kind < questions => Some(frames.question(bytes)),
            _ => {
                let length = usize::from(bytes.byte());
                let from = bytes.one_of(&[From::Pod(0), From::Host, From::Outside]);
                Some((from, bytes.take(length).to_vec()))
            }
        };
        made.unwrap_or_else(|| match focus {
            Focus::Decapsulation => frames.arrival(bytes),
            _ => frames.flow(bytes),
        })
    }

    fn given(&mut self, from: From, frame: Vec<u8>) -> Given {
        let bytes = &mut self.bytes;
        let ways = bytes.byte();
        let mut port = match from {
            From::Pod(pod) => port_of(pod),
            From::Host => HOST_PORT,
            From::Peer(_) | From::Outside => uplink_of(usize::from(ways & 1) % self.workers),
        };
        if bytes.seldom(6) {
            port = PortId(u16::from(bytes.byte() % 20));
        }
        let first = if bytes.seldom(16) { bytes.below(256) } else { usize::MAX };
        Given { port, frame, first, headroom: ways & 0xf0 != 0xf0, together: ways & 2 != 0 }
    }
}
