//! A port over plain memory and the kernel's end of it, so that everything above the rings is driven with no kernel and no
//! root by the same code that drives real sockets.
//!
//! The kernel's end reaches a frame's bytes without a token, as the kernel does, and only while the frame's owner word says
//! that it was handed to these rings: then no token exists.
#![allow(unsafe_code, reason = "plays the kernel, which reaches frames by address; the argument is above")]

use std::sync::Arc;

use crate::features::Features;
use crate::level::FillShare;
use crate::port::{Port, Rings};
use crate::ring::{CONTINUED, Consumer, Descriptor, Entry, Producer, TX_METADATA, Words};
use crate::umem::{RingsId, Umem};
use crate::{CHUNK_SIZE, HEADROOM, Partial, TX_METADATA_LEN};

/// The kernel's end of a port's rings.
#[derive(Debug)]
pub struct Kernel {
    umem: Arc<Umem>,
    rings: RingsId,
    fill: Consumer<u64>,
    completion: Producer<u64>,
    rx: Producer<Descriptor>,
    tx: Consumer<Descriptor>,
    /// Sent and not yet completed.
    taken: Vec<u64>,
}

/// A packet as the far end got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// All its bytes.
    pub bytes: Vec<u8>,
    /// Bytes in each segment.
    pub segments: Vec<usize>,
    /// The checksum it asks to be completed.
    pub partial: Option<Partial>,
}

/// A port and the kernel's end of it, with rings of `size` entries (a power of two).
pub fn pair(umem: &Arc<Umem>, size: u32, features: Features) -> Option<(Port, Kernel)> {
    let rings = umem.new_rings()?;
    let (fill, far_fill) = ring::<u64>(size)?;
    let (far_completion, completion) = ring::<u64>(size)?;
    let (far_rx, rx) = ring::<Descriptor>(size)?;
    let (tx, far_tx) = ring::<Descriptor>(size)?;
    let port =
        Port::new(umem.clone(), rings, Rings { fill, completion, rx, tx }, None, false, features, FillShare::default());
    let kernel = Kernel {
        umem: umem.clone(),
        rings,
        fill: far_fill,
        completion: far_completion,
        rx: far_rx,
        tx: far_tx,
        taken: Vec::new(),
    };
    Some((port, kernel))
}

fn ring<T: Entry>(size: u32) -> Option<(Producer<T>, Consumer<T>)> {
    let (near, far) = Words::plain(size)?;
    Some((Producer::over(near), Consumer::over(far)))
}

impl Kernel {
    /// Delivers a packet in frames of at most `frame` bytes; `false` when the fill or rx ring has no room (a drop).
    pub fn deliver(&mut self, packet: &[u8], frame: usize) -> bool {
        let frame = frame.clamp(1, CHUNK_SIZE - HEADROOM);
        let pieces: Vec<&[u8]> = if packet.is_empty() { vec![packet] } else { packet.chunks(frame).collect() };
        let count = pieces.len() as u32;
        if self.fill.available(count) < count || self.rx.free(count) < count {
            return false;
        }
        for (i, piece) in pieces.iter().enumerate() {
            let Some(addr) = self.fill.pop() else { return false };
            let addr = addr + HEADROOM as u64;
            self.write(addr, piece);
            let options = if i + 1 < pieces.len() { CONTINUED } else { 0 };
            let _ = self.rx.push(Descriptor { addr, len: piece.len() as u32, options });
        }
        self.fill.release();
        self.rx.submit();
        true
    }

    /// Puts any descriptor on the rx ring: what a broken kernel might.
    pub fn deliver_raw(&mut self, descriptor: Descriptor) -> bool {
        let pushed = self.rx.push(descriptor);
        self.rx.submit();
        pushed
    }

    /// Writes bytes at any address that these rings hold, and puts its descriptor on the rx ring.
    pub fn deliver_bytes(&mut self, addr: u64, bytes: &[u8], options: u32) -> bool {
        self.write(addr, bytes);
        self.deliver_raw(Descriptor { addr, len: bytes.len() as u32, options })
    }

    /// Takes one address off the fill ring.
    pub fn take_fill(&mut self) -> Option<u64> {
        let addr = self.fill.pop();
        self.fill.release();
        addr
    }

    /// Puts any address on the completion ring: what a broken kernel might.
    pub fn complete_raw(&mut self, addr: u64) -> bool {
        let pushed = self.completion.push(addr);
        self.completion.submit();
        pushed
    }

    /// Takes up to `limit` packets off the tx ring. Their frames are completed by [`Kernel::complete`].
    pub fn transmit(&mut self, limit: usize) -> Vec<Sent> {
        let mut packets = Vec::new();
        while packets.len() < limit {
            let Some(head) = self.tx.pop() else { break };
            let partial = (head.options & TX_METADATA != 0).then(|| self.metadata(head.addr));
            let mut sent = Sent { bytes: Vec::new(), segments: Vec::new(), partial };
            let mut descriptor = head;
            loop {
                let bytes = self.read(descriptor.addr, descriptor.len as usize);
                sent.segments.push(bytes.len());
                sent.bytes.extend(bytes);
                self.taken.push(descriptor.addr);
                if descriptor.options & CONTINUED == 0 {
                    break;
                }
                let Some(next) = self.tx.pop() else { break };
                descriptor = next;
            }
            packets.push(sent);
        }
        self.tx.release();
        packets
    }

    /// Completes up to `limit` frames of transmitted packets; returns how many.
    pub fn complete(&mut self, limit: usize) -> usize {
        let count = limit.min(self.taken.len()).min(self.completion.free(self.taken.len() as u32) as usize);
        for addr in self.taken.drain(..count) {
            let _ = self.completion.push(addr);
        }
        self.completion.submit();
        count
    }

    fn metadata(&self, addr: u64) -> Partial {
        let bytes = self.read(addr - TX_METADATA_LEN as u64, TX_METADATA_LEN);
        let word = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        Partial { start: word(8), offset: word(10) }
    }

    fn read(&self, addr: u64, len: usize) -> Vec<u8> {
        let at = self.umem.lent(addr, len, self.rings);
        // SAFETY: why needed: the kernel's end has no token. Why sound: `lent` checked the bounds and that the frame was
        // handed to these rings, so no token for it exists and nobody else refers to its bytes.
        unsafe { std::slice::from_raw_parts(at.as_ptr(), len) }.to_vec()
    }

    fn write(&self, addr: u64, bytes: &[u8]) {
        let at = self.umem.lent(addr, bytes.len(), self.rings);
        // SAFETY: as for `read`; source and target cannot overlap, as nobody else refers to the frame's bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at.as_ptr(), bytes.len()) };
    }
}
