//! Bytes of any kind, read as bursts of packets: what property tests and the fuzz target drive the path with.

use core::time::Duration;
use std::net::IpAddr;

use sluice_path::{Counts, DropReason, Packet, Verdict};
use sluice_tables::{GATEWAY_MAC, PortId, Tables};
use sluice_wire::{ethernet, ipv4, parse};

use crate::{Node, Switch};

/// Bytes in front of each packet that say how it is given to the path.
const PREFIX: usize = 4;

/// How one packet is given.
struct Given {
    port: PortId,
    room: Vec<u8>,
    start: usize,
    head_len: usize,
    total_len: usize,
}

/// Sends everything in `data` through a switch, as bursts of up to 8 packets, and checks what holds for any bytes: each
/// packet ends in one place, and what leaves is a frame from the gateway to its port that parses.
///
/// Each packet begins with four bytes: the port (0 to 7, of which 1 to 4 exist), a set of choices (see `given`), and the
/// length of the frame, little-endian, cut to what is left.
///
/// # Panics
/// When one of these does not hold.
pub fn exercise(data: &[u8]) {
    let node = Node::with_pods([2, 3, 4]);
    let tables = node.tables(0);
    let mut switch = Switch::new(&node);
    let mut rest = data;
    while !rest.is_empty() {
        let mut burst = Vec::new();
        while burst.len() < 8
            && let Some((packet, after)) = given(&tables, rest)
        {
            burst.push(packet);
            rest = after;
        }
        if burst.is_empty() {
            return;
        }
        run(&tables, &mut switch, &mut burst);
        switch.clock.advance(Duration::from_millis(1));
    }
    switch.clock.advance(Duration::from_secs(3600));
    let waiting = |switch: &Switch| switch.counts().parked;
    for _ in 0..10_000 {
        if waiting(&switch) == 0 {
            return;
        }
        switch.idle();
        switch.forsake();
    }
    panic!("{} packets wait for ever", waiting(&switch));
}

/// One packet in the form that [`exercise`] reads; `choices` are those of `given`.
///
/// # Panics
/// When the frame is longer than 65,535 bytes.
#[must_use]
pub fn encode(port: u8, choices: u8, frame: &[u8]) -> Vec<u8> {
    let [low, high] = u16::try_from(frame.len()).expect("a length of 16 bits").to_le_bytes();
    [&[port, choices, low, high], frame].concat()
}

/// The next packet and what follows it. Choices: 1 gives it its port's MAC and the gateway's, 2 its port's source address,
/// 4 a right IPv4 header checksum, 8 a chain, 16 headroom, 32 room behind it, 64 a descriptor that lies.
fn given<'d>(tables: &Tables, data: &'d [u8]) -> Option<(Given, &'d [u8])> {
    let (&[port, choices, low, high], data) = data.split_first_chunk::<PREFIX>()?;
    let (bytes, rest) = data.split_at(usize::from(u16::from_le_bytes([low, high])).min(data.len()));
    let port = PortId(u16::from(port % 8));
    let chosen = |bit: u8| choices & bit != 0;
    let start = if chosen(16) { 256 } else { 0 };
    let mut room = vec![0; start];
    room.extend_from_slice(bytes);
    room.resize(room.len() + if chosen(32) { 64 } else { 0 }, 0);
    make_honest(tables, port, &mut room[start..start + bytes.len()], choices);
    let head_len = bytes.len() + if chosen(64) { 65 } else { 0 };
    let total_len = head_len + if chosen(8) { 3000 } else { 0 };
    Some((Given { port, room, start, head_len, total_len }, rest))
}

/// Random bytes seldom pass the first checks; this lets them go further.
fn make_honest(tables: &Tables, port: PortId, frame: &mut [u8], choices: u8) {
    let Some(port) = tables.port(port) else { return };
    if choices & 1 != 0
        && let Ok(mut frame) = ethernet::Frame::new_checked(&mut *frame)
    {
        frame.set_source(port.mac);
        frame.set_destination(GATEWAY_MAC);
    }
    let Some(l3) = frame.get_mut(ethernet::HEADER_LEN..) else { return };
    let (v4, v6) = (port.addresses[0], port.addresses[1]);
    if choices & 2 != 0 {
        match (l3.first().map_or(0, |byte| byte >> 4), v4, v6) {
            (4, IpAddr::V4(source), _) if l3.len() >= 20 => l3[12..16].copy_from_slice(&source.octets()),
            (6, _, IpAddr::V6(source)) if l3.len() >= 40 => l3[8..24].copy_from_slice(&source.octets()),
            _ => {}
        }
    }
    if choices & 4 != 0
        && let Ok(mut header) = ipv4::Packet::new_header(l3)
    {
        header.fill_checksum();
    }
}

fn run(tables: &Tables, switch: &mut Switch, burst: &mut [Given]) {
    let before = switch.counts().clone();
    let mut packets: Vec<Packet<'_>> = burst
        .iter_mut()
        .map(|given| Packet::new(&mut given.room, given.start, given.head_len, given.total_len, given.port))
        .collect();
    switch.run(&mut packets);
    let mut sent = 0;
    for packet in &packets {
        assert!(packet.head_len() <= packet.total_len());
        let Verdict::Forward { port, .. } = packet.verdict() else { continue };
        sent += 1;
        let headers = parse::parse(packet.head(), packet.total_len()).expect("what leaves can be parsed");
        let egress = tables.port(port).expect("it leaves by a port that exists");
        assert_eq!((headers.destination_mac, headers.source_mac), (egress.mac, GATEWAY_MAC));
    }
    let counts = switch.counts();
    assert!(counts.is_balanced(), "{counts:?}");
    assert_eq!(counts.received - before.received, packets.len() as u64);
    drop(packets);
    let left = |counts: &Counts| counts.forwarded + counts.replies() + counts.icmp_errors;
    assert_eq!(left(counts) - left(&before), sent);
    assert_eq!(counts.dropped(DropReason::Undecided), 0);
    switch.forsake();
}
