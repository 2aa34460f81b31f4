//! What of a TCP header matters to a connection: the flags, and the segment size that an end announces.

use sluice_connections::Segment;
use sluice_wire::parse::Fragment;
use sluice_wire::{protocol, tcp};

use crate::DropReason;
use crate::parse::Ip;

/// Where the flags are in the header (RFC 9293 section 3.1).
const FLAGS: usize = 13;

/// Kinds of option (RFC 9293 section 3.2).
mod option {
    pub(super) const END: u8 = 0;
    pub(super) const NO_OPERATION: u8 = 1;
    pub(super) const MAXIMUM_SEGMENT_SIZE: u8 = 2;
}

/// What the packet is to its connection's state.
///
/// # Errors
/// [`DropReason::TcpInvalid`].
#[inline]
pub(super) fn segment(head: &[u8], ip: &Ip) -> Result<Segment, DropReason> {
    if ip.headers.protocol != protocol::TCP || ip.headers.fragment == Fragment::Later {
        return Ok(Segment::Other);
    }
    let Some(&flags) = head.get(ip.l4() + FLAGS) else { return Err(DropReason::Truncated) };
    if is_nonsense(flags) {
        return Err(DropReason::TcpInvalid);
    }
    Ok(Segment::Tcp { flags })
}

/// Flags that no host sends together, and so only whoever probes: as Linux has it (`tcp_valid_flags` in
/// `net/netfilter/nf_conntrack_proto_tcp.c`).
#[inline]
const fn is_nonsense(flags: u8) -> bool {
    use tcp::flag::{ACK, FIN, PSH, RST, SYN, URG};
    match flags & (SYN | FIN | RST | ACK | URG) {
        SYN | RST | ACK => false,
        all if all == SYN | URG => flags & PSH != 0,
        all if all == SYN | ACK || all == RST | ACK || all == FIN | ACK => false,
        all if all == FIN | ACK | URG || all == ACK | URG => false,
        _ => true,
    }
}

/// Whether the segment is the first of its side.
#[inline]
pub(crate) const fn is_syn(segment: Segment) -> bool {
    matches!(segment, Segment::Tcp { flags } if flags & tcp::flag::SYN != 0)
}

/// The maximum segment size that a SYN announces (RFC 9293 section 3.7.1), in bytes; 0 when it is no SYN or says nothing.
pub(crate) fn mss(head: &[u8], ip: &Ip) -> u16 {
    if ip.headers.protocol != protocol::TCP || ip.headers.fragment != Fragment::None {
        return 0;
    }
    head.get(ip.l4()..).map_or(0, announced)
}

/// The same, read from the TCP header that the bytes begin with.
#[inline]
pub(crate) fn announced(transport: &[u8]) -> u16 {
    // Where it is the first option, as nearly always.
    if let Some(&[.., length, flags, _, _, _, _, _, _, kind, four, high, low]) = transport.first_chunk::<24>()
        && (length >> 4 >= 6, kind, four) == (true, option::MAXIMUM_SEGMENT_SIZE, 4)
        && flags & tcp::flag::SYN != 0
        && usize::from(length >> 4) * 4 <= transport.len()
    {
        return u16::from_be_bytes([high, low]);
    }
    let Ok(header) = tcp::Packet::new_checked(transport) else { return 0 };
    if header.flags() & tcp::flag::SYN == 0 {
        return 0;
    }
    let mut rest = header.options();
    // Each round takes a byte at least.
    while let Some((&kind, after)) = rest.split_first() {
        match kind {
            option::END => return 0,
            option::NO_OPERATION => rest = after,
            option::MAXIMUM_SEGMENT_SIZE => {
                return if let [4, high, low, ..] = *after { u16::from_be_bytes([high, low]) } else { 0 };
            }
            _ => match after.first() {
                Some(&length) if usize::from(length) >= 2 => rest = rest.get(usize::from(length)..).unwrap_or(&[]),
                _ => return 0,
            },
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use sluice_packets::Segment;
    use sluice_wire::tcp::flag::{ACK, CWR, ECE, FIN, PSH, RST, SYN, URG};

    use super::{is_nonsense, mss, segment};
    use crate::fixture::*;
    use crate::{DropReason, parse};

    fn read<T>(frame: &[u8], with: impl Fn(&[u8], &parse::Ip) -> T) -> T {
        let (mut room, tables) = (Vec::new(), tables());
        let mut packet = packet(&mut room, frame, A);
        let arrival = arrival(&tables, &mut packet);
        with(packet.head(), &arrival.ip)
    }

    #[test]
    fn flags_that_hosts_send_pass() {
        let sent = [SYN, SYN | ACK, ACK, ACK | PSH, FIN | ACK, FIN | ACK | PSH, RST, RST | ACK, ACK | URG, SYN | URG];
        for flags in sent {
            assert!(!is_nonsense(flags) && !is_nonsense(flags | ECE | CWR), "{flags:#x}");
        }
    }

    #[test]
    fn flags_that_nobody_sends_are_invalid() {
        let nonsense = [0, FIN, PSH, URG, SYN | FIN, SYN | RST, SYN | FIN | ACK, SYN | RST | ACK, FIN | RST, 0x3f];
        for flags in nonsense {
            assert!(is_nonsense(flags), "{flags:#x}");
            let frame = a_to_b().tcp(&Segment { flags, ..Segment::data(1, 2) }, b"");
            assert_eq!(read(&frame, segment), Err(DropReason::TcpInvalid));
        }
    }

    #[test]
    fn the_segment_size_is_read_from_a_syn_wherever_it_stands_among_the_options() {
        let with = |flags, options: &[u8]| {
            let segment = Segment { flags, options: options.to_vec(), ..Segment::syn(1, 2) };
            read(&a_to_b_v6().tcp(&segment, b""), mss)
        };
        assert_eq!(with(SYN, &[2, 4, 5, 0xb4]), 1460);
        assert_eq!(with(SYN | ACK, &[1, 1, 4, 2, 3, 3, 7, 2, 4, 0x21, 0x64]), 8548);
        assert_eq!(with(ACK, &[2, 4, 5, 0xb4]), 0, "no SYN");
        for cut in [&[][..], &[2], &[2, 3, 5, 5], &[0, 2, 4, 5, 180], &[8, 0, 2, 4, 5], &[8, 1], &[8, 40, 2]] {
            assert_eq!(with(SYN, cut), 0, "{cut:?}");
        }
        assert_eq!(read(&a_to_b().udp(1, 2, b"x"), mss), 0);
    }
}
