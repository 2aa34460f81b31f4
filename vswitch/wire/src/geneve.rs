//! Geneve (RFC 8926): frames in UDP, with options between. No option is understood; those that may be passed over are.

use crate::bytes::{between, between_mut, put_u16, put_u32, u16_at, u32_at};
use crate::{Layer, Malformed};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 8;
/// Bytes of the longest header.
pub const MAX_HEADER_LEN: usize = 260;
/// The UDP port that IANA assigned.
pub const PORT: u16 = 6081;
/// The highest virtual network identifier.
pub const MAX_VNI: u32 = 0x00ff_ffff;
/// Protocol type of an Ethernet frame ("transparent Ethernet bridging").
pub const ETHERNET: u16 = 0x6558;

/// Bits of the flags byte. The others are reserved and ignored on receipt (RFC 8926 section 3.4).
pub mod flag {
    /// A control packet: for the tunnel's end itself, with nothing in it to forward.
    pub const CONTROL: u8 = 0x80;
    /// At least one option is critical: who does not know it drops the packet.
    pub const CRITICAL: u8 = 0x40;
}

mod field {
    pub(super) const VERSION_LEN: usize = 0;
    pub(super) const FLAGS: usize = 1;
    pub(super) const PROTOCOL: usize = 2;
    pub(super) const VNI: usize = 4;
}

const LEN_MASK: u8 = 0x3f;

/// A view over a Geneve header and what is behind it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Checks the header, whose options must be there to their end. What it carries is the rest of the buffer, and may go on
    /// outside.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::BadVersion`] for another version than 0, [`Malformed::BadFlags`] for a control
    /// packet, [`Malformed::CriticalOption`] where one is announced.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        let bytes = buffer.as_ref();
        if bytes.len() < HEADER_LEN {
            return Err(Malformed::truncated(Layer::Geneve, HEADER_LEN, bytes.len()));
        }
        let version = bytes[field::VERSION_LEN] >> 6;
        if version != 0 {
            return Err(Malformed::BadVersion { layer: Layer::Geneve, version });
        }
        let header_len = HEADER_LEN + usize::from(bytes[field::VERSION_LEN] & LEN_MASK) * 4;
        if bytes.len() < header_len {
            return Err(Malformed::truncated(Layer::Geneve, header_len, bytes.len()));
        }
        let flags = bytes[field::FLAGS];
        if flags & flag::CONTROL != 0 {
            return Err(Malformed::BadFlags { layer: Layer::Geneve, flags });
        }
        if flags & flag::CRITICAL != 0 {
            return Err(Malformed::CriticalOption { layer: Layer::Geneve });
        }
        Ok(Self { buffer })
    }

    /// The bytes back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Length of the header with options, 8 to 260.
    #[inline]
    pub fn header_len(&self) -> usize {
        HEADER_LEN + usize::from(self.buffer.as_ref()[field::VERSION_LEN] & LEN_MASK) * 4
    }

    /// The flags byte (see [`flag`]).
    #[inline]
    pub fn flags(&self) -> u8 {
        self.buffer.as_ref()[field::FLAGS]
    }

    /// Protocol type of what is carried, an ethertype; [`ETHERNET`] for a frame.
    #[inline]
    pub fn protocol(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::PROTOCOL)
    }

    /// Virtual network identifier, 24 bits.
    #[inline]
    pub fn vni(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::VNI) >> 8
    }

    /// The options, empty when there are none.
    #[inline]
    pub fn options(&self) -> &[u8] {
        between(self.buffer.as_ref(), HEADER_LEN, self.header_len())
    }

    /// What follows the options.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        between(self.buffer.as_ref(), self.header_len(), usize::MAX)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Clears a header without options, sets [`ETHERNET`] and returns the view.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] below 8 bytes.
    #[inline]
    pub fn init(mut buffer: T) -> Result<Self, Malformed> {
        let bytes = buffer.as_mut();
        if bytes.len() < HEADER_LEN {
            return Err(Malformed::truncated(Layer::Geneve, HEADER_LEN, bytes.len()));
        }
        bytes[..HEADER_LEN].fill(0);
        put_u16(bytes, field::PROTOCOL, ETHERNET);
        Ok(Self { buffer })
    }

    /// Sets the protocol type of what is carried.
    #[inline]
    pub fn set_protocol(&mut self, protocol: u16) {
        put_u16(self.buffer.as_mut(), field::PROTOCOL, protocol);
    }

    /// Sets the network identifier; bits above 24 are cut off.
    #[inline]
    pub fn set_vni(&mut self, vni: u32) {
        put_u32(self.buffer.as_mut(), field::VNI, vni << 8);
    }

    /// What follows the options, writable.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let start = self.header_len();
        between_mut(self.buffer.as_mut(), start, usize::MAX)
    }
}
