use proptest::collection::vec;
use proptest::prelude::*;
use sluice_packets::{Ethernet, Geneve, Ip, Segment, arp, corrupt, fragment, samples};
use sluice_tables::{Encapsulation, Tunnel};
use sluice_wire::MacAddr;
use sluice_wire::ethernet::ethertype;
use sluice_wire::parse::parse;

use super::{Inner, run};
use crate::DropReason;
use crate::sound::is_sound;

const OWN: MacAddr = MacAddr([2, 0x53, 10, 0, 0, 1]);
const OTHER: MacAddr = MacAddr([2, 0x53, 10, 0, 0, 2]);
const LINK: Ethernet = Ethernet::new(OTHER, OWN);
const VNI: u32 = 0x12_3456;
const PORT: u16 = 4789;

fn tunnel(encapsulation: Encapsulation) -> Tunnel {
    let local = samples::DESTINATION_V4.into();
    Tunnel { encapsulation, vni: VNI, port: PORT, local, mac: OWN, inner_mtu: 1400 }
}

fn inner_v4() -> Ip {
    Ip::v4(LINK, samples::SOURCE_V4, samples::DESTINATION_V4)
}

fn inner_v6() -> Ip {
    Ip::v6(LINK, samples::SOURCE_V6, samples::DESTINATION_V6)
}

/// The inner frame after decapsulation of the outer one, of which `visible` bytes lie in the first buffer.
fn opened(frame: &[u8], visible: usize, encapsulation: Encapsulation) -> Result<Vec<u8>, DropReason> {
    let headers = parse(&frame[..visible], frame.len()).expect("the outer headers are right");
    let mut frame = frame.to_vec();
    let total_len = frame.len();
    let before = frame.clone();
    match run(&mut frame[..visible], &headers, &tunnel(encapsulation), total_len) {
        Ok(Inner { offset }) => Ok(frame[offset..].to_vec()),
        Err(reason) => {
            assert_eq!(frame, before, "a refused packet is left as it was");
            Err(reason)
        }
    }
}

fn vxlan(frame: &[u8]) -> Result<Vec<u8>, DropReason> {
    opened(frame, frame.len(), Encapsulation::Vxlan)
}

fn geneve(frame: &[u8]) -> Result<Vec<u8>, DropReason> {
    opened(frame, frame.len(), Encapsulation::Geneve)
}

#[test]
fn the_inner_frame_comes_out_as_it_went_in() {
    for outer in [samples::v4(), samples::v6(), samples::v4().options(&[1; 4])] {
        for ip in [inner_v4(), inner_v6()] {
            let inner = ip.tcp(&Segment::data(1, 2), &[7; 1200]);
            let options = Geneve { options: vec![1, 2, 3, 1, 0, 0, 0, 0], ..Geneve::ethernet(VNI) };
            for visible in [usize::MAX, 200] {
                let frame = outer.vxlan(50_000, PORT, VNI, &inner);
                assert_eq!(opened(&frame, visible.min(frame.len()), Encapsulation::Vxlan).as_ref(), Ok(&inner));
                for header in [Geneve::ethernet(VNI), options.clone()] {
                    let frame = outer.geneve(50_000, PORT, &header, &inner);
                    assert_eq!(opened(&frame, visible.min(frame.len()), Encapsulation::Geneve).as_ref(), Ok(&inner));
                }
            }
        }
    }
}

#[test]
fn other_networks_are_named() {
    let inner = inner_v4().udp(1, 2, b"x");
    assert_eq!(vxlan(&samples::v4().vxlan(1, PORT, VNI + 1, &inner)), Err(DropReason::TunnelVni));
    assert_eq!(geneve(&samples::v4().geneve(1, PORT, &Geneve::ethernet(0), &inner)), Err(DropReason::TunnelVni));
}

#[test]
fn a_frame_for_another_node_is_named() {
    for mac in [OTHER, MacAddr::BROADCAST] {
        let inner = Ip::v4(Ethernet::new(OTHER, mac), samples::SOURCE_V4, samples::DESTINATION_V4).udp(1, 2, b"x");
        assert_eq!(vxlan(&samples::v4().vxlan(1, PORT, VNI, &inner)), Err(DropReason::TunnelMac));
    }
    let question = arp::request(OTHER, samples::SOURCE_V4, samples::DESTINATION_V4);
    assert_eq!(vxlan(&samples::v4().vxlan(1, PORT, VNI, &question)), Err(DropReason::TunnelMac));
}

#[test]
fn flags_versions_and_options_that_forbid_to_read_on_are_refused() {
    let inner = inner_v4().udp(1, 2, b"x");
    let mut flags = samples::v4().vxlan(1, PORT, VNI, &inner);
    flags[42] = 0;
    assert_eq!(vxlan(&flags), Err(DropReason::TunnelMalformed));
    for header in [
        Geneve { critical: true, ..Geneve::ethernet(VNI) },
        Geneve { control: true, ..Geneve::ethernet(VNI) },
        Geneve { version: 1, ..Geneve::ethernet(VNI) },
        Geneve { protocol: ethertype::IPV4, ..Geneve::ethernet(VNI) },
    ] {
        let refused = geneve(&samples::v4().geneve(1, PORT, &header, &inner));
        assert_eq!(refused, Err(DropReason::TunnelMalformed), "{header:?}");
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    let inner = inner_v4().udp(1, 2, b"data");
    let frame = samples::v4().vxlan(1, PORT, VNI, &inner);
    // The inner packet is longer than the frame around it.
    for length in [inner.len() as u16 - 13, 9000, u16::MAX, 19] {
        let mut lying = frame.clone();
        lying[66..68].copy_from_slice(&length.to_be_bytes());
        assert_eq!(vxlan(&lying), Err(DropReason::TunnelMalformed), "{length}");
    }
    let frame_v6 = samples::v6().vxlan(1, PORT, VNI, &inner_v6().udp(1, 2, b"data"));
    let mut lying = frame_v6;
    lying[88..90].copy_from_slice(&13u16.to_be_bytes());
    assert_eq!(vxlan(&lying), Err(DropReason::TunnelMalformed));
    // Bytes behind the datagram.
    let mut short = frame;
    let length = u16::from_be_bytes([short[38], short[39]]) - 1;
    short[38..40].copy_from_slice(&length.to_be_bytes());
    assert_eq!(vxlan(&short), Err(DropReason::TunnelMalformed));
    // Nothing, or next to nothing, inside.
    for length in 0..34 {
        assert_eq!(vxlan(&samples::v4().vxlan(1, PORT, VNI, &inner[..length])), Err(DropReason::TunnelMalformed));
    }
    assert_eq!(vxlan(&samples::v4().udp(1, PORT, &[8, 0, 0])), Err(DropReason::TunnelMalformed));
    let options = Geneve { options: vec![0; 252], ..Geneve::ethernet(VNI) }.bytes();
    assert_eq!(geneve(&samples::v4().udp(1, PORT, &options[..200])), Err(DropReason::TunnelMalformed));
}

#[test]
fn only_ip_is_carried_and_never_in_fragments() {
    let frame = LINK.frame(0x88cc, &[0; 46]);
    assert_eq!(vxlan(&samples::v4().vxlan(1, PORT, VNI, &frame)), Err(DropReason::TunnelMalformed));
    let swapped = LINK.frame(ethertype::IPV6, &inner_v4().udp(1, 2, &[0; 40])[14..]);
    assert_eq!(vxlan(&samples::v4().vxlan(1, PORT, VNI, &swapped)), Err(DropReason::TunnelMalformed));
    let whole = samples::v4().dont_fragment(false).vxlan(1, PORT, VNI, &inner_v4().udp(1, 2, &[0; 400]));
    for piece in fragment::split(&whole, 256, 1) {
        assert_eq!(vxlan(&piece), Err(DropReason::TunnelMalformed));
    }
    assert_eq!(vxlan(&samples::v4().tcp(&Segment::data(1, PORT), &[0; 60])), Err(DropReason::TunnelMalformed));
    assert_eq!(opened(&whole, whole.len(), Encapsulation::None), Err(DropReason::TunnelMalformed));
}

/// RFC 6040 figure 4: rows are the inner field, columns the outer one; `None` is dropped.
#[test]
fn congestion_is_carried_over_as_rfc_6040_says() {
    const NOT: u8 = 0;
    const ECT1: u8 = 1;
    const ECT0: u8 = 2;
    const CE: u8 = 3;
    let figure = [
        (NOT, [(NOT, Some(NOT)), (ECT0, Some(NOT)), (ECT1, Some(NOT)), (CE, None)]),
        (ECT0, [(NOT, Some(ECT0)), (ECT0, Some(ECT0)), (ECT1, Some(ECT1)), (CE, Some(CE))]),
        (ECT1, [(NOT, Some(ECT1)), (ECT0, Some(ECT1)), (ECT1, Some(ECT1)), (CE, Some(CE))]),
        (CE, [(NOT, Some(CE)), (ECT0, Some(CE)), (ECT1, Some(CE)), (CE, Some(CE))]),
    ];
    for (inner, row) in figure {
        for (outer, result) in row {
            for around in [samples::v4(), samples::v6()] {
                for ip in [inner_v4(), inner_v6()] {
                    // The DSCPs are of no account to one another.
                    let sent = ip.clone().traffic_class(0xb8 | inner).udp(1, 2, b"data");
                    let frame = around.clone().traffic_class(0x28 | outer).vxlan(1, PORT, VNI, &sent);
                    let wanted = result.map(|ecn| ip.clone().traffic_class(0xb8 | ecn).udp(1, 2, b"data"));
                    assert_eq!(vxlan(&frame), wanted.ok_or(DropReason::TunnelMalformed), "{inner} in {outer}");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn bytes_of_any_kind_cause_no_panic(
        payload in vec(any::<u8>(), 0..120), right in any::<bool>(), visible in any::<prop::sample::Index>(), six in any::<bool>(),
    ) {
        let ip = if six { samples::v6() } else { samples::v4() };
        let mut payload = payload;
        if right && payload.len() > 22 {
            payload[..8].copy_from_slice(&sluice_packets::tunnel::vxlan_header(VNI));
            payload[8..14].copy_from_slice(&OWN.0);
            payload[20..22].copy_from_slice(if six { &[0x86, 0xdd] } else { &[0x08, 0] });
        }
        let frame = ip.udp(1, PORT, &payload);
        let least = frame.len() - payload.len();
        let visible = least + visible.index(payload.len() + 1);
        for encapsulation in [Encapsulation::Vxlan, Encapsulation::Geneve] {
            if let Ok(inner) = opened(&frame, visible, encapsulation) {
                prop_assert!(inner.len() >= 34);
            }
        }
    }

    #[test]
    fn a_marked_packet_is_still_right(data in vec(any::<u8>(), 0..60), class in any::<u8>(), outer in any::<u8>()) {
        let sent = inner_v4().traffic_class(class).udp(1, 2, &data);
        if let Ok(inner) = vxlan(&samples::v4().traffic_class(outer).vxlan(1, PORT, VNI, &sent)) {
            prop_assert!(is_sound(&inner));
        }
    }
}

#[test]
fn every_cut_of_the_first_frame_is_refused_or_opened() {
    let inner = inner_v4().udp(1, 2, b"data");
    let frame = samples::v4().vxlan(1, PORT, VNI, &inner);
    for cut in corrupt::truncations(&frame) {
        if parse(&cut, frame.len()).is_ok() {
            let mut head = cut.clone();
            let headers = parse(&cut, frame.len()).expect("just parsed");
            let opened = run(&mut head, &headers, &tunnel(Encapsulation::Vxlan), frame.len());
            assert_eq!(opened.is_ok(), cut.len() >= 84, "{} bytes", cut.len());
        }
    }
}
