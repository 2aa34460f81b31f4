//! The parse against etherparse, which builds and slices the same packets without knowing of this crate.

use etherparse::{IpHeaders, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6Header, Ipv6RawExtHeader};
use etherparse::{NetSlice, PacketBuilder, PacketBuilderStep, SlicedPacket, TransportSlice};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sluice_packets::samples;
use sluice_wire::parse::{Fragment, Headers, L3, parse};
use sluice_wire::{icmpv4, icmpv6, protocol, tcp, udp};

/// What etherparse is told to build.
#[derive(Clone, Debug)]
struct Wanted {
    macs: ([u8; 6], [u8; 6]),
    net: Net,
    transport: Transport,
    payload: Vec<u8>,
    padding: usize,
}

#[derive(Clone, Debug)]
enum Net {
    V4 { source: [u8; 4], destination: [u8; 4], ttl: u8, options: Vec<u8> },
    V6 { source: [u8; 16], destination: [u8; 16], ttl: u8, hop_by_hop: Option<Vec<u8>>, options: Option<Vec<u8>> },
}

#[derive(Clone, Debug)]
enum Transport {
    Udp(u16, u16),
    Tcp { ports: (u16, u16), sequence: u32, options: Vec<u8> },
    Echo(u16, u16),
}

fn net() -> impl Strategy<Value = Net> {
    let whole_words = |words: usize| {
        vec(any::<u8>(), 0..=words * 4).prop_map(|mut bytes| {
            bytes.truncate(bytes.len() / 4 * 4);
            bytes
        })
    };
    let extension = || option::of((0usize..4).prop_flat_map(|units| vec(any::<u8>(), units * 8 + 6)));
    prop_oneof![
        (any::<[u8; 4]>(), any::<[u8; 4]>(), any::<u8>(), whole_words(10))
            .prop_map(|(source, destination, ttl, options)| Net::V4 { source, destination, ttl, options }),
        (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<u8>(), extension(), extension()).prop_map(
            |(source, destination, ttl, hop_by_hop, options)| {
                Net::V6 { source, destination, ttl, hop_by_hop, options }
            }
        ),
    ]
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        (any::<u16>(), any::<u16>()).prop_map(|(source, destination)| Transport::Udp(source, destination)),
        (any::<(u16, u16)>(), any::<u32>(), vec(any::<u8>(), 0..=40)).prop_map(|(ports, sequence, mut options)| {
            options.truncate(options.len() / 4 * 4);
            Transport::Tcp { ports, sequence, options }
        }),
        (any::<u16>(), any::<u16>()).prop_map(|(identifier, sequence)| Transport::Echo(identifier, sequence)),
    ]
}

fn wanted() -> impl Strategy<Value = Wanted> {
    (any::<([u8; 6], [u8; 6])>(), net(), transport(), vec(any::<u8>(), 0..200), 0usize..20)
        .prop_map(|(macs, net, transport, payload, padding)| Wanted { macs, net, transport, payload, padding })
}

fn build(wanted: &Wanted) -> Vec<u8> {
    let step = PacketBuilder::ethernet2(wanted.macs.0, wanted.macs.1).ip(ip_headers(&wanted.net));
    let mut frame = Vec::new();
    write_transport(step, wanted, &mut frame);
    frame.resize(frame.len() + wanted.padding, 0xaa);
    frame
}

fn ip_headers(net: &Net) -> IpHeaders {
    match net {
        Net::V4 { source, destination, ttl, options } => {
            let mut header = Ipv4Header::new(0, *ttl, etherparse::ip_number::UDP, *source, *destination).unwrap();
            header.options = options.as_slice().try_into().unwrap();
            IpHeaders::Ipv4(header, Ipv4Extensions::default())
        }
        Net::V6 { source, destination, ttl, hop_by_hop, options } => {
            let raw = |body: &Vec<u8>| Ipv6RawExtHeader::new_raw(etherparse::ip_number::UDP, body).unwrap();
            let header =
                Ipv6Header { source: *source, destination: *destination, hop_limit: *ttl, ..Ipv6Header::default() };
            let extensions = Ipv6Extensions {
                hop_by_hop_options: hop_by_hop.as_ref().map(raw),
                destination_options: options.as_ref().map(raw),
                ..Ipv6Extensions::default()
            };
            IpHeaders::Ipv6(header, extensions)
        }
    }
}

fn write_transport(step: PacketBuilderStep<IpHeaders>, wanted: &Wanted, frame: &mut Vec<u8>) {
    let payload = &wanted.payload;
    match (&wanted.transport, &wanted.net) {
        (Transport::Udp(source, destination), _) => step.udp(*source, *destination).write(frame, payload),
        (Transport::Tcp { ports, sequence, options }, _) => {
            step.tcp(ports.0, ports.1, *sequence, 1024).options_raw(options).unwrap().write(frame, payload)
        }
        (Transport::Echo(id, seq), Net::V4 { .. }) => step.icmpv4_echo_request(*id, *seq).write(frame, payload),
        (Transport::Echo(id, seq), Net::V6 { .. }) => step.icmpv6_echo_request(*id, *seq).write(frame, payload),
    }
    .unwrap();
}

/// True when both name the same network and transport headers.
fn agree(frame: &[u8], headers: &Headers, sliced: &SlicedPacket<'_>) -> Result<(), TestCaseError> {
    let (l3, l4) = (usize::from(headers.l3_offset), usize::from(headers.l4_offset));
    let payload = match sliced.net.as_ref() {
        Some(NetSlice::Ipv4(net)) => {
            let header = net.header();
            prop_assert_eq!(headers.l3, L3::Ipv4);
            prop_assert_eq!(headers.ttl, header.ttl());
            prop_assert_eq!(headers.ip_len, u32::from(header.total_len()));
            let addresses = (header.source_addr().into(), header.destination_addr().into());
            prop_assert_eq!(headers.addresses(frame), Some(addresses));
            net.payload()
        }
        Some(NetSlice::Ipv6(net)) => {
            let header = net.header();
            prop_assert_eq!(headers.l3, L3::Ipv6);
            prop_assert_eq!(headers.ttl, header.hop_limit());
            prop_assert_eq!(headers.ip_len, 40 + u32::from(header.payload_length()));
            let addresses = (header.source_addr().into(), header.destination_addr().into());
            prop_assert_eq!(headers.addresses(frame), Some(addresses));
            net.payload()
        }
        other => return Err(TestCaseError::fail(format!("{other:?} for {headers:?}"))),
    };
    prop_assert_eq!(headers.protocol, payload.ip_number.0);
    prop_assert_eq!(headers.fragment != Fragment::None, payload.fragmented);
    prop_assert_eq!(&frame[l4..l3 + headers.ip_len as usize], payload.payload);
    match sliced.transport.as_ref() {
        Some(TransportSlice::Udp(udp)) => {
            prop_assert_eq!(
                (headers.source_port, headers.destination_port),
                (udp.source_port(), udp.destination_port())
            );
        }
        Some(TransportSlice::Tcp(tcp)) => {
            prop_assert_eq!(
                (headers.source_port, headers.destination_port),
                (tcp.source_port(), tcp.destination_port())
            );
        }
        _ => {}
    }
    Ok(())
}

/// The checksums etherparse has written are right for this crate too.
fn check_checksum(frame: &[u8], headers: &Headers) -> Result<(), TestCaseError> {
    let end = usize::from(headers.l3_offset) + headers.ip_len as usize;
    let l4 = &frame[usize::from(headers.l4_offset)..end];
    let pseudo = headers.pseudo_header(frame).expect("an IP packet");
    let right = match headers.protocol {
        protocol::UDP => udp::Packet::new_checked(l4).unwrap().checksum_ok(pseudo),
        protocol::TCP => tcp::Packet::new_checked(l4).unwrap().checksum_ok(pseudo),
        protocol::ICMPV4 => icmpv4::Packet::new_checked(l4).unwrap().checksum_ok(),
        protocol::ICMPV6 => icmpv6::Packet::new_checked(l4).unwrap().checksum_ok(pseudo),
        other => return Err(TestCaseError::fail(format!("protocol {other}"))),
    };
    prop_assert!(right);
    Ok(())
}

proptest! {
    #[test]
    fn right_packets_are_read_alike(wanted in wanted()) {
        let frame = build(&wanted);
        let headers = parse(&frame, frame.len()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!((headers.source_mac.0, headers.destination_mac.0), wanted.macs);
        agree(&frame, &headers, &SlicedPacket::from_ethernet(&frame).unwrap())?;
        check_checksum(&frame, &headers)?;
        let least = usize::from(headers.l4_offset) + 60;
        prop_assert_eq!(parse(&frame[..least.min(frame.len())], frame.len()), Ok(headers));
    }

    /// Where both take a changed packet for IP, they read the same out of it.
    #[test]
    fn changed_packets_that_both_accept_are_read_alike(
        kind in any::<prop::sample::Index>(),
        changes in vec((14usize..90, any::<u8>()), 1..4),
        length in any::<prop::sample::Index>(),
    ) {
        let samples = samples::one_of_each();
        let mut frame = samples[kind.index(samples.len())].1.clone();
        for (at, value) in changes {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        // Mostly whole, at times cut.
        let cut = length.index(frame.len() * 4);
        frame.truncate(if cut < frame.len() { cut } else { frame.len() });
        if let (Ok(headers), Ok(sliced)) = (parse(&frame, frame.len()), SlicedPacket::from_ethernet(&frame))
            && matches!(headers.l3, L3::Ipv4 | L3::Ipv6)
            && !differ_on_purpose(&headers, &sliced)
        {
            agree(&frame, &headers, &sliced)?;
        }
    }
}

/// Where the two differ on purpose.
fn differ_on_purpose(headers: &Headers, sliced: &SlicedPacket<'_>) -> bool {
    match sliced.net.as_ref() {
        // An authentication header is a protocol like another inside IPv4; etherparse steps over it.
        Some(NetSlice::Ipv4(_)) => headers.protocol == protocol::AUTHENTICATION,
        // A mobility header is an extension header (RFC 6275 section 6.1); etherparse stops at it. A payload length of 0
        // is believed here, where etherparse takes it for a jumbogram. What a later fragment carries is payload here,
        // where etherparse reads extension headers out of it.
        Some(NetSlice::Ipv6(net)) => {
            net.payload().ip_number.0 == protocol::MOBILITY
                || net.header().payload_length() == 0
                || headers.fragment == Fragment::Later && headers.protocol != net.payload().ip_number.0
        }
        _ => false,
    }
}
