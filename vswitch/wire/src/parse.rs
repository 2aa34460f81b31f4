//! One walk from the Ethernet header to the transport header.

use std::net::IpAddr;

use crate::bytes::{array, mac_at, u16_at, v4_at, v6_at};
use crate::checksum::{self, Sum};
use crate::ethernet::{self, ethertype};
use crate::{Layer, MacAddr, Malformed, extension, icmpv4, ipv4, ipv6, protocol, tcp, udp};

/// What the frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L3 {
    /// ARP; its message is not looked at here ([`crate::arp::Packet::new_checked`] does that).
    Arp,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Another ethertype, a VLAN tag among them; below 0x0600 it is an 802.3 length.
    Other(u16),
}

/// Which part of an IP packet this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// The whole packet, or an atomic IPv6 fragment (RFC 6946).
    None,
    /// The first fragment: it has the transport header.
    First,
    /// A later fragment: what follows is payload, there are no ports.
    Later,
}

/// What the path needs to know of a packet's headers. Offsets are from the start of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Ethernet destination.
    pub destination_mac: MacAddr,
    /// Ethernet source.
    pub source_mac: MacAddr,
    /// What the frame carries. The fields below it hold 0 and [`Fragment::None`] unless this is IPv4 or IPv6.
    pub l3: L3,
    /// Which part of an IP packet this is.
    pub fragment: Fragment,
    /// The protocol inside IP, after IPv6 extension headers.
    pub protocol: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Where the network header starts; also set when the frame is not IP.
    pub l3_offset: u16,
    /// Where the transport header starts; a later fragment's payload.
    pub l4_offset: u16,
    /// Length of the IP packet, header included, padding not; up to 65,575.
    pub ip_len: u32,
    /// Source port of TCP, UDP and SCTP; else 0, as in later fragments.
    pub source_port: u16,
    /// Destination port of TCP, UDP and SCTP; else 0, as in later fragments.
    pub destination_port: u16,
}

impl Headers {
    /// The ethertype.
    #[inline]
    pub const fn ethertype(&self) -> u16 {
        match self.l3 {
            L3::Arp => ethertype::ARP,
            L3::Ipv4 => ethertype::IPV4,
            L3::Ipv6 => ethertype::IPV6,
            L3::Other(value) => value,
        }
    }

    /// Length of the transport header and its payload, 0 when the frame is not IP.
    #[inline]
    pub const fn l4_len(&self) -> u32 {
        self.ip_len.saturating_sub(self.l4_offset.saturating_sub(self.l3_offset) as u32)
    }

    /// Source and destination of the IP packet, read from the `head` that was parsed. `None` when it is not IP.
    #[inline]
    pub fn addresses(&self, head: &[u8]) -> Option<(IpAddr, IpAddr)> {
        let l3 = head.get(usize::from(self.l3_offset)..)?;
        match self.l3 {
            L3::Ipv4 if l3.len() >= ipv4::HEADER_LEN => Some((v4_at(l3, 12).into(), v4_at(l3, 16).into())),
            L3::Ipv6 if l3.len() >= ipv6::HEADER_LEN => Some((v6_at(l3, 8).into(), v6_at(l3, 24).into())),
            _ => None,
        }
    }

    /// The transport's pseudo-header sum, read from the `head` that was parsed. `None` when it is not IP. With an IPv6
    /// routing header the sender sums the last destination instead (RFC 8200 section 8.1); that is not followed.
    #[inline]
    pub fn pseudo_header(&self, head: &[u8]) -> Option<Sum> {
        match self.addresses(head)? {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                Some(checksum::pseudo_v4(source, destination, self.protocol, self.l4_len()))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                Some(checksum::pseudo_v6(source, destination, self.protocol, self.l4_len()))
            }
            _ => None,
        }
    }

    /// Where the transport's checksum field is, from the start of the transport header. `None` for protocols without an
    /// Internet checksum over a pseudo-header (ICMPv4, SCTP), and for fragments, which hold only a part of what is
    /// summed.
    #[inline]
    pub const fn checksum_offset(&self) -> Option<u16> {
        match (self.fragment, self.protocol) {
            (Fragment::None, protocol::TCP) => Some(tcp::CHECKSUM_OFFSET as u16),
            (Fragment::None, protocol::UDP) => Some(udp::CHECKSUM_OFFSET as u16),
            (Fragment::None, protocol::ICMPV6) if matches!(self.l3, L3::Ipv6) => Some(2),
            _ => None,
        }
    }
}

/// Parses a frame. `head` is what the first buffer holds, `total_len` the length of the whole chain; all headers must be
/// in `head`. Bytes after the IP packet are legal: short Ethernet frames are padded.
///
/// The transport header of TCP, UDP, SCTP and ICMP must be there (in a first fragment: its fixed part), so that no later
/// stage meets a packet whose ports it cannot read. Checksums are not verified: the receiver does that.
///
/// # Errors
/// Which header lies or is cut off, and how.
#[inline]
pub fn parse(head: &[u8], total_len: usize) -> Result<Headers, Malformed> {
    let head = &head[..head.len().min(total_len)];
    let Some(frame) = head.first_chunk::<{ ethernet::HEADER_LEN }>() else {
        return Err(Malformed::truncated(Layer::Ethernet, ethernet::HEADER_LEN, head.len()));
    };
    let ethertype = u16_at(frame, 12);
    let mut headers = Headers {
        destination_mac: mac_at(frame, 0),
        source_mac: mac_at(frame, 6),
        l3: L3::Other(ethertype),
        fragment: Fragment::None,
        protocol: 0,
        ttl: 0,
        l3_offset: ethernet::HEADER_LEN as u16,
        l4_offset: ethernet::HEADER_LEN as u16,
        ip_len: 0,
        source_port: 0,
        destination_port: 0,
    };
    let room = total_len - ethernet::HEADER_LEN;
    match ethertype {
        ethertype::IPV4 => parse_ipv4(&mut headers, head, room)?,
        ethertype::IPV6 => parse_ipv6(&mut headers, head, room)?,
        ethertype::ARP => headers.l3 = L3::Arp,
        _ => {}
    }
    Ok(headers)
}

/// `room` is what the chain has behind the Ethernet header.
#[inline]
fn parse_ipv4(headers: &mut Headers, head: &[u8], room: usize) -> Result<(), Malformed> {
    let packet = &head[ethernet::HEADER_LEN..];
    let Some(fixed) = packet.first_chunk::<{ ipv4::HEADER_LEN }>() else {
        return Err(Malformed::truncated(Layer::Ipv4, ipv4::HEADER_LEN, packet.len()));
    };
    let version = fixed[0] >> 4;
    if version != 4 {
        return Err(Malformed::BadVersion { layer: Layer::Ipv4, version });
    }
    let header_len = usize::from(fixed[0] & 0xf) * 4;
    if header_len < ipv4::HEADER_LEN {
        return Err(Malformed::header_length(Layer::Ipv4, header_len));
    }
    let ip_len = usize::from(u16_at(fixed, 2));
    if ip_len < header_len || ip_len > room {
        return Err(Malformed::total_length(Layer::Ipv4, ip_len, room));
    }
    let Some(l4) = packet.get(header_len..) else {
        return Err(Malformed::truncated(Layer::Ipv4, header_len, packet.len()));
    };
    headers.l3 = L3::Ipv4;
    headers.ttl = fixed[8];
    headers.protocol = fixed[9];
    headers.ip_len = ip_len as u32;
    headers.l4_offset = (ethernet::HEADER_LEN + header_len) as u16;
    // All but "don't fragment" and the reserved bit.
    let fragment = u16_at(fixed, 6) & 0x3fff;
    if fragment != 0 {
        headers.fragment = part_of_packet(Layer::Ipv4, (fragment & 0x1fff) << 3, fragment & 0x2000 != 0, ip_len)?;
    }
    parse_transport(headers, l4, ip_len - header_len)
}

#[inline]
fn parse_ipv6(headers: &mut Headers, head: &[u8], room: usize) -> Result<(), Malformed> {
    let packet = &head[ethernet::HEADER_LEN..];
    let Some((fixed, payload)) = packet.split_first_chunk::<{ ipv6::HEADER_LEN }>() else {
        return Err(Malformed::truncated(Layer::Ipv6, ipv6::HEADER_LEN, packet.len()));
    };
    let version = fixed[0] >> 4;
    if version != 6 {
        return Err(Malformed::BadVersion { layer: Layer::Ipv6, version });
    }
    let payload_len = usize::from(u16_at(fixed, 4));
    let ip_len = ipv6::HEADER_LEN + payload_len;
    if ip_len > room {
        return Err(Malformed::total_length(Layer::Ipv6, ip_len, room));
    }
    // Padding behind the packet is no place for an extension header.
    let payload = &payload[..payload.len().min(payload_len)];
    let end = extension::walk(fixed[6], payload)?;
    headers.l3 = L3::Ipv6;
    headers.ttl = fixed[7];
    headers.protocol = end.protocol;
    headers.ip_len = ip_len as u32;
    headers.l4_offset = (ethernet::HEADER_LEN + ipv6::HEADER_LEN + end.offset) as u16;
    if let Some(fragment) = end.fragment {
        let length = payload_len - end.offset;
        headers.fragment = part_of_packet(Layer::Ipv6, fragment.offset, fragment.more, length)?;
    }
    parse_transport(headers, &payload[end.offset..], payload_len - end.offset)
}

/// `length` is what this fragment adds from `offset` on.
#[cold]
fn part_of_packet(layer: Layer, offset: u16, more: bool, length: usize) -> Result<Fragment, Malformed> {
    if usize::from(offset) + length > usize::from(u16::MAX) {
        return Err(Malformed::FragmentPastEnd { layer, offset, length: length as u32 });
    }
    Ok(match (offset, more) {
        (0, false) => Fragment::None,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    })
}

/// `l4` is what the first buffer holds of the transport, padding perhaps included; `length` what IP says it has.
#[inline]
fn parse_transport(headers: &mut Headers, l4: &[u8], length: usize) -> Result<(), Malformed> {
    if headers.fragment == Fragment::Later {
        return Ok(());
    }
    let have = l4.len().min(length);
    let l4 = &l4[..have];
    let (layer, need) = match headers.protocol {
        protocol::TCP => (Layer::Tcp, tcp::HEADER_LEN),
        protocol::UDP => (Layer::Udp, udp::HEADER_LEN),
        protocol::SCTP => (Layer::Sctp, 12),
        protocol::ICMPV4 if headers.l3 == L3::Ipv4 => (Layer::Icmpv4, icmpv4::HEADER_LEN),
        protocol::ICMPV6 if headers.l3 == L3::Ipv6 => (Layer::Icmpv6, icmpv4::HEADER_LEN),
        _ => return Ok(()),
    };
    if have < need {
        return Err(Malformed::truncated(layer, need, have));
    }
    match layer {
        Layer::Udp => check_udp(headers.fragment, l4, length)?,
        Layer::Tcp => check_tcp(headers.fragment, l4)?,
        Layer::Sctp => {}
        _ => return Ok(()),
    }
    let [a, b, c, d] = array(l4, 0);
    headers.source_port = u16::from_be_bytes([a, b]);
    headers.destination_port = u16::from_be_bytes([c, d]);
    Ok(())
}

#[inline]
fn check_udp(fragment: Fragment, l4: &[u8], length: usize) -> Result<(), Malformed> {
    let claimed = usize::from(u16_at(l4, 4));
    if claimed < udp::HEADER_LEN || (claimed > length && fragment == Fragment::None) {
        return Err(Malformed::total_length(Layer::Udp, claimed, length));
    }
    Ok(())
}

#[inline]
fn check_tcp(fragment: Fragment, l4: &[u8]) -> Result<(), Malformed> {
    let header_len = usize::from(l4[12] >> 4) * 4;
    if header_len < tcp::HEADER_LEN {
        return Err(Malformed::header_length(Layer::Tcp, header_len));
    }
    if l4.len() < header_len && fragment == Fragment::None {
        return Err(Malformed::truncated(Layer::Tcp, header_len, l4.len()));
    }
    Ok(())
}
