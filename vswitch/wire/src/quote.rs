//! The packet that an ICMP or ICMPv6 error quotes (RFC 792, RFC 4443 section 3): an IP header and at least the first eight
//! bytes behind it, often no more.
//!
//! It is what came back from somewhere, so nothing is asked of it that routers are known to change or to get wrong: neither
//! its header checksum, nor that its total length fits the bytes that are there.

use std::net::IpAddr;

use crate::bytes::{array, between, u16_at, v4_at, v6_at};
use crate::parse::{Fragment, L3};
use crate::{Layer, Malformed, extension, icmpv4, icmpv6, ipv4, ipv6, protocol, udp};

/// Bytes behind the IP header that every error quotes (RFC 792).
pub const TRANSPORT_LEN: usize = 8;

/// What is known of a quoted packet. Offsets are from its IP header, as the bytes given to [`parse`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// [`L3::Ipv4`] or [`L3::Ipv6`], as the error itself.
    pub l3: L3,
    /// Its source: who is to learn of the error.
    pub source: IpAddr,
    /// Its destination.
    pub destination: IpAddr,
    /// The protocol inside IP, after IPv6 extension headers.
    pub protocol: u8,
    /// Which part of a packet it was. The rest is 0 in a later fragment.
    pub fragment: Fragment,
    /// Where the transport header starts.
    pub l4_offset: u16,
    /// Length of the transport header and its payload as the IP header gives it: of the packet that was sent, most of which
    /// is not quoted.
    pub l4_len: u32,
    /// Source port of TCP, UDP and SCTP; identifier of an echo request; else 0.
    pub source_port: u16,
    /// Destination port of TCP, UDP and SCTP; identifier of an echo reply; else 0.
    pub destination_port: u16,
}

/// Reads the packet quoted in `bytes`, which is what follows the eight bytes of the error's ICMP header, in the first frame.
/// `l3` is the family of the error.
///
/// # Errors
/// [`Malformed`] when the IP header is cut, of another version or followed by less than eight bytes of TCP, UDP, SCTP or
/// ICMP; and when it quotes an ICMP error, about which no error may be sent (RFC 1122 section 3.2.2).
#[inline]
pub fn parse(bytes: &[u8], l3: L3) -> Result<Quote, Malformed> {
    let mut quote = match l3 {
        L3::Ipv4 => parse_v4(bytes)?,
        _ => parse_v6(bytes)?,
    };
    let l4 = between(bytes, usize::from(quote.l4_offset), usize::MAX);
    read_ports(&mut quote, l4)?;
    Ok(quote)
}

fn parse_v4(bytes: &[u8]) -> Result<Quote, Malformed> {
    let header = ipv4::Packet::new_header(bytes)?;
    let offset = header.fragment_offset();
    Ok(Quote {
        l3: L3::Ipv4,
        source: v4_at(bytes, 12).into(),
        destination: v4_at(bytes, 16).into(),
        protocol: header.protocol(),
        fragment: part(offset, header.more_fragments()),
        l4_offset: header.header_len() as u16,
        l4_len: (header.total_len() - header.header_len()) as u32,
        source_port: 0,
        destination_port: 0,
    })
}

fn parse_v6(bytes: &[u8]) -> Result<Quote, Malformed> {
    let header = ipv6::Packet::new_header(bytes)?;
    let payload = between(bytes, ipv6::HEADER_LEN, header.total_len());
    let end = extension::walk(header.next_header(), payload)?;
    Ok(Quote {
        l3: L3::Ipv6,
        source: v6_at(bytes, 8).into(),
        destination: v6_at(bytes, 24).into(),
        protocol: end.protocol,
        fragment: end.fragment.map_or(Fragment::None, |it| part(it.offset, it.more)),
        l4_offset: (ipv6::HEADER_LEN + end.offset) as u16,
        l4_len: (header.payload_len() - end.offset) as u32,
        source_port: 0,
        destination_port: 0,
    })
}

const fn part(offset: u16, more: bool) -> Fragment {
    match (offset, more) {
        (0, false) => Fragment::None,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    }
}

fn read_ports(quote: &mut Quote, l4: &[u8]) -> Result<(), Malformed> {
    if quote.fragment == Fragment::Later {
        return Ok(());
    }
    let layer = match quote.protocol {
        protocol::TCP => Layer::Tcp,
        protocol::UDP => Layer::Udp,
        protocol::SCTP => Layer::Sctp,
        protocol::ICMPV4 if quote.l3 == L3::Ipv4 => Layer::Icmpv4,
        protocol::ICMPV6 if quote.l3 == L3::Ipv6 => Layer::Icmpv6,
        _ => return Ok(()),
    };
    let have = l4.len().min(quote.l4_len as usize);
    if have < TRANSPORT_LEN {
        return Err(Malformed::truncated(layer, TRANSPORT_LEN, have));
    }
    match layer {
        Layer::Icmpv4 | Layer::Icmpv6 => read_echo(quote, layer, l4)?,
        _ => {
            let [a, b, c, d] = array(l4, 0);
            quote.source_port = u16::from_be_bytes([a, b]);
            quote.destination_port = u16::from_be_bytes([c, d]);
        }
    }
    // Linux and others quote no more than the length says; a UDP length below its own header was never sent by anyone.
    if layer == Layer::Udp && usize::from(u16_at(l4, 4)) < udp::HEADER_LEN {
        return Err(Malformed::total_length(Layer::Udp, usize::from(u16_at(l4, 4)), quote.l4_len as usize));
    }
    Ok(())
}

fn read_echo(quote: &mut Quote, layer: Layer, l4: &[u8]) -> Result<(), Malformed> {
    let kind = l4[0];
    let error = match layer {
        Layer::Icmpv4 => icmpv4::Packet::new_checked(l4)?.is_error(),
        _ => icmpv6::Packet::new_checked(l4)?.is_error(),
    };
    match (layer, kind) {
        _ if error => return Err(Malformed::WrongType { layer, value: kind }),
        (Layer::Icmpv4, icmpv4::kind::ECHO_REQUEST) | (Layer::Icmpv6, icmpv6::kind::ECHO_REQUEST) => {
            quote.source_port = u16_at(l4, 4);
        }
        (Layer::Icmpv4, icmpv4::kind::ECHO_REPLY) | (Layer::Icmpv6, icmpv6::kind::ECHO_REPLY) => {
            quote.destination_port = u16_at(l4, 4);
        }
        _ => {}
    }
    Ok(())
}
