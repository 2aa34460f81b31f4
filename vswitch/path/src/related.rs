//! ICMP and ICMPv6 errors about packets that were translated: the quote inside is made the packet that its sender sent (RFC 5508
//! section 4.2 says so of NAT).

use std::net::IpAddr;

use sluice_connections::Tuple;
use sluice_wire::parse::{Fragment, Headers, L3};
use sluice_wire::quote::Quote;
use sluice_wire::{checksum, icmpv4, icmpv6, protocol, sctp, tcp, udp};

use crate::translate::{Deltas, add, addresses_between, get, put, updated, word, write_addresses};

/// Where the checksum of an IPv4 header is.
const IPV4_CHECKSUM: usize = 10;

/// The tuple that the quoted packet stands under, in the direction in which it was sent. `None` for a later fragment.
#[inline]
pub(crate) fn tuple(quote: &Quote) -> Option<Tuple> {
    if quote.fragment == Fragment::Later {
        return None;
    }
    Some(Tuple {
        source: quote.source,
        destination: quote.destination,
        source_port: quote.source_port,
        destination_port: quote.destination_port,
        protocol: quote.protocol,
    })
}

/// Translates the error in `head`, parsed as `headers` and quoting `quote`: `outer` are its new source and destination, and
/// `inner` what the quoted packet is made to be.
///
/// Written are the outer addresses and, inside, addresses, ports or echo identifier, the IPv4 header checksum and the transport's
/// checksum where it is quoted; then the checksum of the error itself. All of it by difference: what is quoted may go on in
/// frames that are not looked at, and a quote that was wrong stays wrong.
pub(crate) fn translate(head: &mut [u8], headers: &Headers, quote: &Quote, outer: (IpAddr, IpAddr), inner: &Tuple) {
    let (l3, l4) = (usize::from(headers.l3_offset), usize::from(headers.l4_offset));
    let (Some(old), Some(from)) = (headers.addresses(head), tuple(quote)) else { return };
    let outside = addresses_between(old, outer);
    let Some(header) = head.get_mut(l3..) else { return };
    if !write_addresses(header, headers.l3, outer.0, outer.1, outside) {
        return;
    }
    let Some((message, quoted)) =
        head.get_mut(l4..).and_then(|message| message.split_at_mut_checked(icmpv4::HEADER_LEN))
    else {
        return;
    };
    let inside = translate_quoted(quoted, quote, &from, inner);
    // ICMPv4 has no pseudo-header.
    let covered = if headers.l3 == L3::Ipv6 { outside } else { 0 };
    if let Some(field) = get(message, icmpv4::CHECKSUM_OFFSET) {
        put(message, icmpv4::CHECKSUM_OFFSET, updated(field, add(covered, inside)));
    }
}

/// Makes the packet in `quoted` one of `to`. The result is what that does to a sum over it.
fn translate_quoted(quoted: &mut [u8], quote: &Quote, from: &Tuple, to: &Tuple) -> u16 {
    let deltas = Deltas::between(from, to);
    let header_checksum = get(quoted, IPV4_CHECKSUM);
    if !write_addresses(quoted, quote.l3, to.source, to.destination, deltas.l3) {
        return 0;
    }
    let mut change = deltas.l3;
    if quote.l3 == L3::Ipv4
        && let (Some(old), Some(new)) = (header_checksum, get(quoted, IPV4_CHECKSUM))
    {
        change = add(change, word(old, new));
    }
    let pseudo = pseudo_header(quote);
    let Some(transport) = quoted.get_mut(usize::from(quote.l4_offset)..) else { return change };
    let mut writer = Writer { bytes: transport, change };
    let first = writer.bytes.first().copied();
    match quote.protocol {
        protocol::TCP => {
            writer.ports(to);
            writer.checksum(tcp::CHECKSUM_OFFSET, deltas, Some(pseudo));
        }
        protocol::UDP if get(writer.bytes, udp::CHECKSUM_OFFSET) == Some(0) => writer.ports(to),
        protocol::UDP => {
            writer.ports(to);
            writer.checksum(udp::CHECKSUM_OFFSET, deltas, Some(pseudo));
            if get(writer.bytes, udp::CHECKSUM_OFFSET) == Some(0) {
                writer.put(udp::CHECKSUM_OFFSET, 0xffff);
            }
        }
        protocol::SCTP => writer.sctp(quote, to),
        protocol::ICMPV4 if quote.l3 == L3::Ipv4 => {
            writer.identifier(first == Some(icmpv4::kind::ECHO_REQUEST), first == Some(icmpv4::kind::ECHO_REPLY), to);
            writer.checksum(icmpv4::CHECKSUM_OFFSET, deltas, None);
        }
        protocol::ICMPV6 if quote.l3 == L3::Ipv6 => {
            writer.identifier(first == Some(icmpv6::kind::ECHO_REQUEST), first == Some(icmpv6::kind::ECHO_REPLY), to);
            writer.checksum(icmpv6::CHECKSUM_OFFSET, deltas, None);
        }
        _ => {}
    }
    writer.change
}

/// What a partial checksum of the quoted packet would hold: a pod that answers a packet which no device has completed quotes it
/// as it got it.
fn pseudo_header(quote: &Quote) -> checksum::Sum {
    match (quote.source, quote.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            checksum::pseudo_v4(source, destination, quote.protocol, quote.l4_len)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            checksum::pseudo_v6(source, destination, quote.protocol, quote.l4_len)
        }
        _ => checksum::Sum::new(),
    }
}

/// Writes words of a quoted transport header and keeps account of what that does to a sum over them. The header starts at an even
/// place of the error, so its words are the sum's.
struct Writer<'b> {
    bytes: &'b mut [u8],
    change: u16,
}

impl Writer<'_> {
    fn put(&mut self, at: usize, value: u16) {
        if let Some(old) = get(self.bytes, at) {
            put(self.bytes, at, value);
            self.change = add(self.change, word(old, value));
        }
    }

    fn ports(&mut self, to: &Tuple) {
        self.put(0, to.source_port);
        self.put(2, to.destination_port);
    }

    fn identifier(&mut self, request: bool, reply: bool, to: &Tuple) {
        match (request, reply) {
            (true, _) => self.put(4, to.source_port),
            (_, true) => self.put(4, to.destination_port),
            _ => {}
        }
    }

    /// Updates the checksum at `at`, if it is quoted; one that equals `partial` holds no more than that sum.
    fn checksum(&mut self, at: usize, deltas: Deltas, partial: Option<checksum::Sum>) {
        let Some(field) = get(self.bytes, at) else { return };
        let is_partial = partial.is_some_and(|pseudo| checksum::is_partial(field, pseudo));
        self.put(at, if is_partial { add(field, deltas.l3) } else { updated(field, deltas.l4) });
    }

    /// SCTP's checksum is carried over the bytes that are not quoted, of which the length is known; not over those of other
    /// fragments.
    fn sctp(&mut self, quote: &Quote, to: &Tuple) {
        let Some(&old) = self.bytes.first_chunk::<4>() else { return };
        self.ports(to);
        let Some(&new) = self.bytes.first_chunk::<4>() else { return };
        let Ok(packet) = sctp::Packet::new_checked(&*self.bytes) else { return };
        let (known, length) = (packet.checksum(), quote.l4_len as usize);
        if known == 0 || quote.fragment != Fragment::None || length < sctp::HEADER_LEN {
            return;
        }
        let [a, b, c, d] = sctp::update(known, old, new, length - new.len()).to_le_bytes();
        self.put(sctp::CHECKSUM_OFFSET, u16::from_be_bytes([a, b]));
        self.put(sctp::CHECKSUM_OFFSET + 2, u16::from_be_bytes([c, d]));
    }
}

#[cfg(test)]
mod tests;
