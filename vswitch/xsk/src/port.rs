//! The four rings of one device queue: receive, send, reclaim, refill.
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::features::Features;
use crate::frame::{Burst, Packet, Segment};
use crate::level::{FillShare, Level};
use crate::offload::Partial;
use crate::pool::Pool;
use crate::ring::{CONTINUED, Consumer, Descriptor, Producer, TX_METADATA};
use crate::statistics::Statistics;
use crate::umem::{RingsId, Umem};
use crate::{CHUNK_SIZE, MAX_SEGMENTS, TX_METADATA_LEN};

/// Why a packet was not taken for sending. Its segments are still the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The tx ring has no room for all its segments now.
    RingFull,
    /// It asks for a checksum that this port cannot ask the kernel for: see [`Port::offloads`].
    Checksum,
    /// It has no segment, or more than [`MAX_SEGMENTS`], or more than one without multi-buffer.
    Shape,
}

/// The rings of one socket, and the frames that are on them. Dropping it closes it: see [`Port::close`].
#[derive(Debug)]
pub struct Port {
    umem: Arc<Umem>,
    rings: RingsId,
    fill: Producer<u64>,
    completion: Consumer<u64>,
    rx: Consumer<Descriptor>,
    tx: Producer<Descriptor>,
    socket: Option<Arc<OwnedFd>>,
    anchor: bool,
    features: Features,
    /// Frames given to the fill ring and not yet received with a packet.
    filled: u32,
    level: Level,
    /// Frames given to the tx ring and not yet completed.
    sending: u32,
    /// In the middle of throwing away a packet with too many segments.
    skipping: bool,
    closed: bool,
    statistics: Statistics,
}

/// The four rings, as made by `socket` or `pair`.
#[derive(Debug)]
pub(crate) struct Rings {
    pub(crate) fill: Producer<u64>,
    pub(crate) completion: Consumer<u64>,
    pub(crate) rx: Consumer<Descriptor>,
    pub(crate) tx: Producer<Descriptor>,
}

impl Port {
    pub(crate) fn new(
        umem: Arc<Umem>,
        rings_id: RingsId,
        rings: Rings,
        socket: Option<Arc<OwnedFd>>,
        anchor: bool,
        features: Features,
        share: FillShare,
    ) -> Port {
        let level = Level::new(rings.fill.size(), share, umem.in_depot(), umem.frames());
        let Rings { fill, completion, rx, tx } = rings;
        Port {
            umem,
            rings: rings_id,
            fill,
            completion,
            rx,
            tx,
            socket,
            anchor,
            features,
            filled: 0,
            level,
            sending: 0,
            skipping: false,
            closed: false,
            statistics: Statistics::default(),
        }
    }

    /// Whether its frames are of this memory.
    pub fn is_on(&self, umem: &Arc<Umem>) -> bool {
        Arc::ptr_eq(&self.umem, umem)
    }

    /// The socket, to poll and to enter into the XDP program's map; `None` for a port in plain memory.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(|s| s.as_fd())
    }

    /// What is in use on this port.
    pub fn features(&self) -> Features {
        self.features
    }

    /// What was done so far.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Packets thrown away on receipt so far: those of too many segments, and those with a bad descriptor.
    #[inline]
    pub fn receive_errors(&self) -> (u64, u64) {
        (self.statistics.rx_too_long, self.statistics.rx_bad_descriptor)
    }

    /// What the kernel counted on this socket, with every packet it could not hand over.
    pub fn kernel_statistics(&self) -> Option<rustix::net::xdp::XdpStatistics> {
        rustix::net::sockopt::xdp_statistics(self.socket.as_ref()?).ok()
    }

    /// Appends complete received packets to `burst` until it is full or there are none; returns how many.
    ///
    /// A packet whose last descriptor is not there yet stays on the ring.
    pub fn receive(&mut self, burst: &mut Burst, pool: &mut Pool) -> usize {
        let before = burst.packets.len();
        if self.skipping {
            self.skip(pool);
        }
        while !self.skipping && burst.has_room() {
            match self.segments_of_next() {
                None => break,
                Some(count) if count > MAX_SEGMENTS as u32 => {
                    self.statistics.rx_too_long += 1;
                    self.skipping = true;
                    self.skip(pool);
                }
                Some(count) => self.receive_one(count, burst, pool),
            }
        }
        self.rx.release();
        burst.packets.len() - before
    }

    /// Descriptors of the next packet, one more than allowed when it has too many; `None` when it is not complete.
    #[inline]
    fn segments_of_next(&mut self) -> Option<u32> {
        let mut count = 0;
        loop {
            let descriptor = self.rx.peek(count)?;
            count += 1;
            if descriptor.options & CONTINUED == 0 || count > MAX_SEGMENTS as u32 {
                return Some(count);
            }
        }
    }

    #[inline]
    fn receive_one(&mut self, count: u32, burst: &mut Burst, pool: &mut Pool) {
        let mark = burst.segments.len();
        let mut len = 0;
        let mut good = true;
        for _ in 0..count {
            let Some(descriptor) = self.rx.pop() else { break };
            match self.segment(descriptor) {
                Some(Ok(segment)) => {
                    len += u32::from(segment.len);
                    burst.segments.push(segment);
                }
                Some(Err(frame)) => {
                    pool.give(frame);
                    good = false;
                }
                None => good = false,
            }
        }
        if good {
            self.statistics.rx_packets += 1;
            self.statistics.rx_bytes += u64::from(len);
            burst.packets.push(Packet { segments: count as u16, len });
        } else {
            self.statistics.rx_bad_descriptor += 1;
            burst.segments.drain(mark..).for_each(|s| pool.give_segment(s));
        }
    }

    #[inline]
    fn segment(&mut self, descriptor: Descriptor) -> Option<Result<Segment, crate::Frame>> {
        let (frame, offset) = self.umem.take_back(descriptor.addr, self.rings)?;
        self.filled = self.filled.saturating_sub(1);
        Some(Segment::new(frame, offset, descriptor.len as usize))
    }

    /// Throws away descriptors up to the end of a packet that is too long.
    #[cold]
    fn skip(&mut self, pool: &mut Pool) {
        while let Some(descriptor) = self.rx.pop() {
            match self.segment(descriptor) {
                Some(Ok(segment)) => pool.give_segment(segment),
                Some(Err(frame)) => pool.give(frame),
                None => {}
            }
            if descriptor.options & CONTINUED == 0 {
                self.skipping = false;
                return;
            }
        }
    }

    /// Whether the kernel would send these segments. A descriptor that is empty, or without room in front for TX metadata
    /// where that is in use (`xp_aligned_validate_desc` asks for it in front of every one), is taken off the tx ring unsent,
    /// and so are those before it in its chain. Kernels differ in whether their frames are completed.
    #[inline]
    pub fn accepts(&self, packet: &[Segment]) -> bool {
        let room = if self.features.tx_metadata { TX_METADATA_LEN } else { 0 };
        packet.iter().all(|segment| segment.len > 0 && usize::from(segment.offset) >= room)
    }

    /// Whether the kernel can be asked to complete this checksum: TX metadata is in use, the head segment has room in front
    /// for it, and the field lies in the head segment.
    #[inline]
    pub fn offloads(&self, head: &Segment, partial: Partial) -> bool {
        self.features.tx_metadata
            && usize::from(head.offset) >= TX_METADATA_LEN
            && u32::from(partial.start) + u32::from(partial.offset) + 2 <= u32::from(head.len)
    }

    /// Puts one packet on the tx ring, all of it or nothing. Sent with the next [`Port::kick`].
    ///
    /// On refusal nothing was taken from `packet`. The caller has asked [`Port::accepts`].
    pub fn send(
        &mut self,
        mut packet: impl ExactSizeIterator<Item = Segment>,
        partial: Option<Partial>,
    ) -> Result<(), Refused> {
        let count = packet.len();
        let longest = if self.features.multi_buffer { MAX_SEGMENTS } else { 1 };
        if count == 0 || count > longest {
            return Err(Refused::Shape);
        }
        if (self.tx.free(count as u32) as usize) < count {
            return Err(Refused::RingFull);
        }
        let Some(mut head) = packet.next() else { return Err(Refused::Shape) };
        let mut options = if count > 1 { CONTINUED } else { 0 };
        if let Some(partial) = partial {
            // Checked by the caller through `offloads`; a packet that slipped through is sent with the field as it is.
            debug_assert!(self.offloads(&head, partial));
            if self.offloads(&head, partial) {
                self.write_metadata(&mut head, partial);
                options |= TX_METADATA;
            }
        }
        let mut bytes = self.put(head, options);
        for (i, segment) in packet.enumerate() {
            bytes += self.put(segment, if i + 2 < count { CONTINUED } else { 0 });
        }
        self.statistics.tx_packets += 1;
        self.statistics.tx_bytes += bytes;
        Ok(())
    }

    #[inline]
    fn put(&mut self, segment: Segment, options: u32) -> u64 {
        let Segment { frame, offset, len } = segment;
        // The fields are public: a segment set beyond its chunk must not make the kernel read the next one.
        let offset = offset.min(CHUNK_SIZE as u16);
        let len = len.min(CHUNK_SIZE as u16 - offset);
        let addr = self.umem.hand_over(frame, self.rings) + u64::from(offset);
        let pushed = self.tx.push(Descriptor { addr, len: u32::from(len), options });
        debug_assert!(pushed, "room was checked");
        self.sending += 1;
        u64::from(len)
    }

    #[inline]
    fn write_metadata(&self, head: &mut Segment, partial: Partial) {
        let before = self.umem.chunk_mut(&mut head.frame).get_mut(..usize::from(head.offset));
        if let Some(room) = before.and_then(|before| before.last_chunk_mut()) {
            partial.write(room);
        }
    }

    /// Publishes what was put on the tx ring and, where the kernel needs it, makes the system call that sends it.
    /// Returns whether descriptors wait for a receiver that has no room: then it is worth calling again. Those of a device
    /// that is down or gone wait too, but for the next packet.
    pub fn kick(&mut self) -> bool {
        self.tx.submit();
        if self.tx.outstanding() == 0 {
            return false;
        }
        let Some(socket) = &self.socket else { return true };
        if self.features.need_wakeup && !self.tx.needs_wakeup() {
            return true;
        }
        self.statistics.kicks += 1;
        match send(socket, &[], SendFlags::DONTWAIT) {
            Ok(_) | Err(Errno::AGAIN | Errno::BUSY | Errno::NOBUFS | Errno::NOMEM) => self.tx.outstanding() > 0,
            Err(_) => {
                self.statistics.kick_errors += 1;
                false
            }
        }
    }

    /// Takes back the frames of packets that were sent; returns how many.
    pub fn reclaim(&mut self, pool: &mut Pool) -> usize {
        let mut count = 0;
        while let Some(addr) = self.completion.pop() {
            match self.umem.take_back(addr, self.rings) {
                Some((frame, _)) => {
                    pool.give(frame);
                    self.sending = self.sending.saturating_sub(1);
                    count += 1;
                }
                None => self.statistics.bad_completion += 1,
            }
        }
        if count > 0 {
            self.completion.release();
        }
        count
    }

    /// Whether the fill ring lacks frames, as the last refill found too few. Nothing may ever be received without another.
    #[inline]
    pub fn is_short(&self) -> bool {
        self.filled < self.level.target()
    }

    /// Puts free frames on the fill ring up to the port's level, which follows what the kernel uses and what memory is free.
    pub fn refill(&mut self, pool: &mut Pool) {
        let drained = self.statistics.rx_packets > 0 && self.fill.outstanding() < self.level.target() / 2;
        let left = self.umem.in_depot().saturating_sub(self.level.target().saturating_sub(self.filled) as usize);
        self.level.adapt(drained, left, self.umem.frames());
        let want = self.level.target().saturating_sub(self.filled);
        if want == 0 {
            return;
        }
        for _ in 0..self.fill.free(want).min(want) {
            let Some(frame) = pool.take() else {
                self.statistics.no_frame += 1;
                break;
            };
            let addr = self.umem.hand_over(frame, self.rings);
            let pushed = self.fill.push(addr);
            debug_assert!(pushed, "room was checked");
            self.filled += 1;
        }
        self.fill.submit();
    }

    /// Whether packets put on the tx ring are not yet completed.
    pub fn is_sending(&self) -> bool {
        self.sending > 0
    }

    /// Frames on the rings, or in the kernel behind them.
    pub fn frames_held(&self) -> u32 {
        self.filled + self.sending
    }

    /// Closes the socket and gives every frame to the depot; returns how many came back from the kernel.
    ///
    /// Blocks for a network grace period (tens of milliseconds): not for a worker. After `close` the kernel no longer
    /// touches frames of a copy-mode socket (`xsk_release` waits by `synchronize_net`), so they are taken back wherever they
    /// were. A zero-copy device may still be reading: those frames stay withheld until the process ends.
    ///
    /// Closing the anchor ends sharing with it: the next socket bound on this memory registers it anew and is its anchor.
    pub fn close(mut self) -> usize {
        self.end()
    }

    fn end(&mut self) -> usize {
        if std::mem::replace(&mut self.closed, true) {
            return 0;
        }
        if self.anchor {
            *self.umem.anchor() = None;
        }
        let plain = self.socket.is_none();
        // The last reference: the anchor's other one was just dropped, and is lent to nobody but under its lock.
        self.socket = None;
        if self.features.zero_copy {
            return 0;
        }
        let count = self.umem.take_back_all(self.rings);
        if !plain {
            self.umem.retire_rings(self.rings);
        }
        count
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.end();
    }
}
