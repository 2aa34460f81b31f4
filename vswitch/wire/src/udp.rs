//! UDP (RFC 768).

use crate::bytes::{between, between_mut, put_u16, u16_at};
use crate::checksum::Sum;
use crate::{Layer, Malformed};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;
/// Where the checksum is, from the start of the header.
pub const CHECKSUM_OFFSET: usize = 6;

mod field {
    pub(super) const SOURCE_PORT: usize = 0;
    pub(super) const DESTINATION_PORT: usize = 2;
    pub(super) const LEN: usize = 4;
}

/// A view over a UDP datagram.
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Checks the header and that the whole datagram is in the buffer.
    ///
    /// # Errors
    /// As [`Packet::new_header`]; [`Malformed::BadTotalLength`] also when the datagram is longer than the buffer.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        let packet = Self::new_header(buffer)?;
        let have = packet.buffer.as_ref().len();
        if packet.len() > have {
            return Err(Malformed::total_length(Layer::Udp, packet.len(), have));
        }
        Ok(packet)
    }

    /// Checks the header; the datagram may go on outside the buffer.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] below 8 bytes, [`Malformed::BadTotalLength`] when the length field is below 8.
    #[inline]
    pub fn new_header(buffer: T) -> Result<Self, Malformed> {
        let bytes = buffer.as_ref();
        if bytes.len() < HEADER_LEN {
            return Err(Malformed::truncated(Layer::Udp, HEADER_LEN, bytes.len()));
        }
        let length = usize::from(u16_at(bytes, field::LEN));
        if length < HEADER_LEN {
            return Err(Malformed::total_length(Layer::Udp, length, bytes.len()));
        }
        Ok(Self { buffer })
    }

    /// The bytes back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Source port.
    #[inline]
    pub fn source_port(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::SOURCE_PORT)
    }

    /// Destination port.
    #[inline]
    pub fn destination_port(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::DESTINATION_PORT)
    }

    /// Length of header and payload.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "the header field of that name; a datagram always has a header")]
    pub fn len(&self) -> usize {
        usize::from(u16_at(self.buffer.as_ref(), field::LEN))
    }

    /// Checksum field; 0 means none.
    #[inline]
    pub fn checksum(&self) -> u16 {
        u16_at(self.buffer.as_ref(), CHECKSUM_OFFSET)
    }

    /// What follows the header, cut to the buffer.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        between(self.buffer.as_ref(), HEADER_LEN, self.len())
    }

    /// True when the checksum is right, or absent. The whole datagram must be in the buffer.
    #[inline]
    pub fn checksum_ok(&self, pseudo: Sum) -> bool {
        self.checksum() == 0 || pseudo.add_bytes(between(self.buffer.as_ref(), 0, self.len())).finish() == 0
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Clears the header, writes the length (the datagram is the whole buffer) and returns the view.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] below 8 bytes, [`Malformed::BadTotalLength`] above 65,535.
    #[inline]
    pub fn init(mut buffer: T) -> Result<Self, Malformed> {
        let bytes = buffer.as_mut();
        if bytes.len() < HEADER_LEN {
            return Err(Malformed::truncated(Layer::Udp, HEADER_LEN, bytes.len()));
        }
        let Ok(length) = u16::try_from(bytes.len()) else {
            return Err(Malformed::total_length(Layer::Udp, bytes.len(), usize::from(u16::MAX)));
        };
        bytes[..HEADER_LEN].fill(0);
        put_u16(bytes, field::LEN, length);
        Ok(Self { buffer })
    }

    /// Sets the source port.
    #[inline]
    pub fn set_source_port(&mut self, port: u16) {
        put_u16(self.buffer.as_mut(), field::SOURCE_PORT, port);
    }

    /// Sets the destination port.
    #[inline]
    pub fn set_destination_port(&mut self, port: u16) {
        put_u16(self.buffer.as_mut(), field::DESTINATION_PORT, port);
    }

    /// Sets the length of header and payload.
    #[inline]
    pub fn set_len(&mut self, length: u16) {
        put_u16(self.buffer.as_mut(), field::LEN, length);
    }

    /// Sets the checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put_u16(self.buffer.as_mut(), CHECKSUM_OFFSET, checksum);
    }

    /// Computes the checksum anew. The whole datagram must be in the buffer.
    #[inline]
    pub fn fill_checksum(&mut self, pseudo: Sum) {
        self.set_checksum(0);
        let checksum = pseudo.add_bytes(between(self.buffer.as_ref(), 0, self.len())).finish_udp();
        self.set_checksum(checksum);
    }

    /// What follows the header, writable, cut to the buffer.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let end = self.len();
        between_mut(self.buffer.as_mut(), HEADER_LEN, end)
    }
}
