//! Where packets leave, and what is written in front of them.

use sluice_tables::{Face, PeerId, PortId, PortKind, Tables, WorkerId, Wrapping};
use sluice_wire::ethernet::ethertype;

use super::Plain;
use crate::egress::{self, Egress};
use crate::translate::add;
use crate::{Checksum, Packet, Verdict, encapsulate};

/// Bytes in front of the inner frame.
const OUTER: usize = Wrapping::INNER;

/// A way out.
#[derive(Clone, Copy)]
pub(crate) enum Lane<'t> {
    /// By a port of a pod or of the host.
    Port(PortId, &'t Face),
    /// In a tunnel over the uplink, with packets up to `mtu` inside.
    Tunnel { uplink: PortId, mtu: u16, peer: PeerId, wrapping: &'t Wrapping },
}

/// All ways.
#[derive(Clone, Copy)]
pub(crate) struct Lanes<'t> {
    tables: &'t Tables,
    /// The uplink's port and the longest packet inside, if there is a tunnel.
    tunnel: Option<(PortId, u16)>,
}

impl<'t> Lanes<'t> {
    pub(crate) fn new(tables: &'t Tables, worker: WorkerId) -> Self {
        let ready = || {
            let (tunnel, first) = (tables.tunnel()?, tables.uplink()?);
            let own = egress::uplink(tables, worker)?;
            // What is ready to be written is from the first of the uplink's MACs.
            (own.mac == first.mac).then_some((own.id, tunnel.inner_mtu))
        };
        Self { tables, tunnel: ready() }
    }

    /// The way of a connection's egress; `None` for one that the shortcut does not know.
    #[inline(always)]
    pub(crate) fn find(&self, number: u32) -> Option<Lane<'t>> {
        match Egress::decode(number) {
            Egress::Port(id) => {
                let face = self.tables.face(id)?;
                if face.kind == PortKind::Uplink { None } else { Some(Lane::Port(id, face)) }
            }
            Egress::Tunnel(id) => {
                let (uplink, mtu) = self.tunnel?;
                Some(Lane::Tunnel { uplink, mtu, peer: id, wrapping: self.tables.wrapping(id)? })
            }
            Egress::Direct(_) | Egress::Uplink => None,
        }
    }
}

/// Fields of the outer headers that differ from packet to packet.
const CLASS: usize = 15;
const TOTAL_LEN: usize = 16;
const IP_CHECKSUM: usize = 24;
const SOURCE_PORT: usize = 34;
const UDP_LEN: usize = 38;

impl Lane<'_> {
    #[inline(always)]
    pub(super) fn is_tunnel(&self) -> bool {
        matches!(self, Lane::Tunnel { .. })
    }

    /// The longest packet that can leave by it whole, of a connection with that segment size. `headers` are those of IP and TCP without
    /// options, which the segment size counts as payload (RFC 6691).
    #[inline(always)]
    pub(super) fn longest(&self, mss: u16, headers: u16) -> u16 {
        let one_segment = if mss == 0 { u16::MAX } else { mss.saturating_add(headers) };
        match self {
            Lane::Port(_, face) if face.kind == PortKind::Pod => face.path_mtu as u16,
            Lane::Port(_, face) => one_segment.min(face.path_mtu as u16),
            Lane::Tunnel { mtu, .. } => one_segment.min(*mtu),
        }
    }

    /// Whether the packet can leave by it, as it is and whole. `mss` is its connection's, 0 if unknown.
    #[inline(always)]
    pub(crate) fn takes(&self, packet: &Packet<'_>, plain: &Plain, mss: u16) -> bool {
        plain.ip_len <= self.longest(mss, 40)
            && (!self.is_tunnel() || packet.start() + usize::from(plain.inner) >= OUTER)
    }

    /// Writes the MACs of a packet that needs nothing in front of it.
    #[inline(always)]
    pub(super) fn address(&self, head: &mut [u8]) {
        if let Lane::Port(_, face) = self
            && let Some(head) = head.first_chunk_mut::<14>()
        {
            head[..8].copy_from_slice(&face.to[0].to_ne_bytes());
            head[6..].copy_from_slice(&face.to[1].to_ne_bytes());
        }
    }

    /// What becomes of a packet that leaves by it; `checksum` is the state of its transport checksum before it has the tunnel's
    /// headers.
    #[inline(always)]
    pub(super) fn verdict(&self, checksum: Checksum) -> Verdict {
        match (*self, checksum) {
            (Lane::Port(port, _), checksum) => Verdict::Forward { port, checksum },
            (Lane::Tunnel { uplink: port, .. }, Checksum::Complete) => Verdict::Forward { port, checksum },
            (Lane::Tunnel { uplink: port, .. }, Checksum::Partial { start, offset }) => {
                Verdict::Forward { port, checksum: Checksum::Partial { start: start + OUTER as u16, offset } }
            }
        }
    }

    /// Puts the tunnel's headers before a packet that goes into one.
    #[inline(always)]
    pub(super) fn leave(&self, packet: &mut Packet<'_>, plain: &Plain) {
        if let Lane::Tunnel { wrapping, .. } = *self {
            wrap::<false>(packet, plain.ip_len, encapsulate::source_port(plain.hash).to_be(), wrapping);
        }
    }
}

/// The first bytes of a frame, with the type of IPv6 instead of IPv4.
pub(super) fn of_v6(to: [u64; 2]) -> [u64; 2] {
    let [.., a, b, c, d, e, f, _, _] = to[1].to_ne_bytes();
    let [high, low] = ethertype::IPV6.to_be_bytes();
    [to[0], u64::from_ne_bytes([a, b, c, d, e, f, high, low])]
}

/// Puts a tunnel's headers before a packet, which has room for them. `source_port` is as it lies in the frame, read as a number of
/// the machine's.
#[inline(always)]
pub(super) fn wrap<const V6: bool>(packet: &mut Packet<'_>, ip_len: u16, source_port: u16, wrapping: &Wrapping) {
    if !packet.prepend(OUTER) {
        return;
    }
    let Some(head) = packet.room_from::<{ Wrapping::LEN + 2 }>(0) else { return };
    let class = if V6 { head[OUTER + 14] << 4 | head[OUTER + 15] >> 4 } else { head[OUTER + CLASS] };
    head[..Wrapping::LEN].copy_from_slice(&wrapping.headers);
    if V6 {
        head[OUTER + 12..OUTER + 14].copy_from_slice(&ethertype::IPV6.to_be_bytes());
    }
    head[CLASS] = class;
    let total_len = ip_len + OUTER as u16;
    let sum = add(add(wrapping.sum, u16::from(class).to_be()), total_len.to_be());
    let mut put = |at: usize, word: u16| head[at..at + 2].copy_from_slice(&word.to_ne_bytes());
    put(TOTAL_LEN, total_len.to_be());
    put(IP_CHECKSUM, !sum);
    put(SOURCE_PORT, source_port);
    put(UDP_LEN, (total_len - 20).to_be());
}
