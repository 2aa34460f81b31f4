//! ICMP for IPv4 (RFC 792).

use crate::bytes::{between, between_mut, put_u16, put_u32, u16_at, u32_at};
use crate::checksum;
use crate::{Layer, Malformed};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;
/// Where the checksum is, from the start of the header.
pub const CHECKSUM_OFFSET: usize = field::CHECKSUM;

/// Types of message.
pub mod kind {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench, obsolete (RFC 6633).
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
}

/// Codes of [`kind::UNREACHABLE`].
pub mod unreachable {
    /// Network unreachable.
    pub const NETWORK: u8 = 0;
    /// Host unreachable.
    pub const HOST: u8 = 1;
    /// Protocol unreachable.
    pub const PROTOCOL: u8 = 2;
    /// Port unreachable.
    pub const PORT: u8 = 3;
    /// Fragmentation needed and "don't fragment" set; carries the next hop's MTU (RFC 1191).
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Communication administratively prohibited (RFC 1812 section 5.2.7.1).
    pub const PROHIBITED: u8 = 13;
}

mod field {
    pub(super) const KIND: usize = 0;
    pub(super) const CODE: usize = 1;
    pub(super) const CHECKSUM: usize = 2;
    pub(super) const REST: usize = 4;
    pub(super) const IDENTIFIER: usize = 4;
    pub(super) const SEQUENCE: usize = 6;
}

/// A view over an ICMPv4 message.
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Checks that the header is there. The message is the whole buffer.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] below 8 bytes.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        let have = buffer.as_ref().len();
        if have < HEADER_LEN {
            return Err(Malformed::truncated(Layer::Icmpv4, HEADER_LEN, have));
        }
        Ok(Self { buffer })
    }

    /// The bytes back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Type of the message (see [`kind`]).
    #[inline]
    pub fn kind(&self) -> u8 {
        self.buffer.as_ref()[field::KIND]
    }

    /// Code within the type.
    #[inline]
    pub fn code(&self) -> u8 {
        self.buffer.as_ref()[field::CODE]
    }

    /// Checksum field.
    #[inline]
    pub fn checksum(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// Identifier of an echo message.
    #[inline]
    pub fn identifier(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::IDENTIFIER)
    }

    /// Sequence number of an echo message.
    #[inline]
    pub fn sequence(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::SEQUENCE)
    }

    /// The four bytes after the checksum, whose meaning depends on the type.
    #[inline]
    pub fn rest(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::REST)
    }

    /// What follows the header: echo data, or the packet that an error quotes.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        between(self.buffer.as_ref(), HEADER_LEN, usize::MAX)
    }

    /// Next hop's MTU in a "fragmentation needed" (RFC 1191 section 4).
    #[inline]
    pub fn mtu(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::SEQUENCE)
    }

    /// True for messages that report a failure. No error is sent about these (RFC 1122 section 3.2.2).
    #[inline]
    pub fn is_error(&self) -> bool {
        matches!(
            self.kind(),
            kind::UNREACHABLE | kind::SOURCE_QUENCH | kind::REDIRECT | kind::TIME_EXCEEDED | kind::PARAMETER_PROBLEM
        )
    }

    /// True when the checksum is right.
    #[inline]
    pub fn checksum_ok(&self) -> bool {
        checksum::of(self.buffer.as_ref()) == 0
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Clears the header and returns the view.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] below 8 bytes.
    #[inline]
    pub fn init(buffer: T) -> Result<Self, Malformed> {
        let mut packet = Self::new_checked(buffer)?;
        packet.buffer.as_mut()[..HEADER_LEN].fill(0);
        Ok(packet)
    }

    /// Sets type and code.
    #[inline]
    pub fn set_kind(&mut self, kind: u8, code: u8) {
        let bytes = self.buffer.as_mut();
        bytes[field::KIND] = kind;
        bytes[field::CODE] = code;
    }

    /// Sets the checksum field.
    #[inline]
    pub fn set_checksum(&mut self, checksum: u16) {
        put_u16(self.buffer.as_mut(), field::CHECKSUM, checksum);
    }

    /// Sets identifier and sequence number of an echo message.
    #[inline]
    pub fn set_echo(&mut self, identifier: u16, sequence: u16) {
        put_u16(self.buffer.as_mut(), field::IDENTIFIER, identifier);
        put_u16(self.buffer.as_mut(), field::SEQUENCE, sequence);
    }

    /// Sets the four bytes after the checksum.
    #[inline]
    pub fn set_rest(&mut self, value: u32) {
        put_u32(self.buffer.as_mut(), field::REST, value);
    }

    /// Sets the next hop's MTU of a "fragmentation needed".
    #[inline]
    pub fn set_mtu(&mut self, mtu: u16) {
        put_u16(self.buffer.as_mut(), field::SEQUENCE, mtu);
    }

    /// Computes the checksum anew over the whole buffer.
    #[inline]
    pub fn fill_checksum(&mut self) {
        self.set_checksum(0);
        let checksum = checksum::of(self.buffer.as_ref());
        self.set_checksum(checksum);
    }

    /// What follows the header, writable.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        between_mut(self.buffer.as_mut(), HEADER_LEN, usize::MAX)
    }
}
