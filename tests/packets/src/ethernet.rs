//! The Ethernet header in front of everything.

use sluice_wire::MacAddr;
use sluice_wire::ethernet::{Frame, HEADER_LEN, ethertype};

/// Bytes of one VLAN tag.
const TAG_LEN: usize = 4;

/// Addresses and tag of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// Source address.
    pub source: MacAddr,
    /// Destination address.
    pub destination: MacAddr,
    /// 802.1Q tag: priority, drop bit and VLAN id, 16 bits.
    pub vlan: Option<u16>,
}

impl Ethernet {
    /// A frame without a tag.
    pub const fn new(source: MacAddr, destination: MacAddr) -> Self {
        Self { source, destination, vlan: None }
    }

    /// The same with an 802.1Q tag.
    #[must_use]
    pub const fn vlan(mut self, tag: u16) -> Self {
        self.vlan = Some(tag);
        self
    }

    /// Length of the header, tag included.
    pub const fn header_len(&self) -> usize {
        if self.vlan.is_some() { HEADER_LEN + TAG_LEN } else { HEADER_LEN }
    }

    /// The frame around `payload`.
    pub fn frame(&self, ethertype: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; self.header_len()];
        let mut frame = Frame::init(&mut bytes[..]).expect("room for the header was just made");
        frame.set_source(self.source);
        frame.set_destination(self.destination);
        match self.vlan {
            None => frame.set_ethertype(ethertype),
            Some(tag) => {
                frame.set_ethertype(ethertype::VLAN);
                let after = frame.payload_mut();
                after[..2].copy_from_slice(&tag.to_be_bytes());
                after[2..].copy_from_slice(&ethertype.to_be_bytes());
            }
        }
        bytes.extend_from_slice(payload);
        bytes
    }
}
