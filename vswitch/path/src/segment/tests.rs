use std::net::IpAddr;

use sluice_packets::{ChecksumMode, Ip, Segment, samples};
use sluice_tables::{Encapsulation, Peer, Port, PortId, PortKind, Tunnel, WorkerId};
use sluice_wire::parse::parse;
use sluice_wire::{MacAddr, ipv4, tcp};

use super::{Cut, CutTo, MIN_MSS, wire_len};
use crate::sound::{complete, is_sound, state};
use crate::{Checksum, Packet, decapsulate, encapsulate};

const MAC: MacAddr = MacAddr([2, 0x53, 0, 0, 0, 2]);

/// The segments, each whole and with its checksum completed.
fn cut(packet: &[u8], to: CutTo) -> Vec<Vec<u8>> {
    let cut = Cut::plan(packet, packet.len(), to).expect("TCP");
    let segment = |index| {
        let mut bytes = vec![0; cut.header_len()];
        let left = cut.write_header(index, packet, &mut bytes).expect("room for the header");
        assert!(matches!(left, Checksum::Partial { .. }));
        bytes.extend(&packet[cut.payload(index)]);
        complete(&mut bytes, left);
        bytes
    };
    (0..cut.segments()).map(segment).collect()
}

fn stream(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 255) as u8).collect()
}

/// A super-frame with every flag that counts, its checksum left to a device.
fn super_frame(ip: &Ip, len: usize, options: &[u8]) -> Vec<u8> {
    let all = tcp::flag::FIN | tcp::flag::PSH | tcp::flag::CWR | tcp::flag::ACK;
    let whole = Segment { flags: all, sequence: u32::MAX - 100, options: options.to_vec(), ..Segment::data(1, 2) };
    ip.clone().partial().tcp(&whole, &stream(len))
}

/// Asserts that `segments` carry the stream of `len` bytes, each right in itself and no IP packet longer than `mtu`. The result
/// is the longest payload.
fn check(segments: &[Vec<u8>], len: usize, mtu: u16) -> usize {
    let (mut got, mut longest) = (Vec::new(), 0);
    for (index, bytes) in segments.iter().enumerate() {
        let headers = parse(bytes, bytes.len()).expect("well formed");
        assert_eq!(headers.ip_len as usize, bytes.len() - 14, "no padding");
        assert!(headers.ip_len <= u32::from(mtu));
        assert!(is_sound(bytes), "{index}");
        let segment = tcp::Packet::new_checked(&bytes[usize::from(headers.l4_offset)..]).expect("TCP");
        assert_eq!(segment.sequence(), (u32::MAX - 100).wrapping_add(got.len() as u32));
        let last = index + 1 == segments.len();
        assert_eq!(segment.flags() & (tcp::flag::FIN | tcp::flag::PSH) != 0, last);
        assert_eq!(segment.flags() & tcp::flag::CWR != 0, index == 0);
        got.extend_from_slice(segment.payload());
        longest = longest.max(segment.payload().len());
    }
    assert!(got == stream(len), "{len} bytes at {mtu}");
    longest
}

#[test]
fn the_segments_carry_the_stream_and_fit_the_path() {
    for ip in [samples::v4(), samples::v6(), samples::v4().options(&[1, 1, 1, 1])] {
        for len in [0, 1, 1439, 1440, 1460, 1461, 2920, 20_001, 59_000] {
            for mtu in [1280, 1500, 9000] {
                check(&cut(&super_frame(&ip, len, &[]), mtu.into()), len, mtu);
            }
        }
    }
}

#[test]
fn no_segment_is_longer_than_the_receiver_takes_options_counted() {
    let timestamps = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    for (mss, options, longest) in [
        (1000, &[][..], 1000),
        (1000, &timestamps[..], 988),
        (1460, &timestamps[..], 1448),
        // The path is narrower.
        (8960, &[][..], 1460),
        // Nobody is served one byte at a time.
        (1, &[][..], usize::from(MIN_MSS)),
        (1, &timestamps[..], usize::from(MIN_MSS) - 12),
        // Not known.
        (0, &[][..], 1460),
    ] {
        let segments = cut(&super_frame(&samples::v4(), 20_000, options), CutTo { mtu: 1500, mss, inner: 0 });
        assert_eq!(check(&segments, 20_000, 1500), longest, "{mss} with {} bytes of options", options.len());
    }
}

fn tunnel(encapsulation: Encapsulation, local: IpAddr) -> Tunnel {
    Tunnel { encapsulation, vni: 7, port: 4789, local, mac: MAC, inner_mtu: 1400 }
}

/// The super-frame in a tunnel, to be cut as the second says.
fn tunnelled(frame: &[u8], tunnel: &Tunnel, remote: IpAddr, to: CutTo) -> (Vec<u8>, CutTo) {
    let peer = Peer { name: "other".into(), addresses: vec![], tunnel: remote, mac: MAC, pod_cidrs: vec![] };
    let uplink = Port {
        id: PortId(9),
        kind: PortKind::Uplink,
        worker: WorkerId(0),
        mac: MAC,
        addresses: vec![],
        path_mtu: 1500,
        max_l3_len: 1500,
    };
    let mut room = [&[0xee; 128][..], frame].concat();
    let mut packet = Packet::new(&mut room, 128, frame.len(), frame.len(), PortId(1));
    packet.cut(Some(to));
    let left = state(ChecksumMode::Partial, frame);
    encapsulate::run(&mut packet, tunnel, &peer, &uplink, MAC, 7, left).expect("room");
    let inner = (packet.total_len() - frame.len()) as u16;
    (packet.head().to_vec(), CutTo { inner, ..to })
}

#[test]
fn in_a_tunnel_every_segment_has_its_own_outer_headers_and_the_inner_one_fits() {
    let ends: [(IpAddr, IpAddr); 2] = [
        (samples::SOURCE_V4.into(), samples::DESTINATION_V4.into()),
        (samples::SOURCE_V6.into(), samples::DESTINATION_V6.into()),
    ];
    for (local, remote) in ends {
        for encapsulation in [Encapsulation::Vxlan, Encapsulation::Geneve] {
            let tunnel = tunnel(encapsulation, local);
            for ip in [samples::v4(), samples::v6()] {
                for len in [0, 1, 1360, 1361, 20_001, 65_400] {
                    let to = CutTo { mtu: 1400, mss: 1350, inner: 0 };
                    let (packet, to) = tunnelled(&super_frame(&ip, len, &[]), &tunnel, remote, to);
                    let segments = cut(&packet, to).into_iter().map(|mut segment| {
                        assert!(is_sound(&segment), "outside");
                        let headers = parse(&segment, segment.len()).expect("well formed");
                        assert_eq!(headers.ip_len as usize, segment.len() - 14);
                        let total_len = segment.len();
                        let inner =
                            decapsulate::run(&mut segment, &headers, &tunnel, total_len).expect("a tunnel packet");
                        segment.split_off(inner.offset)
                    });
                    let longest = check(&segments.collect::<Vec<_>>(), len, 1400);
                    assert!(longest <= 1350);
                }
            }
        }
    }
}

/// The pieces of a datagram, each with what is left of its checksum completed.
fn fragments(packet: &[u8], to: CutTo) -> Vec<Vec<u8>> {
    let cut = Cut::plan(packet, packet.len(), to).expect("a datagram that may be cut");
    assert!(cut.is_datagram());
    let fragment = |index| {
        let mut bytes = vec![0; cut.header_len()];
        let left = cut.write_header(index, packet, &mut bytes).expect("room for the header");
        bytes.extend(&packet[cut.payload(index)]);
        complete(&mut bytes, left);
        bytes
    };
    (0..cut.segments()).map(fragment).collect()
}

/// What fragments put together are: the payload, and whether the last of the datagram is among them.
fn together(pieces: &[Vec<u8>], mtu: u16) -> (Vec<u8>, bool) {
    let (mut payload, mut more) = (Vec::new(), true);
    let from = ipv4::Packet::new_checked(&pieces[0][14..]).expect("IPv4").fragment_offset();
    for piece in pieces {
        let ip = ipv4::Packet::new_checked(&piece[14..]).expect("IPv4");
        assert!(ip.checksum_ok() && ip.total_len() <= usize::from(mtu) && piece.len() == 14 + ip.total_len());
        assert_eq!(usize::from(ip.fragment_offset() - from), payload.len(), "no gap");
        assert_eq!(ip.identification(), 7);
        assert!(more, "nothing behind the last");
        payload.extend_from_slice(ip.payload());
        more = ip.more_fragments();
    }
    (payload, !more)
}

#[test]
fn a_datagram_whose_sender_allows_it_is_cut_into_fragments_and_those_again() {
    for len in [1, 1432, 1433, 1480, 3000, 65_000] {
        let data = stream(len);
        let datagram = samples::v4().dont_fragment(false).identification(7).udp(1, 2, &data);
        let pieces = fragments(&datagram, 1481.into());
        assert_eq!(pieces.len(), (len + 8).div_ceil(1456), "whole units of eight bytes");
        assert_eq!(together(&pieces, 1481), (datagram[34..].to_vec(), true), "{len}");
        for (at, piece) in pieces.iter().enumerate() {
            let again = fragments(piece, 600.into());
            assert_eq!(together(&again, 600), (piece[34..].to_vec(), at + 1 == pieces.len()), "{len}");
        }
    }
}

#[test]
fn in_a_tunnel_every_fragment_has_its_own_outer_headers() {
    let ends: [(IpAddr, IpAddr); 2] = [
        (samples::SOURCE_V4.into(), samples::DESTINATION_V4.into()),
        (samples::SOURCE_V6.into(), samples::DESTINATION_V6.into()),
    ];
    for (local, remote) in ends {
        for encapsulation in [Encapsulation::Vxlan, Encapsulation::Geneve] {
            let tunnel = tunnel(encapsulation, local);
            let datagram = samples::v4().dont_fragment(false).identification(7).udp(1, 2, &stream(4000));
            let (packet, to) = tunnelled(&datagram, &tunnel, remote, 1400.into());
            let pieces = fragments(&packet, to).into_iter().map(|mut piece| {
                assert!(is_sound(&piece), "outside");
                let (headers, total_len) = (parse(&piece, piece.len()).expect("well formed"), piece.len());
                assert_eq!(headers.ip_len as usize, total_len - 14);
                let inner = decapsulate::run(&mut piece, &headers, &tunnel, total_len).expect("a tunnel packet");
                piece.split_off(inner.offset)
            });
            assert_eq!(together(&pieces.collect::<Vec<_>>(), 1400), (datagram[34..].to_vec(), true));
        }
    }
}

#[test]
fn what_is_no_whole_tcp_segment_nor_may_be_fragmented_has_no_plan() {
    for ip in [samples::v4().dont_fragment(true), samples::v6()] {
        let udp = ip.udp(1, 2, &[0; 3000]);
        assert!(Cut::plan(&udp, udp.len(), 1500).is_none());
    }
    let udp = samples::v4().dont_fragment(false).udp(1, 2, &[0; 3000]);
    assert!(Cut::plan(&udp, udp.len(), 27).is_none(), "no room for eight bytes");
    let optional = samples::v4().dont_fragment(false).options(&[1, 1, 1, 0]).udp(1, 2, &[0; 3000]);
    assert!(Cut::plan(&optional, optional.len(), 1500).is_none(), "options are not sorted into fragments");
    let tcp = samples::v4().tcp(&Segment::data(1, 2), &[0; 3000]);
    assert!(Cut::plan(&tcp, tcp.len(), 40).is_none(), "no room for payload");
    for len in 0..54 {
        assert!(Cut::plan(&tcp[..len], tcp.len(), 1500).is_none(), "headers cut at {len}");
    }
    for inner in [1, 50, 3000, u16::MAX] {
        let to = CutTo { mtu: 1500, mss: 0, inner };
        assert!(Cut::plan(&tcp, tcp.len(), to).is_none(), "no packet at {inner}");
    }
}

#[test]
fn headers_that_no_tunnel_wrote_are_not_written_over() {
    let tcp = samples::v4().partial().tcp(&Segment::data(1, 2), &[0; 3000]);
    for before in [1, 16, 30, 50, 64, 70] {
        let packet = [vec![0xee; before], tcp.clone()].concat();
        let to = CutTo { mtu: 1500, mss: 0, inner: before as u16 };
        let cut = Cut::plan(&packet, packet.len(), to).expect("TCP");
        assert_eq!(cut.write_header(0, &packet, &mut vec![0; cut.header_len()]), None, "{before}");
    }
}

#[test]
fn a_super_frame_counts_on_a_wire_as_the_segments_that_would_be_there() {
    for ip in [samples::v4(), samples::v6()] {
        for (len, options) in [(10, &[][..]), (1440, &[]), (1500, &[1; 12]), (20_000, &[1; 12]), (64_000, &[])] {
            let packet = super_frame(&ip, len, options);
            let segments = cut(&packet, 1500.into());
            let bytes: usize = segments.iter().map(Vec::len).sum();
            assert_eq!(wire_len(&packet, packet.len(), 1500), bytes, "{len}");
        }
        let datagram = ip.udp(1, 2, &[0; 100]);
        assert_eq!(wire_len(&datagram, datagram.len(), 1500), datagram.len());
        let headers_elsewhere = &datagram[..20];
        assert_eq!(wire_len(headers_elsewhere, 9000, 1500), 9000, "what cannot be read counts as it is");
    }
}
