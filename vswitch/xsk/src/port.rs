//! The four rings of one device queue: receive, send, reclaim, refill.
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::features::Features;
use crate::frame::{Burst, Packet, Segment};
use crate::pool::Pool;
use crate::ring::{CONTINUED, Consumer, Descriptor, Producer, TX_METADATA};
use crate::umem::{RingsId, Umem};
use crate::{CHUNK_SIZE, MAX_SEGMENTS, TX_METADATA_LEN};

/// `XDP_TXMD_FLAGS_CHECKSUM` (`include/uapi/linux/if_xdp.h`).
const TXMD_CHECKSUM: u64 = 1 << 1;

/// Frames kept on the fill ring of a port that is quiet: 512 KiB.
const FILL_QUIET: u32 = 128;

/// Where the receiver is to put a packet's checksum: the field holds the pseudo-header sum until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// Where summing begins, in bytes from the packet's start.
    pub start: u16,
    /// Where the field lies, in bytes from `start`.
    pub offset: u16,
}

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

/// What a port has done since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Packets and bytes received whole.
    pub rx_packets: u64,
    /// Bytes of them.
    pub rx_bytes: u64,
    /// Packets put on the tx ring.
    pub tx_packets: u64,
    /// Bytes of them.
    pub tx_bytes: u64,
    /// Received packets thrown away because they had more than [`MAX_SEGMENTS`] segments.
    pub rx_too_long: u64,
    /// Received packets thrown away because a descriptor led outside the memory or to a frame not given to this port.
    pub rx_bad_descriptor: u64,
    /// Completions that named a frame not given to this port.
    pub bad_completion: u64,
    /// System calls made to have the tx ring looked at.
    pub kicks: u64,
    /// Of those, the ones the kernel refused for another reason than "later".
    pub kick_errors: u64,
    /// Refills that found no free frame.
    pub no_frame: u64,
}

/// The rings of one socket, and the frames that are on them.
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
    /// Frames to keep there.
    fill_target: u32,
    /// Frames given to the tx ring and not yet completed.
    sending: u32,
    /// In the middle of throwing away a packet with too many segments.
    skipping: bool,
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
    ) -> Port {
        let fill_target = FILL_QUIET.min(rings.fill.size());
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
            fill_target,
            sending: 0,
            skipping: false,
            statistics: Statistics::default(),
        }
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
            if let Some(Ok(segment)) = self.segment(descriptor) {
                pool.give_segment(segment);
            }
            if descriptor.options & CONTINUED == 0 {
                self.skipping = false;
                return;
            }
        }
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
    /// On refusal nothing was taken from `packet`.
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
        let end = usize::from(head.offset);
        let room = &mut self.umem.chunk_mut(&mut head.frame)[end - TX_METADATA_LEN..end];
        room[..8].copy_from_slice(&TXMD_CHECKSUM.to_ne_bytes());
        room[8..10].copy_from_slice(&partial.start.to_ne_bytes());
        room[10..12].copy_from_slice(&partial.offset.to_ne_bytes());
        room[12..].fill(0);
    }

    /// Publishes what was put on the tx ring and, where the kernel needs it, makes the system call that sends it.
    /// Returns whether descriptors are still waiting to be sent.
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
            Ok(_) | Err(Errno::AGAIN | Errno::BUSY | Errno::NOBUFS) => {}
            Err(_) => self.statistics.kick_errors += 1,
        }
        self.tx.outstanding() > 0
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

    /// Puts free frames on the fill ring up to the port's level. The level starts low and doubles whenever the kernel is
    /// found to have used nearly all of it, so that a quiet port binds little memory and a busy one is not starved.
    pub fn refill(&mut self, pool: &mut Pool) {
        if self.statistics.rx_packets > 0 && self.fill.outstanding() < self.fill_target / 4 {
            self.fill_target = (self.fill_target * 2).min(self.fill.size());
        }
        let want = self.fill_target.saturating_sub(self.filled);
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
    pub fn close(self) -> usize {
        let Port { umem, rings, socket, anchor, features, .. } = self;
        if anchor {
            umem.set_anchor(None);
        }
        let plain = socket.is_none();
        drop(socket);
        if features.zero_copy {
            return 0;
        }
        let count = umem.take_back_all(rings);
        if !plain {
            umem.retire_rings(rings);
        }
        count
    }
}
