//! The way of a packet: the one place that calls the stages.

use std::sync::Arc;

use sluice_tables::{Tables, WorkerId};

use crate::budget::{Budget, ErrorRate};
use crate::exit::Exit;
use crate::park::Release;
use crate::shared::Shared;
use crate::{Checksum, Counts, DropReason, Packet, Time, Verdict, icmp, origin, parse, reply, rewrite, route, size};

/// The stages in the order a packet passes them. `walk`, the modules of this crate and the sections of `docs/path.md`
/// are held to it by a test.
pub const STAGES: [&str; 5] = ["parse", "origin", "route", "size", "rewrite"];

/// What of the path can be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathConfig {
    /// How many ICMP errors and resets this worker may send.
    pub icmp_errors: ErrorRate,
    /// From this the choice among backends and the hashes of the path's own maps follow. A secret, so that nobody outside
    /// can choose what collides; equal seeds make equal runs.
    pub seed: u64,
    /// The worker whose path this is: of the uplink's ports it sends by its own.
    pub worker: WorkerId,
    /// Whether a client of a TCP connection is sent a reset when its endpoint has been removed.
    pub reset_removed: bool,
}

impl Default for PathConfig {
    fn default() -> Self {
        Self { icmp_errors: ErrorRate::default(), seed: 0, worker: WorkerId(0), reset_removed: true }
    }
}

/// The path of one worker: what it remembers from burst to burst.
#[derive(Debug)]
pub struct Path {
    errors: Budget,
    shared: Arc<Shared>,
}

impl Path {
    /// A path that has seen no packet.
    #[must_use]
    pub fn new(config: PathConfig, shared: Arc<Shared>) -> Self {
        Self { errors: Budget::new(config.icmp_errors), shared }
    }

    /// What all paths share.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Decides on every packet of `burst`. `now` and `tables` hold for all of it.
    pub fn run(&mut self, now: Time, tables: &Tables, counts: &mut Counts, burst: &mut [Packet<'_>]) {
        for packet in burst {
            counts.received += 1;
            let verdict = match walk(tables, packet) {
                Ok(verdict) => {
                    counts.forwarded += 1;
                    counts.forwarded_bytes += packet.total_len() as u64;
                    verdict
                }
                Err(exit) => self.leave(now, tables, counts, packet, &exit),
            };
            packet.decide(verdict);
        }
    }

    /// The next parked packet to be released, with its slot, until there is none. To be asked after every
    /// [`Path::run`] and before the next. Adjusts `counts`: a packet that runs again is counted as it runs.
    pub fn released(&mut self, _counts: &mut Counts) -> Option<(u16, Release)> {
        None
    }

    /// Neighbours of the uplink that packets were for and whose MAC is not known: to be resolved. At most 16 a burst.
    pub fn wanted(&mut self) -> impl Iterator<Item = std::net::IpAddr> + '_ {
        core::iter::empty()
    }

    /// What is done with a packet that is not sent on.
    #[inline(never)]
    fn leave(
        &mut self,
        now: Time,
        tables: &Tables,
        counts: &mut Counts,
        packet: &mut Packet<'_>,
        exit: &Exit<'_>,
    ) -> Verdict {
        let gateway = tables.gateway();
        let port = match exit {
            Exit::Drop(reason) => return drop_as(*reason, counts),
            Exit::ReplyArp { arp, port } => {
                reply::arp(packet, gateway, port, arp);
                counts.arp_replies += 1;
                port
            }
            Exit::ReplyNeighbour { solicitor, port } => {
                if !reply::neighbour(packet, gateway, port, *solicitor) {
                    return drop_as(DropReason::NoRoom, counts);
                }
                counts.neighbour_replies += 1;
                port
            }
            Exit::ReplyEcho(arrival) => {
                reply::echo(packet, gateway, arrival);
                counts.echo_replies += 1;
                arrival.port
            }
            Exit::Refuse { reason, failure, arrival } => {
                let dropped = drop_as(*reason, counts);
                if !icmp::is_due(packet.head(), &arrival.ip) {
                    return dropped;
                }
                if !self.errors.take(now) || !icmp::error(packet, gateway, arrival, *failure) {
                    counts.icmp_errors_withheld += 1;
                    return dropped;
                }
                counts.icmp_errors += 1;
                arrival.port
            }
        };
        Verdict::Forward { port: port.id, checksum: Checksum::Complete }
    }
}

/// A packet that comes through all stages is sent on; the stage that ends its way otherwise says how.
#[inline]
fn walk<'t>(tables: &'t Tables, packet: &mut Packet<'_>) -> Result<Verdict, Exit<'t>> {
    let parsed = parse::run(packet)?;
    let arrival = origin::run(tables, packet, parsed)?;
    let egress = route::run(tables, packet, &arrival)?;
    let cut_to = size::run(packet, &arrival, egress)?;
    packet.cut(cut_to.map(Into::into));
    Ok(rewrite::run(packet, &arrival, egress, tables.gateway()))
}

fn drop_as(reason: DropReason, counts: &mut Counts) -> Verdict {
    counts.count_drop(reason);
    Verdict::Drop(reason)
}

#[cfg(test)]
mod tests;
