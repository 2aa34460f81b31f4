//! Fourth stage: does the packet fit the port it leaves by?

use sluice_tables::{Port, PortKind};
use sluice_wire::parse::{Fragment, L3};
use sluice_wire::protocol;

use crate::exit::{Exit, Failure};
use crate::origin::Arrival;
use crate::{DropReason, Packet};

/// Byte of the IPv4 header with the flags, and the bit in it that forbids fragmenting.
const FLAGS: usize = 6;
const DONT_FRAGMENT: u8 = 0x40;

/// Lets a packet pass that fits the path MTU, and a TCP super-frame that fits the device: its receiver sees a stream, so
/// the boundaries between segments mean nothing to it. Datagrams have boundaries, so they get no such licence.
///
/// A super-frame that the node is to route on has a wire before it: it passes too, but is to be cut to the MTU returned.
#[inline]
pub(crate) fn run<'t>(packet: &Packet<'_>, arrival: &Arrival<'t>, egress: &Port) -> Result<Option<u16>, Exit<'t>> {
    let headers = &arrival.ip.headers;
    if headers.ip_len <= u32::from(egress.path_mtu) {
        return Ok(None);
    }
    let whole_tcp = headers.protocol == protocol::TCP && headers.fragment == Fragment::None;
    if whole_tcp && headers.ip_len <= egress.max_l3_len {
        let goes_on = egress.kind == PortKind::Host && !egress.has_address(arrival.ip.destination);
        return Ok(goes_on.then_some(egress.path_mtu));
    }
    if headers.l3 == L3::Ipv4 && packet.head()[arrival.ip.l3() + FLAGS] & DONT_FRAGMENT == 0 {
        return Err(DropReason::NeedsFragmenting.into());
    }
    let failure = Failure::TooBig { mtu: egress.path_mtu };
    Err(Exit::Refuse { reason: DropReason::TooBig, failure, arrival: *arrival })
}

#[cfg(test)]
mod tests {
    use sluice_packets::{Ip, Segment, fragment};

    use super::run;
    use crate::DropReason;
    use crate::exit::{Exit, Failure};
    use crate::fixture::*;

    fn sized(frame: &[u8]) -> Result<Option<u16>, DropReason> {
        let mut room = Vec::new();
        let tables = tables();
        let mut packet = packet(&mut room, frame, A);
        let arrival = arrival(&tables, &mut packet);
        let egress = tables.port(B.port).expect("B's port");
        run(&packet, &arrival, egress).map_err(|exit| {
            if let Exit::Refuse { failure, .. } = exit {
                assert_eq!(failure, Failure::TooBig { mtu: 1500 });
            }
            reason(&exit).expect("a drop")
        })
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
        assert_eq!(sized(&udp(a_to_b().dont_fragment(false), 1501)), Err(DropReason::NeedsFragmenting));
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
    fn a_fragment_of_tcp_is_no_super_frame() {
        let pieces = fragment::split(&tcp(a_to_b(), 6000), 4000, 1);
        assert_eq!(sized(&pieces[0]), Err(DropReason::NeedsFragmenting));
        let pieces = fragment::split(&tcp(a_to_b_v6(), 6000), 4000, 1);
        assert_eq!(sized(&pieces[0]), Err(DropReason::TooBig));
    }
}
