//! VXLAN and Geneve against bytes written out elsewhere, and what each refuses.

use proptest::prelude::*;
use sluice_packets::tunnel::vxlan_header;
use sluice_packets::{Geneve, samples};
use sluice_wire::{Layer, Malformed, geneve, vxlan};

#[test]
fn vxlan_is_read_and_built() {
    let inner = samples::v4().udp(1, 2, b"x");
    let bytes = [&vxlan_header(0x12_3456)[..], &inner].concat();
    let packet = vxlan::Packet::new_checked(&bytes).expect("VXLAN");
    assert_eq!((packet.vni(), packet.flags()), (0x12_3456, vxlan::flag::VNI));
    assert_eq!(packet.payload(), inner);

    let mut built = vec![0xee; bytes.len()];
    let mut packet = vxlan::Packet::init(&mut built[..]).expect("room");
    packet.set_vni(0x12_3456);
    packet.payload_mut().copy_from_slice(&inner);
    assert_eq!(built, bytes);
}

#[test]
fn vxlan_without_a_network_identifier_is_refused_and_reserved_bits_are_not_looked_at() {
    let mut bytes = vxlan_header(7);
    let error = Malformed::Truncated { layer: Layer::Vxlan, need: 8, have: 7 };
    assert_eq!(vxlan::Packet::new_checked(&bytes[..7]).expect_err("short"), error);
    bytes[0] = !vxlan::flag::VNI;
    let error = Malformed::BadFlags { layer: Layer::Vxlan, flags: 0xf7 };
    assert_eq!(vxlan::Packet::new_checked(&bytes).expect_err("no identifier"), error);
    (bytes[0], bytes[1], bytes[7]) = (0xff, 0xff, 0xff);
    assert_eq!(vxlan::Packet::new_checked(&bytes).expect("VXLAN").vni(), 7);
}

#[test]
fn geneve_is_read_and_built() {
    let bytes = [&Geneve::ethernet(0xab_cdef).bytes()[..], b"frame"].concat();
    let packet = geneve::Packet::new_checked(&bytes).expect("Geneve");
    assert_eq!((packet.vni(), packet.protocol(), packet.flags()), (0xab_cdef, geneve::ETHERNET, 0));
    assert_eq!((packet.header_len(), packet.options(), packet.payload()), (8, &[][..], &b"frame"[..]));

    let mut built = vec![0xee; bytes.len()];
    let mut packet = geneve::Packet::init(&mut built[..]).expect("room");
    packet.set_vni(0xab_cdef);
    packet.payload_mut().copy_from_slice(b"frame");
    assert_eq!(built, bytes);
    geneve::Packet::init(&mut built[..]).expect("room").set_protocol(0x0800);
    assert_eq!(geneve::Packet::new_checked(&built).expect("Geneve").protocol(), 0x0800);
}

#[test]
fn geneve_options_are_stepped_over_unless_one_is_critical() {
    let options = vec![0x01, 0x02, 0x03, 0x01, 1, 2, 3, 4];
    let header = Geneve { options: options.clone(), ..Geneve::ethernet(5) };
    let bytes = [&header.bytes()[..], b"frame"].concat();
    let packet = geneve::Packet::new_checked(&bytes).expect("Geneve");
    assert_eq!((packet.header_len(), packet.options(), packet.payload()), (16, &options[..], &b"frame"[..]));
    for cut in 8..16 {
        let error = Malformed::Truncated { layer: Layer::Geneve, need: 16, have: cut };
        assert_eq!(geneve::Packet::new_checked(&bytes[..cut as usize]).expect_err("short"), error);
    }
    let critical = Geneve { critical: true, ..header.clone() }.bytes();
    let error = Malformed::CriticalOption { layer: Layer::Geneve };
    assert_eq!(geneve::Packet::new_checked(&critical).expect_err("critical"), error);
    assert_eq!(error.to_string(), "Geneve header with a critical option");
    let control = Geneve { control: true, ..header.clone() }.bytes();
    let error = Malformed::BadFlags { layer: Layer::Geneve, flags: 0x80 };
    assert_eq!(geneve::Packet::new_checked(&control).expect_err("control"), error);
    let error = Malformed::BadVersion { layer: Layer::Geneve, version: 1 };
    assert_eq!(geneve::Packet::new_checked(&Geneve { version: 1, ..header }.bytes()).expect_err("version"), error);
}

proptest! {
    #[test]
    fn every_identifier_is_its_24_bits(vni in any::<u32>()) {
        let mut bytes = [0; 8];
        vxlan::Packet::init(&mut bytes[..]).expect("room").set_vni(vni);
        prop_assert_eq!(vxlan::Packet::new_checked(&bytes).expect("VXLAN").vni(), vni & vxlan::MAX_VNI);
        geneve::Packet::init(&mut bytes[..]).expect("room").set_vni(vni);
        prop_assert_eq!(geneve::Packet::new_checked(&bytes).expect("Geneve").vni(), vni & geneve::MAX_VNI);
    }
}
