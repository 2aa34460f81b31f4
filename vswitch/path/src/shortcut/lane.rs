//! Where packets leave, and what is written in front of them.

use sluice_connections::Known;
use sluice_tables::{Face, PortId, PortKind, Tables, WorkerId, Wrapping};

use super::Plain;
use crate::egress::{self, Egress};
use crate::{Checksum, Packet, Verdict, encapsulate};

/// Bytes in front of the inner frame.
const OUTER: usize = Wrapping::INNER;

/// A way out.
#[derive(Clone, Copy)]
pub(super) enum Lane<'t> {
    /// By a port of a pod or of the host.
    Port(PortId, &'t Face),
    /// In a tunnel.
    Tunnel(PortId, u16, &'t Wrapping),
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
    pub(super) fn find(&self, number: u32) -> Option<Lane<'t>> {
        match Egress::decode(number) {
            Egress::Port(id) => {
                let face = self.tables.face(id)?;
                if face.kind == PortKind::Uplink { None } else { Some(Lane::Port(id, face)) }
            }
            Egress::Tunnel(id) => {
                let (uplink, mtu) = self.tunnel?;
                Some(Lane::Tunnel(uplink, mtu, self.tables.wrapping(id)?))
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
        matches!(self, Lane::Tunnel(..))
    }

    /// Whether the packet can leave by it, as it is and whole.
    #[inline(always)]
    pub(super) fn takes(&self, packet: &Packet<'_>, plain: &Plain, known: &Known<'_>) -> bool {
        // Twenty bytes each of IP and TCP: the segment size counts options as payload (RFC 6691).
        let one_segment = known.mss == 0 || u32::from(plain.ip_len) <= u32::from(known.mss) + 40;
        match self {
            Lane::Port(_, face) => {
                u32::from(plain.ip_len) <= face.path_mtu && (one_segment || face.kind == PortKind::Pod)
            }
            Lane::Tunnel(_, mtu, _) => {
                plain.ip_len <= *mtu && one_segment && packet.start() + usize::from(plain.inner) >= OUTER
            }
        }
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

    /// Puts the tunnel's headers before a packet that goes into one; `checksum` is the state of its transport checksum.
    #[inline(always)]
    pub(super) fn leave(&self, packet: &mut Packet<'_>, plain: &Plain, checksum: Checksum) -> Verdict {
        match *self {
            Lane::Port(port, _) => Verdict::Forward { port, checksum },
            Lane::Tunnel(port, _, wrapping) => {
                wrap(packet, plain, wrapping);
                let checksum = match checksum {
                    Checksum::Complete => Checksum::Complete,
                    Checksum::Partial { start, offset } => Checksum::Partial { start: start + OUTER as u16, offset },
                };
                Verdict::Forward { port, checksum }
            }
        }
    }
}

#[inline(always)]
fn wrap(packet: &mut Packet<'_>, plain: &Plain, wrapping: &Wrapping) {
    // There is room: that has been asked.
    let _ = packet.prepend(OUTER);
    let Some(head) = packet.head_mut().first_chunk_mut::<{ Wrapping::LEN + 2 }>() else { return };
    let class = head[OUTER + CLASS];
    head[..Wrapping::LEN].copy_from_slice(&wrapping.headers);
    let total_len = plain.ip_len + OUTER as u16;
    let varying = u32::from(u16::from(class).to_be()) + u32::from(total_len.to_be());
    let sum = wrapping.sum + varying;
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    let mut put = |at: usize, word: [u8; 2]| head[at..at + 2].copy_from_slice(&word);
    put(TOTAL_LEN, total_len.to_be_bytes());
    put(IP_CHECKSUM, sum.to_ne_bytes());
    put(SOURCE_PORT, encapsulate::source_port(plain.hash).to_be_bytes());
    put(UDP_LEN, (total_len - 20).to_be_bytes());
    head[CLASS] = class;
}
