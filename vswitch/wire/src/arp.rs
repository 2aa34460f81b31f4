//! ARP for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

use crate::bytes::{mac_at, put, put_u16, u16_at, v4_at};
use crate::{Layer, MacAddr, Malformed};

/// Bytes of a message.
pub const LEN: usize = 28;

/// Operation of a request.
pub const REQUEST: u16 = 1;
/// Operation of a reply.
pub const REPLY: u16 = 2;

const HARDWARE_ETHERNET: u16 = 1;
const PROTOCOL_IPV4: u16 = 0x0800;

mod field {
    pub(super) const HARDWARE: usize = 0;
    pub(super) const PROTOCOL: usize = 2;
    pub(super) const HARDWARE_LEN: usize = 4;
    pub(super) const PROTOCOL_LEN: usize = 5;
    pub(super) const OPERATION: usize = 6;
    pub(super) const SENDER_MAC: usize = 8;
    pub(super) const SENDER_IP: usize = 14;
    pub(super) const TARGET_MAC: usize = 18;
    pub(super) const TARGET_IP: usize = 24;
}

/// A view over an ARP message.
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Checks that this is ARP for IPv4 over Ethernet. Bytes after the message are padding.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] below 28 bytes, [`Malformed::BadArpSpace`] for other kinds of address,
    /// [`Malformed::BadHeaderLength`] when the address lengths are not 6 and 4.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        let bytes = buffer.as_ref();
        if bytes.len() < LEN {
            return Err(Malformed::truncated(Layer::Arp, LEN, bytes.len()));
        }
        let (hardware, protocol) = (u16_at(bytes, field::HARDWARE), u16_at(bytes, field::PROTOCOL));
        if hardware != HARDWARE_ETHERNET || protocol != PROTOCOL_IPV4 {
            return Err(Malformed::BadArpSpace { hardware, protocol });
        }
        let (mac_len, ip_len) = (bytes[field::HARDWARE_LEN], bytes[field::PROTOCOL_LEN]);
        if mac_len != 6 || ip_len != 4 {
            return Err(Malformed::header_length(Layer::Arp, 8 + 2 * (usize::from(mac_len) + usize::from(ip_len))));
        }
        Ok(Self { buffer })
    }

    /// The bytes back.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// Operation, [`REQUEST`] or [`REPLY`] or another.
    #[inline]
    pub fn operation(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::OPERATION)
    }

    /// The sender's hardware address.
    #[inline]
    pub fn sender_mac(&self) -> MacAddr {
        mac_at(self.buffer.as_ref(), field::SENDER_MAC)
    }

    /// The sender's address; 0.0.0.0 in a probe (RFC 5227).
    #[inline]
    pub fn sender_ip(&self) -> Ipv4Addr {
        v4_at(self.buffer.as_ref(), field::SENDER_IP)
    }

    /// The target's hardware address, zero in a request.
    #[inline]
    pub fn target_mac(&self) -> MacAddr {
        mac_at(self.buffer.as_ref(), field::TARGET_MAC)
    }

    /// The address asked for.
    #[inline]
    pub fn target_ip(&self) -> Ipv4Addr {
        v4_at(self.buffer.as_ref(), field::TARGET_IP)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Clears the message, writes its address kinds and returns the view.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] below 28 bytes.
    #[inline]
    pub fn init(mut buffer: T) -> Result<Self, Malformed> {
        let bytes = buffer.as_mut();
        if bytes.len() < LEN {
            return Err(Malformed::truncated(Layer::Arp, LEN, bytes.len()));
        }
        bytes[..LEN].fill(0);
        put_u16(bytes, field::HARDWARE, HARDWARE_ETHERNET);
        put_u16(bytes, field::PROTOCOL, PROTOCOL_IPV4);
        bytes[field::HARDWARE_LEN] = 6;
        bytes[field::PROTOCOL_LEN] = 4;
        Ok(Self { buffer })
    }

    /// Sets the operation.
    #[inline]
    pub fn set_operation(&mut self, operation: u16) {
        put_u16(self.buffer.as_mut(), field::OPERATION, operation);
    }

    /// Sets the sender's addresses.
    #[inline]
    pub fn set_sender(&mut self, mac: MacAddr, ip: Ipv4Addr) {
        put(self.buffer.as_mut(), field::SENDER_MAC, &mac.0);
        put(self.buffer.as_mut(), field::SENDER_IP, &ip.octets());
    }

    /// Sets the target's addresses.
    #[inline]
    pub fn set_target(&mut self, mac: MacAddr, ip: Ipv4Addr) {
        put(self.buffer.as_mut(), field::TARGET_MAC, &mac.0);
        put(self.buffer.as_mut(), field::TARGET_IP, &ip.octets());
    }
}
