//! A packet as sender and receiver see it, to be written and read back.

use std::net::IpAddr;

use sluice_packets::{ChecksumMode, Ethernet, Ip, Segment, sctp};
use sluice_path::Checksum;
use sluice_wire::parse::{self, Fragment};
use sluice_wire::{checksum, icmpv4, icmpv6, protocol, tcp};

use crate::cluster::Protocol;
use crate::traffic::Content;

/// Addresses, ports and what else the other side notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// What it is.
    pub content: Content,
    /// Source port, or the identifier of an echo request.
    pub source_port: u16,
    /// Destination port, or the identifier of an echo reply.
    pub destination_port: u16,
    /// TCP's flags.
    pub flags: u8,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Datagram {
    /// What answers it.
    #[must_use]
    pub fn answered(&self) -> Self {
        let flags = match self.content {
            Content::Transport(Protocol::Tcp) if self.flags == tcp::flag::SYN => tcp::flag::SYN | tcp::flag::ACK,
            Content::Transport(Protocol::Tcp) => tcp::flag::ACK,
            _ => 0,
        };
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            content: self.content,
            flags,
            payload: b"answer".to_vec(),
        }
    }

    /// The IP header around it, on `link`.
    ///
    /// # Panics
    /// When the addresses are of two families.
    #[must_use]
    pub fn ip(&self, link: Ethernet) -> Ip {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Ip::v4(link, source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Ip::v6(link, source, destination),
            _ => panic!("addresses of two families in one packet"),
        }
    }

    /// Its bytes on `link`; `partial` leaves the transport's checksum to a device, as pods do.
    #[must_use]
    pub fn frame(&self, link: Ethernet, partial: bool) -> Vec<u8> {
        let ported = matches!(self.content, Content::Transport(Protocol::Tcp | Protocol::Udp));
        let mode = if partial && ported { ChecksumMode::Partial } else { ChecksumMode::Complete };
        let ip = self.ip(link).checksum(mode);
        let (from, to) = (self.source_port, self.destination_port);
        match self.content {
            Content::Transport(Protocol::Udp) => ip.udp(from, to, &self.payload),
            Content::Transport(Protocol::Sctp) => ip.sctp(from, to, 0, &sctp::chunk(0, 3, &self.payload)),
            Content::Transport(Protocol::Tcp) => {
                let segment = Segment { flags: self.flags, window: 512, ..Segment::data(from, to) };
                ip.tcp(&segment, &self.payload)
            }
            // One of the two is the identifier: a request's source, a reply's destination.
            Content::Echo if to == 0 => ip.echo_request(from, 1, &self.payload),
            Content::Echo => ip.echo_reply(to, 1, &self.payload),
            Content::Other => ip.packet(protocol::ESP, &self.payload),
        }
    }

    /// Reads a frame that left the switch. `Err` says what is wrong with it; whatever is not looked at must be right too:
    /// lengths, header checksum, and the transport's once a device has completed it.
    ///
    /// # Errors
    /// What a receiver would find wrong.
    pub fn read(frame: &[u8]) -> Result<Self, String> {
        let headers = parse::parse(frame, frame.len()).map_err(|error| format!("does not parse: {error}"))?;
        let (source, destination) = headers.addresses(frame).ok_or("is not IP")?;
        if headers.fragment != Fragment::None {
            return Err("is a fragment".to_owned());
        }
        let l3 = usize::from(headers.l3_offset);
        if source.is_ipv4() && checksum::of(&frame[l3..usize::from(headers.l4_offset)]) != 0 {
            return Err("has a wrong IPv4 header checksum".to_owned());
        }
        let end = l3 + headers.ip_len as usize;
        let l4 = &frame[usize::from(headers.l4_offset)..end];
        let pseudo = headers.pseudo_header(frame).ok_or("is not IP")?;
        let wrong = |name: &str| Err(format!("has a wrong {name} checksum"));
        let read = |content, flags, data: &[u8]| Self {
            source,
            destination,
            content,
            source_port: headers.source_port,
            destination_port: headers.destination_port,
            flags,
            payload: data.to_vec(),
        };
        let sums_up = pseudo.add_bytes(l4).folded() == 0xffff;
        Ok(match headers.protocol {
            protocol::TCP if !sums_up => return wrong("TCP"),
            protocol::TCP => {
                let view = tcp::Packet::new_checked(l4).map_err(|error| error.to_string())?;
                read(Content::Transport(Protocol::Tcp), view.flags(), view.payload())
            }
            protocol::UDP if l4[6..8] != [0, 0] && !sums_up => return wrong("UDP"),
            protocol::UDP => read(Content::Transport(Protocol::Udp), 0, &l4[8..]),
            protocol::SCTP if !sctp::checksum_ok(l4) => return wrong("SCTP"),
            // One chunk, whose length does not count its padding.
            protocol::SCTP => {
                let length = usize::from(u16::from_be_bytes([l4[14], l4[15]]));
                read(Content::Transport(Protocol::Sctp), 0, &l4[16..12 + length])
            }
            protocol::ICMPV4 if checksum::of(l4) != 0 => return wrong("ICMP"),
            protocol::ICMPV6 if !sums_up => return wrong("ICMPv6"),
            protocol::ICMPV4 | protocol::ICMPV6 => {
                let identifier = u16::from_be_bytes([l4[4], l4[5]]);
                let request = l4[0] == icmpv4::kind::ECHO_REQUEST || l4[0] == icmpv6::kind::ECHO_REQUEST;
                let mut datagram = read(Content::Echo, 0, &l4[8..]);
                (datagram.source_port, datagram.destination_port) =
                    if request { (identifier, 0) } else { (0, identifier) };
                datagram
            }
            protocol::ESP => read(Content::Other, 0, l4),
            other => return Err(format!("is of protocol {other}")),
        })
    }
}

/// What a device does that is told of a partial checksum. Untouched where it is complete.
///
/// # Errors
/// When the place told lies outside the frame.
pub fn completed(mut frame: Vec<u8>, checksum: Checksum) -> Result<Vec<u8>, String> {
    let Checksum::Partial { start, offset } = checksum else { return Ok(frame) };
    let (start, at) = (usize::from(start), usize::from(start) + usize::from(offset));
    let bytes = frame.get(start..).ok_or("its partial checksum begins behind it")?;
    let sum = match checksum::of(bytes) {
        0 => 0xffff,
        sum => sum,
    };
    frame.get_mut(at..at + 2).ok_or("its partial checksum lies behind it")?.copy_from_slice(&sum.to_be_bytes());
    Ok(frame)
}
