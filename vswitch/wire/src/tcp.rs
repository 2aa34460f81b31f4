//! TCP (RFC 9293).

use crate::bytes::{between, between_mut, put_u16, put_u32, u16_at, u32_at};
use crate::checksum::Sum;
use crate::{Layer, Malformed};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub const MAX_HEADER_LEN: usize = 60;
/// Where the checksum is, from the start of the header.
pub const CHECKSUM_OFFSET: usize = 16;

/// Bits of the flags byte.
pub mod flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
    /// ECN echo (RFC 3168).
    pub const ECE: u8 = 0x40;
    /// Congestion window reduced (RFC 3168).
    pub const CWR: u8 = 0x80;
}

mod field {
    pub(super) const SOURCE_PORT: usize = 0;
    pub(super) const DESTINATION_PORT: usize = 2;
    pub(super) const SEQUENCE: usize = 4;
    pub(super) const ACKNOWLEDGEMENT: usize = 8;
    pub(super) const DATA_OFFSET: usize = 12;
    pub(super) const FLAGS: usize = 13;
    pub(super) const WINDOW: usize = 14;
    pub(super) const URGENT: usize = 18;
}

/// A view over a TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Checks the header, options included. TCP has no length of its own: the payload is the rest of the buffer.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], or [`Malformed::BadHeaderLength`] when the data offset is below 20 bytes.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        let bytes = buffer.as_ref();
        if bytes.len() < HEADER_LEN {
            return Err(Malformed::truncated(Layer::Tcp, HEADER_LEN, bytes.len()));
        }
        let header_len = usize::from(bytes[field::DATA_OFFSET] >> 4) * 4;
        if header_len < HEADER_LEN {
            return Err(Malformed::header_length(Layer::Tcp, header_len));
        }
        if bytes.len() < header_len {
            return Err(Malformed::truncated(Layer::Tcp, header_len, bytes.len()));
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

    /// Sequence number.
    #[inline]
    pub fn sequence(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::SEQUENCE)
    }

    /// Acknowledgement number.
    #[inline]
    pub fn acknowledgement(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::ACKNOWLEDGEMENT)
    }

    /// Length of the header with options, 20 to 60.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.buffer.as_ref()[field::DATA_OFFSET] >> 4) * 4
    }

    /// The flags byte (see [`flag`]).
    #[inline]
    pub fn flags(&self) -> u8 {
        self.buffer.as_ref()[field::FLAGS]
    }

    /// Window, not scaled.
    #[inline]
    pub fn window(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::WINDOW)
    }

    /// Checksum field.
    #[inline]
    pub fn checksum(&self) -> u16 {
        u16_at(self.buffer.as_ref(), CHECKSUM_OFFSET)
    }

    /// Urgent pointer.
    #[inline]
    pub fn urgent(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::URGENT)
    }

    /// The options, empty when there are none.
    #[inline]
    pub fn options(&self) -> &[u8] {
        between(self.buffer.as_ref(), HEADER_LEN, self.header_len())
    }

    /// What follows the header.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        between(self.buffer.as_ref(), self.header_len(), usize::MAX)
    }

    /// True when the checksum is right. The buffer must be the whole segment.
    #[inline]
    pub fn checksum_ok(&self, pseudo: Sum) -> bool {
        pseudo.add_bytes(self.buffer.as_ref()).finish() == 0
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Clears a header of `header_len` bytes, writes the data offset and returns the view.
    ///
    /// # Errors
    /// [`Malformed::BadHeaderLength`] when `header_len` is not a multiple of 4 from 20 to 60, [`Malformed::Truncated`]
    /// when the buffer is shorter than it.
    #[inline]
    pub fn init(mut buffer: T, header_len: usize) -> Result<Self, Malformed> {
        let bytes = buffer.as_mut();
        if !(HEADER_LEN..=MAX_HEADER_LEN).contains(&header_len) || !header_len.is_multiple_of(4) {
            return Err(Malformed::header_length(Layer::Tcp, header_len));
        }
        if bytes.len() < header_len {
            return Err(Malformed::truncated(Layer::Tcp, header_len, bytes.len()));
        }
        bytes[..header_len].fill(0);
        bytes[field::DATA_OFFSET] = ((header_len / 4) as u8) << 4;
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

    /// Sets the sequence number.
    #[inline]
    pub fn set_sequence(&mut self, value: u32) {
        put_u32(self.buffer.as_mut(), field::SEQUENCE, value);
    }

    /// Sets the acknowledgement number.
    #[inline]
    pub fn set_acknowledgement(&mut self, value: u32) {
        put_u32(self.buffer.as_mut(), field::ACKNOWLEDGEMENT, value);
    }

    /// Sets the flags byte.
    #[inline]
    pub fn set_flags(&mut self, flags: u8) {
        self.buffer.as_mut()[field::FLAGS] = flags;
    }

    /// Sets the window.
    #[inline]
    pub fn set_window(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::WINDOW, value);
    }

    /// Sets the checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put_u16(self.buffer.as_mut(), CHECKSUM_OFFSET, checksum);
    }

    /// Sets the urgent pointer.
    #[inline]
    pub fn set_urgent(&mut self, value: u16) {
        put_u16(self.buffer.as_mut(), field::URGENT, value);
    }

    /// Computes the checksum anew. The buffer must be the whole segment.
    #[inline]
    pub fn fill_checksum(&mut self, pseudo: Sum) {
        self.set_checksum(0);
        let checksum = pseudo.add_bytes(self.buffer.as_ref()).finish();
        self.set_checksum(checksum);
    }

    /// The options, writable.
    #[inline]
    pub fn options_mut(&mut self) -> &mut [u8] {
        let end = self.header_len();
        between_mut(self.buffer.as_mut(), HEADER_LEN, end)
    }

    /// What follows the header, writable.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let start = self.header_len();
        between_mut(self.buffer.as_mut(), start, usize::MAX)
    }
}
