//! The fixed IPv6 header (RFC 8200 section 3). Extension headers are in [`crate::extension`].

use std::net::Ipv6Addr;

use crate::bytes::{between, between_mut, put, put_u16, put_u32, u16_at, u32_at, v6_at};
use crate::checksum::{self, Sum};
use crate::{Layer, Malformed};

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Bytes of the longest payload, jumbograms apart.
pub const MAX_PAYLOAD_LEN: usize = 65_535;
/// The least MTU of a link that carries IPv6 (RFC 8200 section 5), and so the longest ICMPv6 error.
pub const MIN_MTU: usize = 1280;

mod field {
    pub(super) const VERSION_CLASS_FLOW: usize = 0;
    pub(super) const PAYLOAD_LEN: usize = 4;
    pub(super) const NEXT_HEADER: usize = 6;
    pub(super) const HOP_LIMIT: usize = 7;
    pub(super) const SOURCE: usize = 8;
    pub(super) const DESTINATION: usize = 24;
}

const FLOW_MASK: u32 = 0x000f_ffff;

/// A view over an IPv6 packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Checks the header and that the whole packet is in the buffer. Bytes after it are padding.
    ///
    /// # Errors
    /// As [`Packet::new_header`]; [`Malformed::BadTotalLength`] when the packet is longer than the buffer.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        let packet = Self::new_header(buffer)?;
        let have = packet.buffer.as_ref().len();
        if packet.total_len() > have {
            return Err(Malformed::total_length(Layer::Ipv6, packet.total_len(), have));
        }
        Ok(packet)
    }

    /// Checks the header; the packet may go on outside the buffer.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] or [`Malformed::BadVersion`].
    #[inline]
    pub fn new_header(buffer: T) -> Result<Self, Malformed> {
        let bytes = buffer.as_ref();
        if bytes.len() < HEADER_LEN {
            return Err(Malformed::truncated(Layer::Ipv6, HEADER_LEN, bytes.len()));
        }
        let version = bytes[field::VERSION_CLASS_FLOW] >> 4;
        if version != 6 {
            return Err(Malformed::BadVersion { layer: Layer::Ipv6, version });
        }
        Ok(Self { buffer })
    }

    /// The bytes back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// DSCP in the upper six bits, ECN in the lower two.
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        (u32_at(self.buffer.as_ref(), field::VERSION_CLASS_FLOW) >> 20) as u8
    }

    /// Flow label, 20 bits.
    #[inline]
    pub fn flow_label(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::VERSION_CLASS_FLOW) & FLOW_MASK
    }

    /// Length of what follows the fixed header, extension headers included.
    #[inline]
    pub fn payload_len(&self) -> usize {
        usize::from(u16_at(self.buffer.as_ref(), field::PAYLOAD_LEN))
    }

    /// Length of the fixed header and what follows.
    #[inline]
    pub fn total_len(&self) -> usize {
        HEADER_LEN + self.payload_len()
    }

    /// Kind of the next header: an extension header or a transport (see [`crate::protocol`]).
    #[inline]
    pub fn next_header(&self) -> u8 {
        self.buffer.as_ref()[field::NEXT_HEADER]
    }

    /// Hop limit.
    #[inline]
    pub fn hop_limit(&self) -> u8 {
        self.buffer.as_ref()[field::HOP_LIMIT]
    }

    /// Source address.
    #[inline]
    pub fn source(&self) -> Ipv6Addr {
        v6_at(self.buffer.as_ref(), field::SOURCE)
    }

    /// Destination address.
    #[inline]
    pub fn destination(&self) -> Ipv6Addr {
        v6_at(self.buffer.as_ref(), field::DESTINATION)
    }

    /// What follows the fixed header, extension headers included, without padding, cut to the buffer.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        between(self.buffer.as_ref(), HEADER_LEN, self.total_len())
    }

    /// The pseudo-header sum for a transport of `length` bytes (header and payload, no extension headers).
    #[inline]
    pub fn pseudo_header(&self, protocol: u8, length: u32) -> Sum {
        checksum::pseudo_v6(self.source(), self.destination(), protocol, length)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Clears the header, writes version and payload length (the packet is the whole buffer) and returns the view.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] below 40 bytes, [`Malformed::BadTotalLength`] above 40 + 65,535.
    #[inline]
    pub fn init(mut buffer: T) -> Result<Self, Malformed> {
        let bytes = buffer.as_mut();
        let Some(payload_len) = bytes.len().checked_sub(HEADER_LEN) else {
            return Err(Malformed::truncated(Layer::Ipv6, HEADER_LEN, bytes.len()));
        };
        let Ok(payload_len) = u16::try_from(payload_len) else {
            return Err(Malformed::total_length(Layer::Ipv6, bytes.len(), HEADER_LEN + MAX_PAYLOAD_LEN));
        };
        bytes[..HEADER_LEN].fill(0);
        bytes[field::VERSION_CLASS_FLOW] = 0x60;
        put_u16(bytes, field::PAYLOAD_LEN, payload_len);
        Ok(Self { buffer })
    }

    /// Sets DSCP and ECN.
    #[inline]
    pub fn set_traffic_class(&mut self, value: u8) {
        let word = u32_at(self.buffer.as_ref(), field::VERSION_CLASS_FLOW) & !(0xff << 20);
        put_u32(self.buffer.as_mut(), field::VERSION_CLASS_FLOW, word | u32::from(value) << 20);
    }

    /// Sets the flow label; bits above the lower 20 are ignored.
    #[inline]
    pub fn set_flow_label(&mut self, label: u32) {
        let word = u32_at(self.buffer.as_ref(), field::VERSION_CLASS_FLOW) & !FLOW_MASK;
        put_u32(self.buffer.as_mut(), field::VERSION_CLASS_FLOW, word | label & FLOW_MASK);
    }

    /// Sets the length of what follows the fixed header.
    #[inline]
    pub fn set_payload_len(&mut self, length: u16) {
        put_u16(self.buffer.as_mut(), field::PAYLOAD_LEN, length);
    }

    /// Sets the kind of the next header.
    #[inline]
    pub fn set_next_header(&mut self, protocol: u8) {
        self.buffer.as_mut()[field::NEXT_HEADER] = protocol;
    }

    /// Sets the hop limit.
    #[inline]
    pub fn set_hop_limit(&mut self, hops: u8) {
        self.buffer.as_mut()[field::HOP_LIMIT] = hops;
    }

    /// Takes one from the hop limit. A hop limit of 0 stays.
    #[inline]
    pub fn decrement_hop_limit(&mut self) {
        let hops = self.hop_limit().saturating_sub(1);
        self.set_hop_limit(hops);
    }

    /// Sets the source address.
    #[inline]
    pub fn set_source(&mut self, address: Ipv6Addr) {
        put(self.buffer.as_mut(), field::SOURCE, &address.octets());
    }

    /// Sets the destination address.
    #[inline]
    pub fn set_destination(&mut self, address: Ipv6Addr) {
        put(self.buffer.as_mut(), field::DESTINATION, &address.octets());
    }

    /// What follows the fixed header, writable, cut to the buffer.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let end = self.total_len();
        between_mut(self.buffer.as_mut(), HEADER_LEN, end)
    }
}
