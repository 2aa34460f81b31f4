//! Frames inside UDP: VXLAN (RFC 7348) and Geneve (RFC 8926), written out byte by byte, so that they can judge the
//! headers of `sluice-wire`.

use crate::{ChecksumMode, Ip};

/// The port that IANA gave VXLAN.
pub const VXLAN_PORT: u16 = 4789;
/// The port that IANA gave Geneve.
pub const GENEVE_PORT: u16 = 6081;
/// Ethernet inside Geneve ("Trans Ether Bridging").
const ETHERNET_IN_GENEVE: u16 = 0x6558;
/// VXLAN's only flag: the VNI is valid.
const VNI_IS_VALID: u8 = 0x08;

/// What stands in a Geneve header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geneve {
    /// Virtual network, 24 bits.
    pub vni: u32,
    /// Version, 2 bits; only 0 is known.
    pub version: u8,
    /// "Critical options present".
    pub critical: bool,
    /// "Control packet".
    pub control: bool,
    /// Ethertype of what is inside.
    pub protocol: u16,
    /// Options as they stand on the wire, a multiple of 4 bytes, at most 252.
    pub options: Vec<u8>,
}

impl Geneve {
    /// A header without options around an Ethernet frame.
    #[must_use]
    pub const fn ethernet(vni: u32) -> Self {
        Self { vni, version: 0, critical: false, control: false, protocol: ETHERNET_IN_GENEVE, options: Vec::new() }
    }

    /// The header's bytes.
    ///
    /// # Panics
    /// When the options are longer than 252 bytes or no multiple of 4.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        assert!(self.options.len().is_multiple_of(4), "options come in units of 4 bytes");
        let units = u8::try_from(self.options.len() / 4).expect("at most 63 units of options");
        assert!(units < 64, "at most 63 units of options");
        let flags = u8::from(self.control) << 7 | u8::from(self.critical) << 6;
        let mut bytes = vec![self.version << 6 | units, flags];
        bytes.extend_from_slice(&self.protocol.to_be_bytes());
        bytes.extend_from_slice(&(self.vni << 8).to_be_bytes());
        bytes.extend_from_slice(&self.options);
        bytes
    }
}

/// A VXLAN header.
#[must_use]
pub fn vxlan_header(vni: u32) -> [u8; 8] {
    let [a, b, c, d] = (vni << 8).to_be_bytes();
    [VNI_IS_VALID, 0, 0, 0, a, b, c, d]
}

impl Ip {
    /// `inner`, an Ethernet frame, in VXLAN. Over IPv4 the UDP checksum is zero unless another mode was asked for.
    pub fn vxlan(&self, source_port: u16, port: u16, vni: u32, inner: &[u8]) -> Vec<u8> {
        self.as_outer().udp(source_port, port, &[&vxlan_header(vni), inner].concat())
    }

    /// `inner` in Geneve.
    pub fn geneve(&self, source_port: u16, port: u16, header: &Geneve, inner: &[u8]) -> Vec<u8> {
        self.as_outer().udp(source_port, port, &[&header.bytes(), inner].concat())
    }

    fn as_outer(&self) -> Ip {
        match self.checksum_mode() {
            ChecksumMode::Complete if !self.is_v6() => self.clone().checksum(ChecksumMode::Zero),
            _ => self.clone(),
        }
    }
}
