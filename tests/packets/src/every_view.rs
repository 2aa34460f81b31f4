//! Calls everything that `sluice-wire` offers on bytes of any kind, and checks what must hold whatever they are. For
//! property tests and fuzzing; it panics where the contract is broken.

use std::hint::black_box;

use sluice_wire::checksum::{self, Sum};
use sluice_wire::parse::{Fragment, Headers, L3, parse};
use sluice_wire::{
    MacAddr, arp, ethernet, extension, geneve, icmpv4, icmpv6, ipv4, ipv6, ndp, protocol, quote, sctp, tcp, udp, vxlan,
};

/// Parses `head` as the start of a chain of `total_len` bytes and lays every view over it and over every part the
/// parse names.
pub fn exercise(head: &[u8], total_len: usize) {
    let parsed = parse(head, total_len);
    if let Ok(headers) = parsed {
        check_headers(&headers, head, total_len);
        for offset in [headers.l3_offset, headers.l4_offset] {
            read_views(&head[usize::from(offset)..]);
        }
    }
    read_views(head);
    write_views(head);
}

fn check_headers(headers: &Headers, head: &[u8], total_len: usize) {
    let (l3, l4) = (usize::from(headers.l3_offset), usize::from(headers.l4_offset));
    assert!(l3 <= l4 && l4 <= head.len(), "offsets {l3} and {l4} in {} bytes", head.len());
    assert!(l3 + headers.ip_len as usize <= total_len, "an IP packet that ends behind the chain");
    let frame = ethernet::Frame::new_checked(head).expect("a parsed frame has an Ethernet header");
    assert_eq!(frame.ethertype(), headers.ethertype());
    assert_eq!((frame.source(), frame.destination()), (headers.source_mac, headers.destination_mac));
    let is_ip = matches!(headers.l3, L3::Ipv4 | L3::Ipv6);
    assert_eq!(headers.addresses(head).is_some(), is_ip);
    assert_eq!(headers.pseudo_header(head).is_some(), is_ip);
    // Addresses are asked of the head that was parsed; another one must not cause a panic either.
    black_box(headers.addresses(&head[..l3]));
    match headers.l3 {
        L3::Ipv4 => {
            let packet = ipv4::Packet::new_header(&head[l3..]).expect("the parse checks what the view checks");
            assert_eq!((packet.ttl(), packet.protocol()), (headers.ttl, headers.protocol));
            assert_eq!(packet.header_len(), l4 - l3);
            assert_eq!(packet.total_len(), headers.ip_len as usize);
        }
        L3::Ipv6 => {
            let packet = ipv6::Packet::new_header(&head[l3..]).expect("the parse checks what the view checks");
            assert_eq!(packet.hop_limit(), headers.ttl);
            assert_eq!(packet.total_len(), headers.ip_len as usize);
        }
        L3::Arp | L3::Other(_) => assert_eq!((headers.ip_len, headers.fragment), (0, Fragment::None)),
    }
    if is_ip {
        assert!(headers.l4_len() as usize + l4 <= total_len);
        check_transport(headers, &head[l4..]);
    }
}

fn check_transport(headers: &Headers, l4: &[u8]) {
    if headers.fragment == Fragment::Later {
        assert_eq!((headers.source_port, headers.destination_port), (0, 0));
        return;
    }
    match headers.protocol {
        protocol::UDP => {
            let packet = udp::Packet::new_header(l4).expect("the parse checks what the view checks");
            assert_eq!(packet.source_port(), headers.source_port);
            assert_eq!(packet.destination_port(), headers.destination_port);
        }
        protocol::TCP if headers.fragment == Fragment::None => {
            let packet = tcp::Packet::new_checked(l4).expect("the parse checks what the view checks");
            assert_eq!(packet.source_port(), headers.source_port);
            assert_eq!(packet.destination_port(), headers.destination_port);
        }
        _ => {}
    }
    if let Some(offset) = headers.checksum_offset() {
        assert!(usize::from(offset) + 2 <= l4.len(), "a checksum field outside the first buffer");
    }
}

fn read_views(bytes: &[u8]) {
    let sum = Sum::new().add_bytes(bytes);
    black_box((checksum::of(bytes), checksum::is_partial(sum.folded(), sum)));
    if let Ok(v) = ethernet::Frame::new_checked(bytes) {
        black_box((v.source(), v.destination(), v.ethertype(), v.payload().len()));
    }
    if let Ok(v) = arp::Packet::new_checked(bytes) {
        black_box((v.operation(), v.sender_mac(), v.sender_ip(), v.target_mac(), v.target_ip()));
    }
    read_ip(bytes);
    if let Ok(v) = icmpv4::Packet::new_checked(bytes) {
        black_box((v.kind(), v.code(), v.checksum(), v.identifier(), v.sequence(), v.rest(), v.mtu()));
        black_box((v.is_error(), v.checksum_ok(), v.payload().len()));
    }
    if let Ok(v) = icmpv6::Packet::new_checked(bytes) {
        black_box((v.kind(), v.code(), v.checksum(), v.identifier(), v.sequence(), v.rest(), v.mtu()));
        black_box((v.is_error(), v.checksum_ok(sum), v.payload().len()));
    }
    if let Ok(v) = ndp::Packet::new_checked(bytes) {
        black_box((v.kind(), v.code(), v.checksum(), v.flags(), v.target(), v.source_link(), v.target_link()));
        let options: usize = v.options().map(|(_, option)| option.len() + 2).sum();
        assert_eq!(options, bytes.len() - ndp::HEADER_LEN, "options that are not walked to their end");
        black_box(v.checksum_ok(sum));
    }
    if let Ok(v) = udp::Packet::new_header(bytes) {
        black_box((v.source_port(), v.destination_port(), v.checksum(), v.checksum_ok(sum)));
        assert!(v.payload().len() <= v.len());
        assert_eq!(udp::Packet::new_checked(bytes).is_ok(), v.len() <= bytes.len());
    }
    if let Ok(v) = tcp::Packet::new_checked(bytes) {
        black_box((v.source_port(), v.destination_port(), v.sequence(), v.acknowledgement(), v.flags()));
        black_box((v.window(), v.checksum(), v.urgent(), v.checksum_ok(sum)));
        assert_eq!(tcp::HEADER_LEN + v.options().len() + v.payload().len(), bytes.len());
    }
    if let Ok(v) = sctp::Packet::new_checked(bytes) {
        black_box((v.source_port(), v.destination_port(), v.tag(), v.checksum(), v.payload().len()));
        assert_eq!(v.checksum_ok(), v.checksum() == v.computed_checksum());
    }
    read_carriers(bytes);
}

/// What carries other packets: tunnels and errors.
fn read_carriers(bytes: &[u8]) {
    if let Ok(v) = vxlan::Packet::new_checked(bytes) {
        assert!(v.vni() <= vxlan::MAX_VNI && v.flags() & vxlan::flag::VNI != 0);
        assert_eq!(vxlan::HEADER_LEN + v.payload().len(), bytes.len());
    }
    if let Ok(v) = geneve::Packet::new_checked(bytes) {
        black_box((v.protocol(), v.flags()));
        assert!(v.vni() <= geneve::MAX_VNI && v.header_len() <= geneve::MAX_HEADER_LEN);
        assert_eq!(geneve::HEADER_LEN + v.options().len() + v.payload().len(), bytes.len());
    }
    for l3 in [L3::Ipv4, L3::Ipv6] {
        if let Ok(quote) = quote::parse(bytes, l3) {
            assert!(usize::from(quote.l4_offset) <= bytes.len(), "a transport outside the quote");
            assert_eq!((quote.l3, quote.source.is_ipv4()), (l3, l3 == L3::Ipv4));
        }
    }
}

fn read_ip(bytes: &[u8]) {
    if let Ok(v) = ipv4::Packet::new_header(bytes) {
        black_box((v.traffic_class(), v.identification(), v.dont_fragment(), v.more_fragments(), v.fragment_offset()));
        black_box((v.ttl(), v.protocol(), v.checksum(), v.source(), v.destination(), v.checksum_ok()));
        black_box(v.pseudo_header());
        assert_eq!(ipv4::HEADER_LEN + v.options().len(), v.header_len());
        assert!(v.header_len() + v.payload().len() <= v.total_len());
        assert_eq!(ipv4::Packet::new_checked(bytes).is_ok(), v.total_len() <= bytes.len());
    }
    if let Ok(v) = ipv6::Packet::new_header(bytes) {
        black_box((v.traffic_class(), v.flow_label(), v.next_header(), v.hop_limit(), v.source(), v.destination()));
        black_box(v.pseudo_header(v.next_header(), v.payload_len() as u32));
        assert!(v.payload().len() <= v.payload_len());
        assert_eq!(ipv6::Packet::new_checked(bytes).is_ok(), v.total_len() <= bytes.len());
    }
    for first in [protocol::HOP_BY_HOP, protocol::FRAGMENT, protocol::AUTHENTICATION, protocol::TCP] {
        if let Ok(end) = extension::walk(first, bytes) {
            assert!(end.offset <= bytes.len(), "a walk out of the payload");
        }
    }
}

/// Sets every field from the bytes themselves, lengths included, and reads everything again.
fn write_views(bytes: &[u8]) {
    let mut seed = bytes.iter().copied().cycle();
    let mut next = || seed.next().unwrap_or(0xff);
    let (a, b) = (u16::from_be_bytes([next(), next()]), u16::from_be_bytes([next(), next()]));
    let mac = MacAddr([next(), next(), next(), next(), next(), next()]);
    write_ip(bytes, a, b);
    write_link(bytes, mac, a);
    write_carriers(bytes, a, b);
    if let Ok(mut v) = udp::Packet::new_header(bytes.to_vec()) {
        v.set_source_port(a);
        v.set_destination_port(b);
        v.set_len(b);
        v.fill_checksum(Sum::new());
        assert!(v.payload_mut().len() <= bytes.len());
        assert!(v.payload().len() <= bytes.len());
    }
    if let Ok(mut v) = tcp::Packet::new_checked(bytes.to_vec()) {
        v.set_source_port(a);
        v.set_destination_port(b);
        v.set_sequence(u32::from(a));
        v.set_acknowledgement(u32::from(b));
        v.set_flags(a as u8);
        v.set_window(b);
        v.set_urgent(a);
        v.fill_checksum(Sum::new());
        assert!(v.checksum_ok(Sum::new()));
        assert_eq!(tcp::HEADER_LEN + v.options_mut().len() + v.payload_mut().len(), bytes.len());
    }
    if let Ok(mut v) = icmpv4::Packet::new_checked(bytes.to_vec()) {
        v.set_kind(a as u8, b as u8);
        v.set_echo(a, b);
        v.set_mtu(a);
        v.payload_mut().reverse();
        v.fill_checksum();
        assert!(v.checksum_ok());
    }
    if let Ok(mut v) = icmpv6::Packet::new_checked(bytes.to_vec()) {
        v.set_kind(a as u8, b as u8);
        v.set_echo(a, b);
        v.set_mtu(u32::from(a));
        v.payload_mut().reverse();
        v.fill_checksum(Sum::new());
        assert!(v.checksum_ok(Sum::new()));
    }
}

fn write_carriers(bytes: &[u8], a: u16, b: u16) {
    let vni = u32::from(a) << 16 | u32::from(b);
    if let Ok(mut v) = sctp::Packet::new_checked(bytes.to_vec()) {
        v.set_source_port(a);
        v.set_destination_port(b);
        v.set_tag(vni);
        v.fill_checksum();
        assert!(v.checksum_ok());
    }
    if let Ok(mut v) = vxlan::Packet::new_checked(bytes.to_vec()) {
        v.set_vni(vni);
        v.payload_mut().reverse();
        assert_eq!(v.vni(), vni & vxlan::MAX_VNI);
    }
    if let Ok(mut v) = geneve::Packet::new_checked(bytes.to_vec()) {
        v.set_vni(vni);
        v.set_protocol(b);
        v.payload_mut().reverse();
        assert_eq!((v.vni(), v.protocol()), (vni & geneve::MAX_VNI, b));
    }
}

fn write_link(bytes: &[u8], mac: MacAddr, value: u16) {
    if let Ok(mut v) = ethernet::Frame::new_checked(bytes.to_vec()) {
        v.set_source(mac);
        v.set_destination(mac);
        v.set_ethertype(value);
        v.payload_mut().reverse();
        assert_eq!((v.source(), v.destination(), v.ethertype()), (mac, mac, value));
    }
    if let Ok(mut v) = arp::Packet::new_checked(bytes.to_vec()) {
        let ip = v.target_ip();
        v.set_operation(value);
        v.set_sender(mac, ip);
        v.set_target(mac, ip);
        assert!(arp::Packet::new_checked(v.into_inner()).is_ok());
    }
    if let Ok(mut v) = ndp::Packet::new_checked(bytes.to_vec()) {
        v.set_flags(value as u8);
        v.set_target(v.target());
        v.set_link(mac);
        v.fill_checksum(Sum::new());
        assert!(v.checksum_ok(Sum::new()));
        assert!(ndp::Packet::new_checked(v.into_inner()).is_ok());
    }
}

fn write_ip(bytes: &[u8], a: u16, b: u16) {
    if let Ok(mut v) = ipv4::Packet::new_header(bytes.to_vec()) {
        let ttl = v.ttl();
        v.set_traffic_class(a as u8);
        v.set_identification(b);
        v.set_fragment(a & 1 == 1, a & 2 == 2, b);
        v.set_protocol(b as u8);
        v.set_source(v.destination());
        v.set_destination(v.source());
        v.options_mut().fill(a as u8);
        v.set_total_len(a);
        v.fill_checksum();
        v.decrement_ttl();
        assert_eq!(v.ttl(), ttl.saturating_sub(1));
        assert!(v.checksum_ok());
        assert!(v.payload_mut().len() <= bytes.len());
        black_box((v.payload().len(), v.pseudo_header()));
    }
    if let Ok(mut v) = ipv6::Packet::new_header(bytes.to_vec()) {
        v.set_traffic_class(a as u8);
        v.set_flow_label(u32::from(b) << 8);
        v.set_next_header(b as u8);
        v.set_source(v.destination());
        v.set_destination(v.source());
        v.set_payload_len(a);
        v.decrement_hop_limit();
        assert_eq!((v.traffic_class(), v.flow_label()), (a as u8, u32::from(b) << 8 & 0xf_ffff));
        assert!(v.payload_mut().len() <= bytes.len());
        assert!(v.payload().len() <= bytes.len());
    }
}
