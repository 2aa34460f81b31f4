//! VXLAN (RFC 7348): Ethernet frames in UDP.

use crate::bytes::{between, between_mut, put, put_u32, u32_at};
use crate::{Layer, Malformed};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;
/// The UDP port that IANA assigned.
pub const PORT: u16 = 4789;
/// The highest VXLAN network identifier.
pub const MAX_VNI: u32 = 0x00ff_ffff;

/// Bits of the flags byte. The others are reserved and ignored on receipt (RFC 7348 section 5).
pub mod flag {
    /// The network identifier is valid.
    pub const VNI: u8 = 0x08;
}

mod field {
    pub(super) const FLAGS: usize = 0;
    pub(super) const VNI: usize = 4;
}

/// A view over a VXLAN header and the frame behind it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Checks that the header is there and has a network identifier. The inner frame is the rest of the buffer, and may go on
    /// outside.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] below 8 bytes, [`Malformed::BadFlags`] without [`flag::VNI`].
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        let bytes = buffer.as_ref();
        if bytes.len() < HEADER_LEN {
            return Err(Malformed::truncated(Layer::Vxlan, HEADER_LEN, bytes.len()));
        }
        let flags = bytes[field::FLAGS];
        if flags & flag::VNI == 0 {
            return Err(Malformed::BadFlags { layer: Layer::Vxlan, flags });
        }
        Ok(Self { buffer })
    }

    /// The bytes back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// The flags byte (see [`flag`]).
    #[inline]
    pub fn flags(&self) -> u8 {
        self.buffer.as_ref()[field::FLAGS]
    }

    /// VXLAN network identifier, 24 bits.
    #[inline]
    pub fn vni(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::VNI) >> 8
    }

    /// What follows the header: an Ethernet frame.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        between(self.buffer.as_ref(), HEADER_LEN, usize::MAX)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Clears the header, sets [`flag::VNI`] and returns the view.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] below 8 bytes.
    #[inline]
    pub fn init(mut buffer: T) -> Result<Self, Malformed> {
        let bytes = buffer.as_mut();
        if bytes.len() < HEADER_LEN {
            return Err(Malformed::truncated(Layer::Vxlan, HEADER_LEN, bytes.len()));
        }
        put(bytes, 0, &[flag::VNI, 0, 0, 0, 0, 0, 0, 0]);
        Ok(Self { buffer })
    }

    /// Sets the network identifier; bits above 24 are cut off.
    #[inline]
    pub fn set_vni(&mut self, vni: u32) {
        put_u32(self.buffer.as_mut(), field::VNI, vni << 8);
    }

    /// What follows the header, writable.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        between_mut(self.buffer.as_mut(), HEADER_LEN, usize::MAX)
    }
}
