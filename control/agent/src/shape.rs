//! The sizes and offloads of every device that the switch has an end of.
//!
//! With super-frames a pod's kernel hands TCP segments of up to 60 kB down whole. For that the *link* takes 65000 bytes,
//! while every *route* keeps the path MTU, so that segment sizes and fragments stay those of the wire.

use std::net::IpAddr;

use sluice_host::offload::{
    self, Feature, GSO, SCATTER_GATHER, TCP_SEGMENTATION, TX_CHECKSUM, TX_CHECKSUM_SCTP, TX_SCTP_SEGMENTATION,
    TX_UDP_SEGMENTATION,
};
use sluice_host::{Error, LinkChange, LinkIndex, Netlink, VethEnd};

/// Link MTU with super-frames, bytes: room for a frame that carries no segment size (`__is_skb_forwardable`,
/// net/core/dev.c).
const SUPER_LINK_MTU: u32 = 65000;
/// Largest segment handed down whole, bytes: below the link MTU less all headers.
const SUPER_GSO: u32 = 60000;
/// IPv4 and TCP header without options, bytes.
const HEADERS_V4: u32 = 40;
/// IPv6 and TCP header without options, bytes.
const HEADERS_V6: u32 = 60;

/// The sizes of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// MTU of the routes: the largest IP packet that the network beyond takes, bytes.
    pub(crate) path_mtu: u16,
    /// Whether TCP segments come and go whole.
    pub(crate) super_frames: bool,
    /// MTU of the uplink, bytes; 0 without one. What comes from there may be longer than what fits a tunnel.
    pub(crate) wire_mtu: u16,
}

impl Shape {
    /// MTU of the device itself and largest IP packet it takes, bytes.
    pub(crate) fn link_mtu(self) -> u32 {
        if self.super_frames { SUPER_LINK_MTU } else { u32::from(self.path_mtu.max(self.wire_mtu)) }
    }

    /// MSS to offer on routes of `gateway`'s family, bytes.
    pub(crate) fn advmss(self, gateway: IpAddr) -> u32 {
        let headers = if gateway.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 };
        u32::from(self.path_mtu) - headers
    }

    /// `end` with these sizes.
    pub(crate) fn sized<'a>(self, end: VethEnd<'a>) -> VethEnd<'a> {
        let gso = self.super_frames.then_some(SUPER_GSO);
        VethEnd { mtu: Some(self.link_mtu()), gso_max_size: gso, gso_ipv4_max_size: gso, ..end }
    }

    /// Gives an existing device these sizes, as at a takeover under a changed configuration.
    pub(crate) fn resize(self, netlink: &mut Netlink, link: LinkIndex) -> Result<(), Error> {
        let gso = self.super_frames.then_some(SUPER_GSO);
        let change =
            LinkChange { mtu: Some(self.link_mtu()), gso_max_size: gso, gso_ipv4_max_size: gso, ..Default::default() };
        netlink.set_link(link, &change)
    }

    /// Sets the offloads of the end that a network stack uses (the pod's, or the node's).
    ///
    /// A UDP or SCTP super-frame carries no segment size, so the switch could not tell its segments; and nothing on the
    /// way would complete an SCTP checksum. TCP checksums stay partial: the switch completes them where it must.
    pub(crate) fn set_offloads(self, netlink: &mut Netlink, link: LinkIndex) -> Result<(), Error> {
        let mut wanted = vec![(TX_CHECKSUM, true), (TX_CHECKSUM_SCTP, false), (SCATTER_GATHER, true), (GSO, true)];
        wanted.extend(TCP_SEGMENTATION.map(|feature| (feature, self.super_frames)));
        wanted.extend([(TX_UDP_SEGMENTATION, false), (TX_SCTP_SEGMENTATION, false)]);
        let known = offload::get(netlink, link)?;
        wanted.retain(|(feature, on): &(Feature, bool)| *on || known.is_on(*feature));
        offload::set(netlink, link, &wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_keep_the_path_mtu_whatever_the_link_takes() {
        let v4 = sluice_tables::GATEWAY_IPV4.into();
        let v6 = sluice_tables::GATEWAY_IPV6.into();
        for super_frames in [false, true] {
            let shape = Shape { path_mtu: 1500, super_frames, wire_mtu: 0 };
            assert_eq!((shape.advmss(v4), shape.advmss(v6)), (1460, 1440));
        }
        let link_mtu = |super_frames, wire_mtu| Shape { path_mtu: 1450, super_frames, wire_mtu }.link_mtu();
        assert_eq!((link_mtu(false, 0), link_mtu(false, 1500)), (1450, 1500));
        assert_eq!((link_mtu(true, 0), link_mtu(true, 1500)), (65000, 65000));
    }
}
