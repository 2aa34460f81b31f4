//! Ethernet II frames (RFC 894). The frame check sequence is not part of the bytes.

use crate::bytes::{between, between_mut, mac_at, put, put_u16, u16_at};
use crate::{Layer, MacAddr, Malformed};

/// Bytes of the header.
pub const HEADER_LEN: usize = 14;

/// Ethertypes that the switch tells apart (IANA "IEEE 802 Numbers").
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// 802.1Q customer tag.
    pub const VLAN: u16 = 0x8100;
    /// 802.1ad service tag.
    pub const QINQ: u16 = 0x88a8;
}

mod field {
    pub(super) const DESTINATION: usize = 0;
    pub(super) const SOURCE: usize = 6;
    pub(super) const ETHERTYPE: usize = 12;
}

/// A view over an Ethernet frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Frame<T> {
    /// Checks that the header is there.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] below 14 bytes.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        let have = buffer.as_ref().len();
        if have < HEADER_LEN {
            return Err(Malformed::truncated(Layer::Ethernet, HEADER_LEN, have));
        }
        Ok(Self { buffer })
    }

    /// The bytes back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Destination address.
    #[inline]
    pub fn destination(&self) -> MacAddr {
        mac_at(self.buffer.as_ref(), field::DESTINATION)
    }

    /// Source address.
    #[inline]
    pub fn source(&self) -> MacAddr {
        mac_at(self.buffer.as_ref(), field::SOURCE)
    }

    /// Ethertype; below 0x0600 it is the length of an 802.3 frame.
    #[inline]
    pub fn ethertype(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::ETHERTYPE)
    }

    /// What follows the header, padding included.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        between(self.buffer.as_ref(), HEADER_LEN, usize::MAX)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Frame<T> {
    /// Clears the header and returns the view.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] below 14 bytes.
    #[inline]
    pub fn init(buffer: T) -> Result<Self, Malformed> {
        let mut frame = Self::new_checked(buffer)?;
        frame.buffer.as_mut()[..HEADER_LEN].fill(0);
        Ok(frame)
    }

    /// Sets the destination address.
    #[inline]
    pub fn set_destination(&mut self, address: MacAddr) {
        put(self.buffer.as_mut(), field::DESTINATION, &address.0);
    }

    /// Sets the source address.
    #[inline]
    pub fn set_source(&mut self, address: MacAddr) {
        put(self.buffer.as_mut(), field::SOURCE, &address.0);
    }

    /// Sets the ethertype.
    #[inline]
    pub fn set_ethertype(&mut self, ethertype: u16) {
        put_u16(self.buffer.as_mut(), field::ETHERTYPE, ethertype);
    }

    /// What follows the header, writable.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        between_mut(self.buffer.as_mut(), HEADER_LEN, usize::MAX)
    }
}
