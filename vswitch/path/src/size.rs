//! Ninth stage: has the packet a hop left, and does it fit the way it leaves by?

use std::net::IpAddr;

use sluice_tables::{Port, PortKind, Tables};
use sluice_wire::parse::{Fragment, L3};
use sluice_wire::protocol;

use crate::egress::Way;
use crate::ends::is_own;
use crate::exit::{Failure, Refusal};
use crate::origin::Arrival;
use crate::{Cut, CutTo, DropReason, Packet};

/// Byte of the IPv4 header with the flags, and the bit in it that forbids fragmenting.
const FLAGS: usize = 6;
const DONT_FRAGMENT: u8 = 0x40;

/// What a way takes.
struct Limits {
    /// The longest packet that a sender may address to it.
    mtu: u16,
    /// The longest TCP super-frame.
    largest: u32,
    /// A wire lies before the receiver, so super-frames are cut.
    wire: bool,
}

/// Lets a packet pass that fits the path MTU, and a TCP super-frame that fits the device: its receiver sees a stream, so
/// the boundaries between segments mean nothing to it. Datagrams have boundaries, so they get no such licence.
///
/// A super-frame that goes on to a wire passes too, but is to be cut as told, and so does an IPv4 datagram or fragment that is too long
/// and whose sender does not forbid it. `destination` is where the packet goes once it
/// is translated, `mss` the segment size that its connection agreed on, 0 if unknown.
#[inline]
pub(crate) fn run(
    tables: &Tables,
    packet: &Packet<'_>,
    arrival: &Arrival<'_>,
    way: &Way<'_>,
    destination: IpAddr,
    mss: u16,
) -> Result<Option<CutTo>, Refusal> {
    let headers = &arrival.ip.headers;
    if headers.ttl <= 1 {
        return Err(Refusal::Tell(DropReason::TtlExpired, Failure::TimeExceeded));
    }
    let Limits { mtu, largest, wire } = limits(tables, arrival, way, destination);
    let whole_tcp = headers.protocol == protocol::TCP && headers.fragment == Fragment::None;
    if headers.ip_len <= u32::from(mtu) && !(wire && whole_tcp && exceeds(arrival, mss)) {
        return Ok(None);
    }
    if whole_tcp && headers.ip_len <= largest {
        return Ok(wire.then_some(CutTo { mtu, mss, inner: 0 }));
    }
    if whole_tcp && is_merged(arrival) {
        // No sender can be told to send less: each segment fitted the wire.
        return Ok(Some(CutTo { mtu: largest.min(u16::MAX.into()) as u16, mss: 0, inner: 0 }));
    }
    if !whole_tcp && headers.l3 == L3::Ipv4 && Cut::may_fragment(&packet.head()[arrival.ip.l3()..]) {
        return Ok(Some(mtu.into()));
    }
    Err(too_big(packet.head(), arrival, mtu))
}

#[inline]
fn limits(tables: &Tables, arrival: &Arrival<'_>, way: &Way<'_>, destination: IpAddr) -> Limits {
    match way {
        Way::Port(port) => {
            let Port { path_mtu, max_l3_len: largest, kind, .. } = **port;
            let wire = kind == PortKind::Host && !is_own(tables, destination);
            // The path MTU is what senders on this node keep to. What has come over the uplink has no further way, and its
            // sender knows of no tunnel.
            let arrived = arrival.port.kind == PortKind::Uplink && !wire;
            let mtu = if arrived { largest.min(u16::MAX.into()) as u16 } else { path_mtu };
            Limits { mtu, largest, wire }
        }
        // A super-frame is cut before the device sees it.
        Way::Wire { uplink, .. } => Limits { mtu: uplink.path_mtu, largest: u32::from(u16::MAX), wire: true },
        Way::Tunnel { tunnel, .. } => Limits { mtu: tunnel.inner_mtu, largest: u32::from(u16::MAX), wire: true },
    }
}

/// Whether a segment has more payload than one end of its connection takes: a sender with segmentation offload leaves
/// the cutting to its device also where all of it would fit the path.
#[inline]
fn exceeds(arrival: &Arrival<'_>, mss: u16) -> bool {
    let headers = &arrival.ip.headers;
    // Without its options the TCP header has 20 bytes: the segment size counts options as payload (RFC 6691).
    mss != 0 && headers.l4_len() > u32::from(mss) + 20
}

/// Whether a packet is longer than its wire takes: then the uplink's device or its driver has made it of several segments
/// (GRO), up to 65,535 bytes, which may be more than a pod's device takes.
#[cold]
fn is_merged(arrival: &Arrival<'_>) -> bool {
    arrival.port.kind == PortKind::Uplink && arrival.ip.headers.ip_len > u32::from(arrival.port.path_mtu)
}

#[cold]
fn too_big(head: &[u8], arrival: &Arrival<'_>, mtu: u16) -> Refusal {
    let failure = Failure::TooBig { mtu };
    let may_be_fragmented = arrival.ip.headers.l3 == L3::Ipv4 && head[arrival.ip.l3() + FLAGS] & DONT_FRAGMENT == 0;
    match (may_be_fragmented, arrival.port.kind) {
        (false, _) => Refusal::Tell(DropReason::TooBig, failure),
        // Who is beyond the wire trusts routers to fragment, and knows nothing of tunnels, so it would go on for ever. Linux
        // heeds the error about packets without DF too (`ipv4_sk_update_pmtu`, net/ipv4/route.c) and sends shorter fragments.
        (true, PortKind::Uplink) => Refusal::Tell(DropReason::NeedsFragmenting, failure),
        (true, _) => DropReason::NeedsFragmenting.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use sluice_packets::{Ip, Segment, fragment};

    use sluice_tables::{Port, PortId, PortKind, WorkerId};

    use super::run;
    use crate::egress::Way;
    use crate::exit::{Failure, Refusal};
    use crate::fixture::*;
    use crate::origin::Arrival;
    use crate::{CutTo, DropReason};

    fn sized(frame: &[u8]) -> Result<Option<CutTo>, DropReason> {
        let mut room = Vec::new();
        let tables = tables();
        let mut packet = packet(&mut room, frame, A);
        let arrival = arrival(&tables, &mut packet);
        let egress = Way::Port(tables.port(B.port).expect("B's port"));
        run(&tables, &packet, &arrival, &egress, arrival.ip.destination, 0).map_err(|refusal| match refusal {
            Refusal::Drop(reason) => reason,
            Refusal::Tell(reason, failure) => {
                assert_eq!(failure, Failure::TooBig { mtu: 1500 });
                reason
            }
            Refusal::NotOurs => panic!("not from the uplink"),
        })
    }

    fn uplink() -> Port {
        Port {
            id: PortId(9),
            kind: PortKind::Uplink,
            worker: WorkerId(0),
            mac: A.mac,
            addresses: Vec::new(),
            path_mtu: 1500,
            max_l3_len: 1500,
        }
    }

    /// A frame whose IP packet has `len` bytes.
    fn udp(ip: Ip, len: usize) -> Vec<u8> {
        let headers = ip.udp(1, 2, b"").len() - 14;
        ip.udp(1, 2, &vec![7; len - headers])
    }

    fn tcp(ip: Ip, len: usize) -> Vec<u8> {
        let headers = ip.tcp(&Segment::data(1, 2), b"").len() - 14;
        ip.tcp(&Segment::data(1, 2), &vec![7; len - headers])
    }

    #[test]
    fn the_path_mtu_is_the_last_length_that_passes() {
        for ip in [a_to_b(), a_to_b_v6()] {
            assert_eq!(sized(&udp(ip.clone(), 1500)), Ok(None));
            assert_eq!(sized(&udp(ip, 1501)), Err(DropReason::TooBig));
        }
        // Where the sender leaves that to routers it is cut, unless it has options that do not belong into each fragment.
        assert_eq!(sized(&udp(a_to_b().dont_fragment(false), 1501)), Ok(Some(1500.into())));
        let optional = a_to_b().dont_fragment(false).options(&[1, 1, 1, 0]);
        assert_eq!(sized(&udp(optional, 1501)), Err(DropReason::NeedsFragmenting));
    }

    #[test]
    fn tcp_passes_up_to_what_the_device_takes() {
        for ip in [a_to_b(), a_to_b_v6()] {
            assert_eq!(sized(&tcp(ip.clone(), 65_000)), Ok(None));
            assert_eq!(sized(&tcp(ip, 65_001)), Err(DropReason::TooBig));
        }
        assert_eq!(sized(&tcp(a_to_b().dont_fragment(false), 65_001)), Err(DropReason::NeedsFragmenting));
    }

    #[test]
    fn what_came_over_the_wire_is_as_long_as_the_pods_device_takes() {
        let tables = tables();
        for ip in [a_to_b(), a_to_b_v6(), a_to_b().dont_fragment(false)] {
            for (len, passes) in [(1501, true), (65_000, true), (65_001, false)] {
                let mut room = Vec::new();
                let mut packet = packet(&mut room, &udp(ip.clone(), len), A);
                let uplink = uplink();
                let arrival = Arrival { port: &uplink, ..arrival(&tables, &mut packet) };
                let sized = |end: End, destination: IpAddr| {
                    let way = Way::Port(tables.port(end.port).expect("a port"));
                    run(&tables, &packet, &arrival, &way, destination, 0)
                };
                assert_eq!(sized(B, B.v4.into()) == Ok(None), passes, "{len}");
                assert_eq!(sized(HOST, HOST.v4.into()) == Ok(None), passes, "{len}");
                assert_ne!(sized(HOST, OUTSIDE_V4.into()), Ok(None), "the host may send it on");
            }
        }
    }

    #[test]
    fn who_is_beyond_the_wire_is_told_to_send_less_also_without_dont_fragment() {
        let uplink = uplink();
        let (mut room, tables) = (Vec::new(), tables());
        let optional = a_to_b().dont_fragment(false).options(&[1, 1, 1, 0]);
        let mut packet = packet(&mut room, &udp(optional, 65_001), A);
        let from_a = arrival(&tables, &mut packet);
        let way = Way::Port(tables.port(B.port).expect("B's port"));
        let refused = |arrival: &Arrival<'_>| run(&tables, &packet, arrival, &way, arrival.ip.destination, 0);
        assert_eq!(refused(&from_a), Err(Refusal::Drop(DropReason::NeedsFragmenting)));
        let told = Refusal::Tell(DropReason::NeedsFragmenting, Failure::TooBig { mtu: 65_000 });
        assert_eq!(refused(&Arrival { port: &uplink, ..from_a }), Err(told));
    }

    #[test]
    fn what_the_uplinks_device_merged_is_cut_where_it_is_too_long_for_a_pods_device() {
        let uplink = uplink();
        for (len, cut) in [(65_000, None), (65_001, Some(65_000.into())), (65_535, Some(65_000.into()))] {
            let (mut room, tables) = (Vec::new(), tables());
            let mut packet = packet(&mut room, &tcp(a_to_b(), len), A);
            let from_a = arrival(&tables, &mut packet);
            let arrival = Arrival { port: &uplink, ..from_a };
            let way = Way::Port(tables.port(B.port).expect("B's port"));
            assert_eq!(run(&tables, &packet, &arrival, &way, arrival.ip.destination, 0), Ok(cut), "{len}");
        }
    }

    #[test]
    fn a_fragment_of_tcp_is_no_super_frame() {
        let pieces = fragment::split(&tcp(a_to_b(), 6000), 4000, 1);
        assert_eq!(sized(&pieces[0]), Ok(Some(1500.into())), "cut into smaller ones");
        let pieces = fragment::split(&tcp(a_to_b_v6(), 6000), 4000, 1);
        assert_eq!(sized(&pieces[0]), Err(DropReason::TooBig));
    }
}
