//! IPv4 (RFC 791).

use std::net::Ipv4Addr;

use crate::bytes::{between, between_mut, put, put_u16, u16_at, v4_at};
use crate::checksum::{self, Sum};
use crate::{Layer, Malformed};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub const MAX_HEADER_LEN: usize = 60;
/// Bytes of the longest packet.
pub const MAX_LEN: usize = 65_535;

mod field {
    pub(super) const VERSION_IHL: usize = 0;
    pub(super) const TRAFFIC_CLASS: usize = 1;
    pub(super) const TOTAL_LEN: usize = 2;
    pub(super) const IDENTIFICATION: usize = 4;
    pub(super) const FRAGMENT: usize = 6;
    pub(super) const TTL: usize = 8;
    pub(super) const PROTOCOL: usize = 9;
    pub(super) const CHECKSUM: usize = 10;
    pub(super) const SOURCE: usize = 12;
    pub(super) const DESTINATION: usize = 16;
}

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// A view over an IPv4 packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Checks the header and that the whole packet is in the buffer. Bytes after it are padding.
    ///
    /// # Errors
    /// As [`Packet::new_header`]; [`Malformed::BadTotalLength`] also when the packet is longer than the buffer.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        let packet = Self::new_header(buffer)?;
        let have = packet.buffer.as_ref().len();
        if packet.total_len() > have {
            return Err(Malformed::total_length(Layer::Ipv4, packet.total_len(), have));
        }
        Ok(packet)
    }

    /// Checks the header, options included; the packet may go on outside the buffer.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::BadVersion`], [`Malformed::BadHeaderLength`], or
    /// [`Malformed::BadTotalLength`] when the total length is shorter than the header.
    #[inline]
    pub fn new_header(buffer: T) -> Result<Self, Malformed> {
        let bytes = buffer.as_ref();
        if bytes.len() < HEADER_LEN {
            return Err(Malformed::truncated(Layer::Ipv4, HEADER_LEN, bytes.len()));
        }
        let version = bytes[field::VERSION_IHL] >> 4;
        if version != 4 {
            return Err(Malformed::BadVersion { layer: Layer::Ipv4, version });
        }
        let header_len = usize::from(bytes[field::VERSION_IHL] & 0xf) * 4;
        if header_len < HEADER_LEN {
            return Err(Malformed::header_length(Layer::Ipv4, header_len));
        }
        if bytes.len() < header_len {
            return Err(Malformed::truncated(Layer::Ipv4, header_len, bytes.len()));
        }
        let total_len = usize::from(u16_at(bytes, field::TOTAL_LEN));
        if total_len < header_len {
            return Err(Malformed::total_length(Layer::Ipv4, total_len, bytes.len()));
        }
        Ok(Self { buffer })
    }

    /// The bytes back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Length of the header with options, 20 to 60.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.buffer.as_ref()[field::VERSION_IHL] & 0xf) * 4
    }

    /// DSCP in the upper six bits, ECN in the lower two.
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        self.buffer.as_ref()[field::TRAFFIC_CLASS]
    }

    /// Length of header and payload.
    #[inline]
    pub fn total_len(&self) -> usize {
        usize::from(u16_at(self.buffer.as_ref(), field::TOTAL_LEN))
    }

    /// Identification, common to the fragments of a packet.
    #[inline]
    pub fn identification(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::IDENTIFICATION)
    }

    /// True when routers may not fragment.
    #[inline]
    pub fn dont_fragment(&self) -> bool {
        u16_at(self.buffer.as_ref(), field::FRAGMENT) & DONT_FRAGMENT != 0
    }

    /// True when more fragments follow this one.
    #[inline]
    pub fn more_fragments(&self) -> bool {
        u16_at(self.buffer.as_ref(), field::FRAGMENT) & MORE_FRAGMENTS != 0
    }

    /// Where this fragment's payload starts in the original one, in bytes.
    #[inline]
    pub fn fragment_offset(&self) -> u16 {
        (u16_at(self.buffer.as_ref(), field::FRAGMENT) & OFFSET_MASK) << 3
    }

    /// Time to live.
    #[inline]
    pub fn ttl(&self) -> u8 {
        self.buffer.as_ref()[field::TTL]
    }

    /// Number of the protocol inside (see [`crate::protocol`]).
    #[inline]
    pub fn protocol(&self) -> u8 {
        self.buffer.as_ref()[field::PROTOCOL]
    }

    /// Header checksum field.
    #[inline]
    pub fn checksum(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// Source address.
    #[inline]
    pub fn source(&self) -> Ipv4Addr {
        v4_at(self.buffer.as_ref(), field::SOURCE)
    }

    /// Destination address.
    #[inline]
    pub fn destination(&self) -> Ipv4Addr {
        v4_at(self.buffer.as_ref(), field::DESTINATION)
    }

    /// The options, empty when there are none.
    #[inline]
    pub fn options(&self) -> &[u8] {
        between(self.buffer.as_ref(), HEADER_LEN, self.header_len())
    }

    /// What follows the header, without padding, cut to the buffer.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        between(self.buffer.as_ref(), self.header_len(), self.total_len())
    }

    /// True when the header checksum is right.
    #[inline]
    pub fn checksum_ok(&self) -> bool {
        checksum::of(between(self.buffer.as_ref(), 0, self.header_len())) == 0
    }

    /// The pseudo-header sum for this packet's protocol and payload length.
    #[inline]
    pub fn pseudo_header(&self) -> Sum {
        let length = self.total_len().saturating_sub(self.header_len()) as u32;
        checksum::pseudo_v4(self.source(), self.destination(), self.protocol(), length)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Clears a header of `header_len` bytes, writes version and lengths (the packet is the whole buffer) and returns
    /// the view.
    ///
    /// # Errors
    /// [`Malformed::BadHeaderLength`] when `header_len` is not a multiple of 4 from 20 to 60,
    /// [`Malformed::Truncated`] when the buffer is shorter than it, [`Malformed::BadTotalLength`] when the buffer is
    /// longer than 65,535 bytes.
    #[inline]
    pub fn init(mut buffer: T, header_len: usize) -> Result<Self, Malformed> {
        let bytes = buffer.as_mut();
        if !(HEADER_LEN..=MAX_HEADER_LEN).contains(&header_len) || !header_len.is_multiple_of(4) {
            return Err(Malformed::header_length(Layer::Ipv4, header_len));
        }
        if bytes.len() < header_len {
            return Err(Malformed::truncated(Layer::Ipv4, header_len, bytes.len()));
        }
        let Ok(total_len) = u16::try_from(bytes.len()) else {
            return Err(Malformed::total_length(Layer::Ipv4, bytes.len(), MAX_LEN));
        };
        bytes[..header_len].fill(0);
        bytes[field::VERSION_IHL] = 0x40 | (header_len / 4) as u8;
        put_u16(bytes, field::TOTAL_LEN, total_len);
        Ok(Self { buffer })
    }

    /// Sets DSCP and ECN.
    #[inline]
    pub fn set_traffic_class(&mut self, value: u8) {
        self.buffer.as_mut()[field::TRAFFIC_CLASS] = value;
    }

    /// Sets the length of header and payload.
    #[inline]
    pub fn set_total_len(&mut self, length: u16) {
        put_u16(self.buffer.as_mut(), field::TOTAL_LEN, length);
    }

    /// Sets the identification.
    #[inline]
    pub fn set_identification(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::IDENTIFICATION, value);
    }

    /// Sets the flags and the fragment offset in bytes, rounded down to a multiple of 8.
    #[inline]
    pub fn set_fragment(&mut self, dont_fragment: bool, more_fragments: bool, offset: u16) {
        let flags = if dont_fragment { DONT_FRAGMENT } else { 0 } | if more_fragments { MORE_FRAGMENTS } else { 0 };
        put_u16(self.buffer.as_mut(), field::FRAGMENT, flags | offset >> 3);
    }

    /// Sets the time to live. The checksum is left as it is.
    #[inline]
    pub fn set_ttl(&mut self, ttl: u8) {
        self.buffer.as_mut()[field::TTL] = ttl;
    }

    /// Takes one from the time to live and updates the checksum (RFC 1624). A time to live of 0 stays.
    #[inline]
    pub fn decrement_ttl(&mut self) {
        let old = u16_at(self.buffer.as_ref(), field::TTL);
        if old < 0x100 {
            return;
        }
        let new = old - 0x100;
        let checksum = checksum::update(self.checksum(), old, new);
        put_u16(self.buffer.as_mut(), field::TTL, new);
        self.set_checksum(checksum);
    }

    /// Sets the protocol inside.
    #[inline]
    pub fn set_protocol(&mut self, protocol: u8) {
        self.buffer.as_mut()[field::PROTOCOL] = protocol;
    }

    /// Sets the header checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put_u16(self.buffer.as_mut(), field::CHECKSUM, checksum);
    }

    /// Sets the source address. The checksum is left as it is.
    #[inline]
    pub fn set_source(&mut self, address: Ipv4Addr) {
        put(self.buffer.as_mut(), field::SOURCE, &address.octets());
    }

    /// Sets the destination address. The checksum is left as it is.
    #[inline]
    pub fn set_destination(&mut self, address: Ipv4Addr) {
        put(self.buffer.as_mut(), field::DESTINATION, &address.octets());
    }

    /// Computes the header checksum anew.
    #[inline]
    pub fn fill_checksum(&mut self) {
        self.set_checksum(0);
        let checksum = checksum::of(between(self.buffer.as_ref(), 0, self.header_len()));
        self.set_checksum(checksum);
    }

    /// The options, writable.
    #[inline]
    pub fn options_mut(&mut self) -> &mut [u8] {
        let end = self.header_len();
        between_mut(self.buffer.as_mut(), HEADER_LEN, end)
    }

    /// What follows the header, writable, cut to the buffer.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let (start, end) = (self.header_len(), self.total_len());
        between_mut(self.buffer.as_mut(), start, end)
    }
}
