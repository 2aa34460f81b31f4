//! Where packets leave, made ready once a burst: what is the same for all of them is written as one piece.

use std::net::{IpAddr, Ipv4Addr};

use sluice_connections::Known;
use sluice_tables::{PortId, PortKind, Tables, WorkerId};
use sluice_wire::{checksum, ethernet};

use super::Plain;
use super::plain::OUTER;
use crate::egress::{self, Egress, Wanted, Way};
use crate::{Checksum, Packet, Verdict, encapsulate};

/// Ways that are kept at once.
const KEPT: usize = 4;

/// A way out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    port: PortId,
    /// Both MACs of the packet's Ethernet header, the destination's first.
    macs: [u8; 12],
    mtu: u16,
    /// A super-frame may have to be cut before its receiver, also one that is shorter than the MTU.
    wire: bool,
    /// What goes in front of it.
    outer: Option<Outer>,
}

/// A tunnel's headers, zero where they differ from packet to packet.
#[derive(Clone, Copy, Debug)]
struct Outer {
    bytes: [u8; OUTER],
    /// The sum over the IP header.
    sum: u32,
}

/// Ways that packets of this burst left by.
#[derive(Debug)]
pub(crate) struct Lanes {
    kept: [Option<(u32, Lane)>; KEPT],
    worker: WorkerId,
}

impl Lanes {
    pub(crate) fn new(worker: WorkerId) -> Self {
        Self { kept: [None; KEPT], worker }
    }

    /// The way of a connection's egress; `None` for one that the shortcut does not know.
    #[inline(always)]
    pub(crate) fn find(&mut self, tables: &Tables, number: u32) -> Option<&Lane> {
        let kept = &mut self.kept[number as usize % KEPT];
        if !matches!(kept, Some((known, _)) if *known == number) {
            *kept = Some((number, make(tables, self.worker, number)?));
        }
        kept.as_ref().map(|(_, lane)| lane)
    }
}

#[inline(never)]
fn make(tables: &Tables, worker: WorkerId, number: u32) -> Option<Lane> {
    let egress = Egress::decode(number);
    if !matches!(egress, Egress::Port(_) | Egress::Tunnel(_)) {
        return None;
    }
    // The way of neither depends on where a packet goes.
    let anywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    // A neighbour that is missing is asked for by the stages.
    let way = egress::way(tables, worker, egress, anywhere, &mut Wanted::new()).ok()?;
    let macs = |destination: [u8; 6], source: [u8; 6]| {
        let mut macs = [0; 12];
        macs[..6].copy_from_slice(&destination);
        macs[6..].copy_from_slice(&source);
        macs
    };
    match way {
        Way::Port(port) if port.kind != PortKind::Uplink => Some(Lane {
            port: port.id,
            macs: macs(port.mac.0, tables.gateway().mac.0),
            mtu: port.path_mtu,
            wire: port.kind == PortKind::Host,
            outer: None,
        }),
        Way::Tunnel { tunnel, peer, uplink, .. } => Some(Lane {
            port: uplink.id,
            macs: macs(peer.mac.0, tunnel.mac.0),
            mtu: tunnel.inner_mtu,
            wire: true,
            outer: Some(Outer::of(&way)?),
        }),
        Way::Port(_) | Way::Wire { .. } => None,
    }
}

/// Fields of the outer headers that differ from packet to packet.
const CLASS: usize = 15;
const TOTAL_LEN: usize = 16;
const IP_CHECKSUM: usize = 24;
const SOURCE_PORT: usize = 34;
const UDP_LEN: usize = 38;

impl Outer {
    /// What [`encapsulate`] writes in front of a packet; `None` for a tunnel that is not over IPv4.
    fn of(way: &Way<'_>) -> Option<Self> {
        let Way::Tunnel { tunnel, peer, uplink, next_hop } = way else { return None };
        let mut room = [0; OUTER + 34];
        room[OUTER + 12..][..3].copy_from_slice(&[8, 0, 0x45]);
        let mut packet = Packet::new(&mut room, OUTER, 34, 34, uplink.id);
        encapsulate::run(&mut packet, tunnel, peer, uplink, *next_hop, 0, Checksum::Complete).ok()?;
        if packet.head_len() != OUTER + 34 {
            return None;
        }
        let mut bytes: [u8; OUTER] = *packet.head().first_chunk()?;
        for field in [TOTAL_LEN, IP_CHECKSUM, SOURCE_PORT, UDP_LEN] {
            bytes[field..field + 2].fill(0);
        }
        let sum = checksum::Sum::new().add_bytes(&bytes[ethernet::HEADER_LEN..][..20]).folded();
        Some(Self { bytes, sum: u32::from(sum) })
    }
}

impl Lane {
    pub(super) fn is_tunnel(&self) -> bool {
        self.outer.is_some()
    }

    /// Whether the packet can leave by it, as it is and whole.
    #[inline(always)]
    pub(super) fn takes(&self, packet: &Packet<'_>, plain: &Plain, known: &Known<'_>) -> bool {
        // Twenty bytes each of IP and TCP: the segment size counts options as payload (RFC 6691).
        let one_segment = !self.wire || known.mss == 0 || u32::from(plain.ip_len) <= u32::from(known.mss) + 40;
        let room = self.outer.is_none() || packet.start() + usize::from(plain.inner) >= OUTER;
        plain.ip_len <= self.mtu && one_segment && room
    }

    /// Addresses the packet, whose transport checksum is in the state `checksum`, and puts the tunnel's headers before it.
    #[inline(always)]
    pub(super) fn write(&self, packet: &mut Packet<'_>, plain: &Plain, checksum: Checksum) -> Verdict {
        let Some(outer) = &self.outer else {
            if let Some(macs) = packet.head_mut().first_chunk_mut() {
                *macs = self.macs;
            }
            return Verdict::Forward { port: self.port, checksum };
        };
        // There is room: that has been asked.
        let _ = packet.prepend(OUTER);
        if let Some(head) = packet.head_mut().first_chunk_mut::<{ OUTER + 16 }>() {
            let class = head[OUTER + CLASS];
            head[..OUTER].copy_from_slice(&outer.bytes);
            head[OUTER..OUTER + 12].copy_from_slice(&self.macs);
            let total_len = plain.ip_len + OUTER as u16;
            let sum = outer.sum + u32::from(class) + u32::from(total_len);
            let sum = (sum & 0xffff) + (sum >> 16);
            let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
            head[CLASS] = class;
            head[TOTAL_LEN..TOTAL_LEN + 2].copy_from_slice(&total_len.to_be_bytes());
            head[IP_CHECKSUM..IP_CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
            let source_port = encapsulate::source_port(plain.hash);
            head[SOURCE_PORT..SOURCE_PORT + 2].copy_from_slice(&source_port.to_be_bytes());
            head[UDP_LEN..UDP_LEN + 2].copy_from_slice(&(total_len - 20).to_be_bytes());
        }
        let checksum = match checksum {
            Checksum::Complete => Checksum::Complete,
            Checksum::Partial { start, offset } => Checksum::Partial { start: start + OUTER as u16, offset },
        };
        Verdict::Forward { port: self.port, checksum }
    }
}
