//! ICMP for IPv6 (RFC 4443). Neighbour discovery is in [`crate::ndp`].

use crate::bytes::{between, between_mut, put_u16, put_u32, u16_at, u32_at};
use crate::checksum::Sum;
use crate::{Layer, Malformed};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;
/// Where the checksum is, from the start of the header.
pub const CHECKSUM_OFFSET: usize = field::CHECKSUM;

/// Types of message.
pub mod kind {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Router solicitation (RFC 4861).
    pub const ROUTER_SOLICIT: u8 = 133;
    /// Router advertisement (RFC 4861).
    pub const ROUTER_ADVERT: u8 = 134;
    /// Neighbour solicitation (RFC 4861).
    pub const NEIGHBOUR_SOLICIT: u8 = 135;
    /// Neighbour advertisement (RFC 4861).
    pub const NEIGHBOUR_ADVERT: u8 = 136;
    /// Redirect (RFC 4861).
    pub const REDIRECT: u8 = 137;
    /// Multicast listener report, version 2 (RFC 3810).
    pub const MLD2_REPORT: u8 = 143;
}

/// Codes of [`kind::UNREACHABLE`].
pub mod unreachable {
    /// No route to the destination.
    pub const NO_ROUTE: u8 = 0;
    /// Communication administratively prohibited.
    pub const PROHIBITED: u8 = 1;
    /// Address unreachable.
    pub const ADDRESS: u8 = 3;
    /// Port unreachable.
    pub const PORT: u8 = 4;
}

mod field {
    pub(super) const KIND: usize = 0;
    pub(super) const CODE: usize = 1;
    pub(super) const CHECKSUM: usize = 2;
    pub(super) const REST: usize = 4;
    pub(super) const IDENTIFIER: usize = 4;
    pub(super) const SEQUENCE: usize = 6;
}

/// A view over an ICMPv6 message.
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
            return Err(Malformed::truncated(Layer::Icmpv6, HEADER_LEN, have));
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

    /// Next hop's MTU in a "packet too big".
    #[inline]
    pub fn mtu(&self) -> u32 {
        self.rest()
    }

    /// True for messages that report a failure. No error is sent about these (RFC 4443 section 2.4 e).
    /// A redirect counts as one there.
    #[inline]
    pub fn is_error(&self) -> bool {
        self.kind() < 128 || self.kind() == kind::REDIRECT
    }

    /// True when the checksum is right.
    #[inline]
    pub fn checksum_ok(&self, pseudo: Sum) -> bool {
        pseudo.add_bytes(self.buffer.as_ref()).finish() == 0
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

    /// Sets the next hop's MTU of a "packet too big".
    #[inline]
    pub fn set_mtu(&mut self, mtu: u32) {
        self.set_rest(mtu);
    }

    /// Computes the checksum anew over the whole buffer.
    #[inline]
    pub fn fill_checksum(&mut self, pseudo: Sum) {
        self.set_checksum(0);
        let checksum = pseudo.add_bytes(self.buffer.as_ref()).finish();
        self.set_checksum(checksum);
    }

    /// What follows the header, writable.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        between_mut(self.buffer.as_mut(), HEADER_LEN, usize::MAX)
    }
}
