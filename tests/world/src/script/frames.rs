//! The packets that a script is made of: right ones to begin with, which the bytes then choose among.

use std::net::IpAddr;

use sluice_packets::{Ethernet, Geneve, IcmpError, Ip, arp, fragment, ndp};
use sluice_tables::{GATEWAY_IPV4, GATEWAY_IPV6};
use sluice_wire::{ethernet, tcp};

use super::Left;
use super::bytes::Bytes;
use super::ground::Ground;
use super::mutate::{INNER, seal};
use crate::cluster::{Encapsulation, Protocol, node_address, on_link, own_address, pod_address};
use crate::cluster_switch::on_its_way;
use crate::datagram::Datagram;
use crate::traffic::{Content, From, outsider};
use crate::wiring::{UPLINK_MAC, VNI, mac_of, neighbour_mac, tunnel_port};

/// Who can send. Two of them twice, as most things happen between these.
const SENDERS: [From; 8] =
    [From::Pod(0), From::Pod(1), From::Pod(4), From::Host, From::Peer(1), From::Peer(2), From::Outside, From::Pod(0)];
const CONTENTS: [Content; 5] = [
    Content::Transport(Protocol::Tcp),
    Content::Transport(Protocol::Udp),
    Content::Transport(Protocol::Sctp),
    Content::Echo,
    Content::Other,
];
/// Ports that mean something here.
const PORTS: [u16; 16] =
    [80, 53, 5060, 8080, 5353, 9060, 30_000, 30_001, 30_002, 30_011, 30_030, 4789, 6081, 61_000, 7777, 0];
/// Lengths of payload around which something changes.
const LENGTHS: [usize; 8] = [0, 5, 100, 1372, 1422, 1472, 2900, 9000];
const FLAGS: [u8; 8] = [
    tcp::flag::SYN,
    tcp::flag::ACK,
    tcp::flag::SYN | tcp::flag::ACK,
    tcp::flag::FIN | tcp::flag::ACK,
    tcp::flag::RST,
    tcp::flag::ACK | tcp::flag::PSH,
    0,
    0xff,
];
const ERRORS: [IcmpError; 6] = [
    IcmpError::PortUnreachable,
    IcmpError::HostUnreachable,
    IcmpError::TooBig { mtu: 1300 },
    IcmpError::TooBig { mtu: 0 },
    IcmpError::TooBig { mtu: u16::MAX },
    IcmpError::TimeExceeded,
];
/// No addresses of their own: what needs a link before it is known which.
const NO_LINK: Ethernet = Ethernet::new(sluice_wire::MacAddr([0; 6]), sluice_wire::MacAddr([0; 6]));

/// What makes packets for one ground.
pub(super) struct Frames {
    pub(super) ground: &'static Ground,
    pub(super) encapsulation: Encapsulation,
}

impl Frames {
    /// A packet of some flow.
    pub(super) fn flow(&self, bytes: &mut Bytes<'_>) -> (From, Vec<u8>) {
        let from = bytes.one_of(&SENDERS);
        self.flow_from(from, bytes)
    }

    /// A packet out of a tunnel, or what comes over the uplink besides.
    pub(super) fn arrival(&self, bytes: &mut Bytes<'_>) -> (From, Vec<u8>) {
        let from = bytes.one_of(&[From::Peer(1), From::Peer(2), From::Peer(1), From::Outside]);
        self.flow_from(from, bytes)
    }

    fn flow_from(&self, from: From, bytes: &mut Bytes<'_>) -> (From, Vec<u8>) {
        let datagram = self.datagram(from, bytes);
        let partial = matches!(from, From::Pod(_) | From::Host) && !bytes.seldom(64);
        (from, self.wrap(from, datagram.source, bytes, |link| datagram.frame(link, partial)))
    }

    fn datagram(&self, from: From, bytes: &mut Bytes<'_>) -> Datagram {
        let v4 = !bytes.seldom(100);
        let source = self.source(from, v4, bytes);
        let destination = bytes.one_of(&self.ground.addresses[usize::from(!v4)]);
        let content = bytes.one_of(&CONTENTS);
        let ported = matches!(content, Content::Transport(_));
        let (source_port, destination_port) = (40_000 + bytes.number() % 4, bytes.one_of(&PORTS));
        Datagram {
            source,
            destination,
            content,
            source_port: if content == Content::Other { 0 } else { source_port },
            destination_port: if ported { destination_port } else { 0 },
            flags: bytes.one_of(&FLAGS),
            payload: vec![7; bytes.one_of(&LENGTHS)],
        }
    }

    /// An address of the sender's; seldom somebody else's.
    fn source(&self, from: From, v4: bool, bytes: &mut Bytes<'_>) -> IpAddr {
        if bytes.seldom(10) {
            return bytes.one_of(&self.ground.addresses[usize::from(!v4)]);
        }
        match from {
            From::Pod(pod) => pod_address(0, self.ground.cluster.pods[pod].number, v4),
            From::Host => node_address(0, v4),
            From::Peer(1) => bytes.one_of(&[pod_address(1, 4, v4), pod_address(1, 5, v4), own_address(1, v4)]),
            From::Peer(node) => bytes.one_of(&[pod_address(node, 7, v4), own_address(node, v4)]),
            From::Outside => bytes.one_of(&[outsider(9, v4), on_link(61, v4), node_address(2, v4), outsider(209, v4)]),
        }
    }

    /// What answers a packet that left, from where it went.
    pub(super) fn answer(&self, left: &Left, bytes: &mut Bytes<'_>) -> Option<(From, Vec<u8>)> {
        let datagram = Datagram::read(&left.frame).ok()?;
        let mut answer = datagram.answered();
        if bytes.seldom(100) {
            answer.flags = bytes.one_of(&FLAGS);
            answer.payload = vec![9; bytes.one_of(&LENGTHS)];
        }
        let frame = self.wrap(left.to, answer.source, bytes, |link| answer.frame(link, false));
        Some((left.to, frame))
    }

    /// One more packet of the flow of `frame`, which came from there: the same, or with other flags and length, or with few hops left.
    pub(super) fn again(&self, from: From, frame: &[u8], bytes: &mut Bytes<'_>) -> Vec<u8> {
        let mut frame = frame.to_vec();
        let is_inside = matches!(from, From::Peer(_));
        if !is_inside
            && bytes.seldom(100)
            && let Ok(mut datagram) = Datagram::read(&frame)
        {
            datagram.flags = if bytes.seldom(100) { bytes.one_of(&FLAGS) } else { tcp::flag::ACK };
            datagram.payload = vec![8; bytes.one_of(&LENGTHS)];
            let partial = matches!(from, From::Pod(_) | From::Host) && !bytes.seldom(64);
            frame = self.wrap(from, datagram.source, bytes, |link| datagram.frame(link, partial));
        }
        if bytes.seldom(20) {
            let at = if is_inside { INNER } else { ethernet::HEADER_LEN };
            let hops = bytes.byte() % 3;
            if frame.get(at).is_some_and(|first| first >> 4 == 4)
                && let Some(hop) = frame.get_mut(at + 8)
            {
                *hop = hops;
                seal(&mut frame, at);
            }
        }
        frame
    }

    /// An error that quotes a packet that left, or one that never was; from where it went, or from a router on the way.
    pub(super) fn error(&self, left: Option<&Left>, bytes: &mut Bytes<'_>) -> Option<(From, Vec<u8>)> {
        let (mut from, quoted) = match left {
            Some(left) if bytes.seldom(40) => (From::Outside, left.outer.as_ref().unwrap_or(&left.frame).clone()),
            Some(left) => (left.to, left.frame.clone()),
            None => {
                let from = bytes.one_of(&SENDERS);
                (from, self.datagram(from, bytes).frame(NO_LINK, false))
            }
        };
        let headers = sluice_wire::parse::parse(&quoted, quoted.len()).ok()?;
        let (receiver, lost) = headers.addresses(&quoted)?;
        let v4 = receiver.is_ipv4();
        let mut speaker = lost;
        if bytes.seldom(60) {
            speaker = bytes.one_of(&self.ground.addresses[usize::from(!v4)]);
        }
        if bytes.seldom(20) {
            from = bytes.one_of(&SENDERS);
        }
        let mut quote = quoted[ethernet::HEADER_LEN..].to_vec();
        for _ in 0..bytes.below(4) {
            let (at, value) = (bytes.below(80), bytes.byte());
            if let Some(byte) = quote.get_mut(at) {
                *byte ^= value;
            }
        }
        let length = bytes.one_of(&[548, 1232, 28, 48, 20, 40, 8, 0]);
        quote.truncate(length + usize::from(bytes.byte() % 8));
        let error = bytes.one_of(&ERRORS);
        let ip = |link| match (speaker, receiver) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Some(Ip::v4(link, source, destination)),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Some(Ip::v6(link, source, destination)),
            _ => None,
        };
        ip(NO_LINK)?;
        let make = |link| ip(link).map_or_else(Vec::new, |ip| ip.icmp_error(error, &quote));
        Some((from, self.wrap(from, speaker, bytes, make)))
    }

    /// A fragment of one of a few datagrams, cut to one of a few sizes; sometimes moved or with another end.
    pub(super) fn piece(&self, bytes: &mut Bytes<'_>) -> Option<(From, Vec<u8>)> {
        let from = bytes.one_of(&SENDERS);
        let mut datagram = self.datagram(from, bytes);
        datagram.payload = vec![7; bytes.one_of(&[600, 1400, 200, 3000])];
        let partial = bytes.seldom(20);
        let size = bytes.one_of(&[256, 576, 128, 1280, 1500, 104]);
        let identification = u32::from(bytes.byte() % 4);
        let which = bytes.below(64);
        let lie = bytes.seldom(60).then(|| bytes.number());
        let cut = |link: Ethernet| {
            let mut pieces = fragment::split(&datagram.frame(link, partial), size, identification);
            let mut piece = pieces.swap_remove(which % pieces.len());
            if let Some(lie) = lie {
                tell(&mut piece, lie);
            }
            piece
        };
        Some((from, self.wrap(from, datagram.source, bytes, cut)))
    }

    /// What a pod asks the gateway.
    pub(super) fn question(&self, bytes: &mut Bytes<'_>) -> (From, Vec<u8>) {
        let pod = bytes.one_of(&[0, 1, 4]);
        let (mac, number) = (mac_of(pod), self.ground.cluster.pods[pod].number);
        let frame = match (pod_address(0, number, true), pod_address(0, number, false)) {
            (IpAddr::V4(own), _) if bytes.seldom(128) => arp::request(mac, own, GATEWAY_IPV4),
            (_, IpAddr::V6(own)) => ndp::solicit(mac, own, GATEWAY_IPV6),
            _ => Vec::new(),
        };
        (From::Pod(pod), frame)
    }

    /// The frame of `from` with the MACs of its way, in a tunnel where its sender is another node.
    fn wrap(
        &self,
        from: From,
        source: IpAddr,
        bytes: &mut Bytes<'_>,
        make: impl FnOnce(Ethernet) -> Vec<u8>,
    ) -> Vec<u8> {
        on_its_way(self.encapsulation, from, source, make, |node, inner| self.tunnelled(node, inner, bytes))
    }

    /// A tunnel packet; in it `inner`. Seldom of another network, from a stranger, or with options.
    fn tunnelled(&self, node: usize, inner: &[u8], bytes: &mut Bytes<'_>) -> Vec<u8> {
        let mut outer = node_address(node, true);
        let (mut vni, mut header) = (VNI, Geneve::ethernet(VNI));
        match bytes.byte() {
            1..8 => outer = on_link(61, true),
            8..16 => vni = u32::from(bytes.number()),
            16..48 => header.options = vec![bytes.byte(); 4 * bytes.below(16)],
            _ => {}
        }
        header.vni = vni;
        let link = Ethernet::new(neighbour_mac(outer), UPLINK_MAC);
        let (IpAddr::V4(source), IpAddr::V4(ours)) = (outer, node_address(0, true)) else { return Vec::new() };
        let ip = Ip::v4(link, source, ours).traffic_class(bytes.byte() & 3);
        let port = tunnel_port(self.encapsulation);
        match self.encapsulation {
            Encapsulation::Geneve => ip.geneve(50_000, port, &header, inner),
            _ => ip.vxlan(50_000, port, vni, inner),
        }
    }
}

/// Makes a fragment say another place: `lie` replaces its offset and its flag.
fn tell(piece: &mut [u8], lie: u16) {
    let v4 = piece[ethernet::HEADER_LEN] >> 4 == 4;
    // Few places, so that fragments meet.
    let units = lie % 48;
    let more = lie & 0x100 != 0;
    let (at, value) = match v4 {
        true => (ethernet::HEADER_LEN + 6, units | if more { 0x2000 } else { 0 }),
        false => (ethernet::HEADER_LEN + 40 + 2, units << 3 | u16::from(more)),
    };
    let value = if lie & 0xf000 == 0xf000 { lie } else { value };
    if let Some(field) = piece.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
    super::mutate::seal(piece, ethernet::HEADER_LEN);
}
