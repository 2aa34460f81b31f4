//! The shortcut does what the stages do: `Bed::send` runs every packet both ways and compares bytes, verdicts and counts.

use proptest::prelude::*;
use sluice_packets::tunnel::Geneve;
use sluice_packets::{ChecksumMode, Ethernet, Ip, Segment};
use sluice_tables::{Encapsulation, tunnel_mac};
use sluice_wire::protocol;
use sluice_wire::tcp::flag::{ACK, FIN, PSH, RST, SYN, URG};

use crate::rig::*;

/// A frame of one of the connections that the bed has.
#[derive(Clone, Debug)]
struct Sent {
    from: End,
    frame: Vec<u8>,
}

fn tunnelled(encapsulation: Encapsulation, class: u8, inner: impl FnOnce(Ethernet) -> Vec<u8>) -> Vec<u8> {
    let link = Ethernet::new(tunnel_mac(PEER.v4.into()), tunnel_mac(UPLINK.v4.into()));
    let outer = Ip::v4(Ethernet::new(PEER.mac, UPLINK.mac), PEER.v4, UPLINK.v4).traffic_class(class);
    match encapsulation {
        Encapsulation::Geneve => outer.geneve(50_000, TUNNEL_PORT, &Geneve::ethernet(VNI), &inner(link)),
        _ => outer.vxlan(50_000, TUNNEL_PORT, VNI, &inner(link)),
    }
}

fn transport(ip: &Ip, udp: bool, ports: (u16, u16), flags: u8, payload: usize) -> Vec<u8> {
    if udp {
        return ip.udp(ports.0, ports.1, &vec![7; payload]);
    }
    ip.tcp(&Segment { flags, ..Segment::data(ports.0, ports.1) }, &vec![7; payload])
}

/// Frames between pods, to a Service, into and out of a tunnel, both directions; with little and much that is special.
fn frames(encapsulation: Encapsulation) -> impl Strategy<Value = Sent> {
    let flags = prop_oneof![12 => Just(ACK), 6 => Just(ACK | PSH), 1 => prop::sample::select(vec![SYN, FIN | ACK, RST, ACK | URG])];
    let modes = prop_oneof![
        3 => Just(ChecksumMode::Complete),
        3 => Just(ChecksumMode::Partial),
        1 => Just(ChecksumMode::Zero),
        1 => Just(ChecksumMode::Wrong)
    ];
    let payload = prop_oneof![4 => 0_usize..40, 1 => 1300_usize..1500, 1 => 2000_usize..5000];
    let rest = (
        1000_u16..1004,
        any::<bool>(),
        flags,
        modes,
        payload,
        any::<u8>(),
        prop_oneof![8 => Just(64_u8), 1 => 0_u8..3],
    );
    (0..8, any::<bool>(), rest).prop_map(move |(way, six, (port, udp, flags, mode, payload, class, ttl))| {
        let dress = |ip: Ip| ip.checksum(mode).ttl(ttl).traffic_class(class);
        let plain = |ip: Ip, ports| transport(&dress(ip), udp, ports, flags, payload);
        let from_far = |to: End, ports: (u16, u16)| {
            let ip = |link| if six { Ip::v6(link, FAR.v6, to.v6) } else { Ip::v4(link, FAR.v4, to.v4) };
            tunnelled(encapsulation, class & 3, |link| plain(ip(link), ports))
        };
        let (from, frame) = match way {
            0 => (A, plain(up(six, A, B), (port, 80))),
            1 => (B, plain(up(six, B, A), (80, port))),
            2 => (A, plain(up(six, A, VIP), (port, 80))),
            3 => (A, plain(up(six, A, FAR), (port, 90))),
            4 => (UPLINK, from_far(A, (90, port))),
            5 => (UPLINK, from_far(A, (8080, port))),
            6 => (B, plain(up(false, B, OUTSIDE), (port, 443))),
            _ => (B, plain(up(six, B, A), (8080, port))),
        };
        Sent { from, frame }
    })
}

/// What is done to a frame before it is sent.
#[derive(Clone, Debug)]
enum Lie {
    None,
    Byte(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Padded(usize),
}

fn lies() -> impl Strategy<Value = Lie> {
    prop_oneof![
        4 => Just(Lie::None),
        4 => (any::<prop::sample::Index>(), 1_u8..).prop_map(|(at, bits)| Lie::Byte(at, bits)),
        1 => any::<prop::sample::Index>().prop_map(Lie::Cut),
        1 => (1_usize..30).prop_map(Lie::Padded),
    ]
}

fn rare_lies() -> impl Strategy<Value = Lie> {
    prop_oneof![12 => Just(Lie::None), 1 => lies()]
}

fn told(mut frame: Vec<u8>, lie: &Lie) -> Vec<u8> {
    match lie {
        Lie::None => {}
        // Where headers are: a tunnel's and those inside.
        Lie::Byte(at, bits) => {
            let at = at.index(frame.len().min(106));
            frame[at] ^= bits;
        }
        Lie::Cut(at) => frame.truncate(at.index(frame.len())),
        Lie::Padded(more) => frame.resize(frame.len() + more, 0),
    }
    frame
}

fn setup(encapsulation: Encapsulation) -> Setup {
    let services = [protocol::TCP, protocol::UDP]
        .map(|protocol| Svc { key: protocol.into(), ..service(protocol, &[(FAR, 8080), (B, 8080)]) });
    Setup { services: services.into(), encapsulation, ..Setup::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_shortcut_and_the_stages_agree_about_true_packets_and_lies(
        encapsulation in prop_oneof![Just(Encapsulation::Vxlan), Just(Encapsulation::Geneve)],
        seed in any::<u64>(),
        both in prop::collection::vec((frames(Encapsulation::Vxlan), frames(Encapsulation::Geneve), lies()), 64..128),
    ) {
        let config = sluice_path::PathConfig { seed, ..Default::default() };
        let mut bed = Bed::with(setup(encapsulation), config);
        for (vxlan, geneve, lie) in &both {
            let Sent { from, frame } = if encapsulation == Encapsulation::Geneve { geneve } else { vxlan };
            bed.send(*from, &told(frame.clone(), lie));
            bed.now.0 += 40_000_000;
            bed.released();
        }
        prop_assert!(bed.counts.connection_hits > 0 && bed.counts.forwarded > 0);
    }

    #[test]
    fn bursts_of_few_connections_in_which_now_and_then_one_lies_become_the_same_both_ways(
        encapsulation in prop_oneof![Just(Encapsulation::Vxlan), Just(Encapsulation::Geneve)],
        seed in any::<u64>(),
        both in prop::collection::vec((frames(Encapsulation::Vxlan), frames(Encapsulation::Geneve)), 24),
        bursts in prop::collection::vec((prop::collection::vec((0_usize..24, rare_lies()), 1..48), 0_u64..5), 12..24),
    ) {
        let config = sluice_path::PathConfig { seed, ..Default::default() };
        let mut bed = Bed::with(setup(encapsulation), config);
        for (burst, event) in &bursts {
            let frames: Vec<(End, Vec<u8>)> = burst
                .iter()
                .map(|(number, lie)| {
                    let (vxlan, geneve) = &both[*number];
                    let Sent { from, frame } = if encapsulation == Encapsulation::Geneve { geneve } else { vxlan };
                    (*from, told(frame.clone(), lie))
                })
                .collect();
            bed.send_together(&frames);
            bed.released();
            match event {
                0 => bed.change(|_| {}),
                1 => bed.now.0 += 70_000_000,
                _ => bed.now.0 += 1_000,
            }
        }
        prop_assert!(bed.counts.connection_hits > 0 && bed.counts.forwarded > 0);
    }
}
