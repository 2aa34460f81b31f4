//! What is addressed to the gateway itself, and is no reply that the host sends there: answered or refused.

use std::net::IpAddr;

use sluice_tables::Tables;
use sluice_wire::parse::Fragment;
use sluice_wire::protocol;

use super::{Arrival, Origin, is_echo_request};
use crate::DropReason;
use crate::exit::{Exit, Failure, Refusal};

/// Ends the way of a packet to the gateway. Asked only where no connection is known: the host's own packets may stand
/// under the gateway's address, and then the replies are not for the gateway.
#[inline]
pub(crate) fn answer<'t>(tables: &Tables, head: &[u8], arrival: &Arrival<'_>) -> Result<(), Exit<'t>> {
    if !tables.gateway().has_address(arrival.ip.destination) {
        return Ok(());
    }
    Err(match arrival.origin {
        Origin::Pod | Origin::Host => judge(head, arrival),
        // Link-local: no router forwards to it (RFC 3927 section 2.7), and on the uplink's link it is not the switch's.
        Origin::Tunnel(_) => DropReason::Martian.into(),
        Origin::Uplink => Exit::Punt,
    })
}

#[cold]
fn judge<'t>(head: &[u8], arrival: &Arrival<'_>) -> Exit<'t> {
    let headers = &arrival.ip.headers;
    if headers.fragment != Fragment::None {
        return DropReason::GatewayFragment.into();
    }
    let refusal = match (arrival.ip.destination, headers.protocol) {
        _ if is_echo_request(head, &arrival.ip) => return Exit::ReplyEcho,
        (IpAddr::V4(_), protocol::ICMPV4) | (IpAddr::V6(_), protocol::ICMPV6) => DropReason::GatewayIcmp.into(),
        (_, protocol::TCP | protocol::UDP) => Refusal::Tell(DropReason::GatewayPort, Failure::NoPort),
        _ => Refusal::Tell(DropReason::GatewayProtocol, Failure::NoProtocol),
    };
    refusal.into()
}

#[cfg(test)]
mod tests {
    use sluice_packets::{Ip, Segment, fragment};
    use sluice_wire::{icmpv4, icmpv6, protocol};

    use super::answer;
    use crate::DropReason;
    use crate::exit::{Exit, Failure};
    use crate::fixture::*;

    #[derive(Debug, PartialEq)]
    enum Answer {
        None,
        Echo,
        Dropped(DropReason),
        Refused(DropReason, Failure),
    }

    fn answered(frame: &[u8]) -> Answer {
        let (mut room, tables) = (Vec::new(), tables());
        let mut packet = packet(&mut room, frame, A);
        let arrival = arrival(&tables, &mut packet);
        match answer(&tables, packet.head(), &arrival) {
            Ok(()) => Answer::None,
            Err(Exit::ReplyEcho) => Answer::Echo,
            Err(Exit::Drop(reason)) => Answer::Dropped(reason),
            Err(Exit::Refuse { reason, failure }) => Answer::Refused(reason, failure),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_for_others_goes_on() {
        assert_eq!(answered(&a_to_b().udp(1, 2, b"x")), Answer::None);
    }

    #[test]
    fn the_gateway_answers_echo_and_refuses_the_rest() {
        let no_port = || Answer::Refused(DropReason::GatewayPort, Failure::NoPort);
        let no_protocol = || Answer::Refused(DropReason::GatewayProtocol, Failure::NoProtocol);
        let check = |ip: Ip| {
            assert_eq!(answered(&ip.clone().ttl(1).echo_request(1, 2, b"data")), Answer::Echo);
            assert_eq!(answered(&ip.echo_reply(1, 2, b"data")), Answer::Dropped(DropReason::GatewayIcmp));
            assert_eq!(answered(&ip.udp(1, 2, b"x")), no_port());
            assert_eq!(answered(&ip.tcp(&Segment::syn(1, 2), b"")), no_port());
            assert_eq!(answered(&ip.packet(protocol::SCTP, &[0; 16])), no_protocol());
            for piece in fragment::split(&ip.echo_request(1, 2, &[0; 3000]), 1500, 1) {
                assert_eq!(answered(&piece), Answer::Dropped(DropReason::GatewayFragment));
            }
        };
        check(a_to(GATEWAY.v4));
        check(a_to_v6(GATEWAY.v6));
        let crossed = a_to(GATEWAY.v4).packet(protocol::ICMPV6, &[icmpv6::kind::ECHO_REQUEST; 8]);
        assert_eq!(answered(&crossed), no_protocol());
        let with_code = a_to(GATEWAY.v4).icmp(icmpv4::kind::ECHO_REQUEST, 1, 0, b"");
        assert_eq!(answered(&with_code), Answer::Dropped(DropReason::GatewayIcmp));
    }
}
