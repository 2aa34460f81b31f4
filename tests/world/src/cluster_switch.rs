//! The real path of one node of a cluster, on one or several workers, and what leaves it read back in the cluster's terms.

use std::net::IpAddr;
use std::sync::Arc;

use sluice_packets::{Ethernet, Geneve, Ip};
use sluice_path::{Checksum, Counts, DropReason, Packet, Path, PathConfig, Release, Shared, SharedConfig, Verdict};
use sluice_tables::{GATEWAY_MAC, PortId, Publisher, Reader, WorkerId, tunnel_mac};
use sluice_wire::ethernet;
use sluice_wire::parse;

use crate::Clock;
use crate::cluster::{Cluster, Encapsulation, node_address, on_link};
use crate::datagram::{Datagram, completed};
use crate::expect::{To, next_hop};
use crate::switch::{CHUNK, HEADROOM};
use crate::traffic::From;
use crate::wiring::{
    HOST_MAC, HOST_PORT, UPLINK_MAC, VNI, mac_of, neighbour_mac, port_of, tables, tunnel_port, uplink_of, worker_of,
};

/// What the switch did with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It left; the frame is without the tunnel's headers, with its checksum completed.
    Left {
        /// Where to.
        to: To,
        /// As the receiver finds it.
        frame: Vec<u8>,
    },
    /// It was dropped, and this error or reset went back.
    Answered {
        /// Why.
        reason: DropReason,
        /// Where the answer went.
        to: To,
        /// The answer.
        frame: Vec<u8>,
    },
    /// Nothing left.
    Dropped(DropReason),
    /// It waits for another fragment.
    Parked,
    /// It went to the host as it came.
    Punted,
}

struct Worker {
    path: Path,
    reader: Reader,
    counts: Counts,
    /// What waits, by slot: where it came from, and its bytes.
    parked: Vec<(u16, PortId, Vec<u8>)>,
}

/// A node's switch, whose rings are vectors.
pub struct ClusterSwitch {
    workers: Vec<Worker>,
    publisher: Publisher,
    generation: u64,
    encapsulation: Encapsulation,
    nodes: usize,
    /// What the workers share.
    pub shared: Arc<Shared>,
    /// Time as the switch knows it.
    pub clock: Clock,
}

impl ClusterSwitch {
    /// A switch for the first node of `cluster` with this many workers.
    #[must_use]
    pub fn new(cluster: &Cluster, workers: usize) -> Self {
        Self::with(cluster, workers, PathConfig::default(), SharedConfig::default())
    }

    /// The same with a configuration. Each worker's seed and number are made its own.
    ///
    /// # Panics
    /// When there are many workers.
    #[must_use]
    pub fn with(cluster: &Cluster, workers: usize, config: PathConfig, shared: SharedConfig) -> Self {
        Self::over(cluster, workers, config, Shared::new(shared))
    }

    /// The same over connections that may be there already, as after a restart.
    ///
    /// # Panics
    /// When there are many workers.
    #[must_use]
    pub fn over(cluster: &Cluster, workers: usize, config: PathConfig, shared: Shared) -> Self {
        let publisher = Publisher::new(tables(cluster, 1, workers));
        let shared = Arc::new(shared);
        let worker = |number: usize| {
            let id = WorkerId(u8::try_from(number).expect("a few workers"));
            let config = PathConfig { worker: id, seed: config.seed + number as u64, ..config };
            let path = Path::new(config, Arc::clone(&shared));
            Worker { path, reader: publisher.reader(), counts: Counts::new(), parked: Vec::new() }
        };
        Self {
            workers: (0..workers).map(worker).collect(),
            encapsulation: cluster.setup.encapsulation,
            nodes: cluster.nodes.len(),
            publisher,
            generation: 1,
            shared,
            clock: Clock::default(),
        }
    }

    /// Publishes what follows from the changed cluster. Pods keep their ports as long as they keep their position.
    pub fn publish(&mut self, cluster: &Cluster) {
        self.generation += 1;
        self.publisher.publish(tables(cluster, self.generation, self.workers.len()));
    }

    /// What all workers counted together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut values = Counts::new().values();
        let mut drops = Counts::new().drops;
        for worker in &self.workers {
            values.iter_mut().zip(worker.counts.values()).for_each(|(sum, one)| *sum += one);
            drops.iter_mut().zip(worker.counts.drops).for_each(|(sum, one)| *sum += one);
        }
        Counts::from_values(values, drops)
    }

    /// Packets whose frames are kept for the path.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.workers.iter().map(|worker| worker.parked.len()).sum()
    }

    /// Neighbours that the path wants resolved.
    pub fn wanted(&mut self) -> Vec<IpAddr> {
        self.workers.iter_mut().flat_map(|worker| worker.path.wanted().collect::<Vec<_>>()).collect()
    }

    /// The port that a sender's packets come in by; those of the uplink are spread over its queues by `queue`.
    #[must_use]
    pub fn entry(&self, from: From, queue: usize) -> PortId {
        match from {
            From::Pod(pod) => port_of(pod),
            From::Host => HOST_PORT,
            From::Peer(_) | From::Outside => uplink_of(queue % self.workers.len()),
        }
    }

    /// The frame as it comes in: the MACs of its way, and in a tunnel where its sender is another node.
    #[must_use]
    pub fn frame(&self, from: From, datagram: &Datagram) -> Vec<u8> {
        self.wrap(from, datagram.source, |link| datagram.frame(link, matches!(from, From::Pod(_) | From::Host)))
    }

    /// The same for any frame that `source` can make on a link.
    #[must_use]
    pub fn wrap(&self, from: From, source: IpAddr, make: impl FnOnce(Ethernet) -> Vec<u8>) -> Vec<u8> {
        on_its_way(self.encapsulation, from, source, make, |node, inner| self.tunnelled(node, inner))
    }

    /// A frame in a tunnel packet of another node.
    ///
    /// # Panics
    /// When nothing is tunnelled.
    #[must_use]
    pub fn tunnelled(&self, node: usize, inner: &[u8]) -> Vec<u8> {
        let port = tunnel_port(self.encapsulation);
        let ip = self.outer(node_address(node, true));
        match self.encapsulation {
            Encapsulation::None => panic!("nothing is tunnelled"),
            Encapsulation::Vxlan => ip.vxlan(50_000, port, VNI, inner),
            Encapsulation::Geneve => ip.geneve(50_000, port, &Geneve::ethernet(VNI), inner),
        }
    }

    /// The beginning of a packet over the uplink to this node.
    ///
    /// # Panics
    /// When `source` is not IPv4.
    #[must_use]
    pub fn outer(&self, source: IpAddr) -> Ip {
        let link = Ethernet::new(neighbour_mac(source), UPLINK_MAC);
        match (source, node_address(0, true)) {
            (IpAddr::V4(source), IpAddr::V4(ours)) => Ip::v4(link, source, ours),
            _ => panic!("the tunnels are IPv4"),
        }
    }

    /// One frame by `port`, run by the port's worker; then whatever it released, whose fate is given too.
    ///
    /// # Panics
    /// When the path does what no cluster can explain: a port that does not exist, bytes that cannot be read.
    pub fn send(&mut self, port: PortId, frame: &[u8]) -> Vec<Seen> {
        let worker = match port {
            PortId(2..10) => usize::from(port.0 - 2) % self.workers.len(),
            _ => usize::from(worker_of(port, self.workers.len()).0),
        };
        let mut seen = vec![self.run(worker, port, frame)];
        seen.extend(self.take_released(worker));
        seen
    }

    /// A turn of every worker without a packet: what the path does for itself goes on. What became of
    /// packets that had waited.
    pub fn idle(&mut self) -> Vec<Seen> {
        for worker in &mut self.workers {
            worker.path.idle(self.clock.now(), &mut worker.counts);
        }
        (0..self.workers.len()).flat_map(|worker| self.take_released(worker)).collect()
    }

    fn take_released(&mut self, worker: usize) -> Vec<Seen> {
        let mut seen = Vec::new();
        loop {
            let one = &mut self.workers[worker];
            let Some((slot, release)) = one.path.released(&mut one.counts) else { return seen };
            let at = one.parked.iter().position(|it| it.0 == slot).expect("a slot that something waits under");
            let (_, port, frame) = one.parked.swap_remove(at);
            seen.push(match release {
                Release::Drop(reason) => Seen::Dropped(reason),
                Release::Run => self.run(worker, port, &frame),
            });
        }
    }

    /// A burst that the caller has made, run by the first worker. Verdicts are on the packets; what is parked stays so.
    pub fn run_burst(&mut self, burst: &mut [Packet<'_>]) {
        let worker = &mut self.workers[0];
        worker.path.run(self.clock.now(), worker.reader.current(), &mut worker.counts, burst);
    }

    fn run(&mut self, worker: usize, port: PortId, frame: &[u8]) -> Seen {
        let worker = &mut self.workers[worker];
        let first = frame.len().min(CHUNK - HEADROOM);
        let mut room = vec![0xee; CHUNK];
        room[HEADROOM..HEADROOM + first].copy_from_slice(&frame[..first]);
        let mut packet = Packet::new(&mut room, HEADROOM, first, frame.len(), port);
        let before = worker.counts.clone();
        worker.path.run(
            self.clock.now(),
            worker.reader.current(),
            &mut worker.counts,
            std::slice::from_mut(&mut packet),
        );
        let after = &worker.counts;
        assert!(after.is_balanced(), "{after:?}");
        let mut left = packet.head().to_vec();
        if packet.total_len() > packet.head_len() {
            left.extend_from_slice(&frame[first..]);
        }
        match packet.verdict() {
            Verdict::Drop(reason) => Seen::Dropped(reason),
            Verdict::Park { slot } => {
                worker.parked.push((slot, port, frame.to_vec()));
                Seen::Parked
            }
            Verdict::Forward { port, checksum } => {
                let reason = DropReason::ALL.iter().find(|reason| after.dropped(**reason) > before.dropped(**reason));
                let reason = reason.copied();
                if after.punted > before.punted {
                    // Padding behind the IP packet is no part of it.
                    assert!(port == HOST_PORT && punted(frame).starts_with(&left), "a packet is punted as it came");
                    let whole = parse::parse(&left, left.len()).is_ok_and(|it| it.ip_len as usize + 14 <= left.len());
                    assert!(whole || left.len() == frame.len(), "a packet is punted whole");
                    return Seen::Punted;
                }
                let (to, frame) = self.read(port, checksum, left).unwrap_or_else(|error| panic!("what left {error}"));
                match reason {
                    Some(reason) => Seen::Answered { reason, to, frame },
                    None => Seen::Left { to, frame },
                }
            }
        }
    }

    /// Where a frame goes, and the frame without what a tunnel put around it.
    fn read(&self, port: PortId, checksum: Checksum, frame: Vec<u8>) -> Result<(To, Vec<u8>), String> {
        let expect = |destination, source| {
            let found = ethernet::Frame::new_checked(&frame[..]).map_err(|error| error.to_string())?;
            match (found.destination(), found.source()) == (destination, source) {
                true => Ok(()),
                false => Err(format!("goes from {} to {}", found.source(), found.destination())),
            }
        };
        match port {
            HOST_PORT => {
                expect(HOST_MAC, GATEWAY_MAC)?;
                Ok((To::Host, completed(frame, checksum)?))
            }
            PortId(2..10) => self.read_uplink(completed(frame, checksum)?),
            PortId(number) => {
                let pod = usize::from(number - 10);
                expect(mac_of(pod), GATEWAY_MAC)?;
                Ok((To::Pod(pod), completed(frame, checksum)?))
            }
        }
    }

    fn read_uplink(&self, frame: Vec<u8>) -> Result<(To, Vec<u8>), String> {
        let headers = parse::parse(&frame, frame.len()).map_err(|error| error.to_string())?;
        if headers.source_mac != UPLINK_MAC {
            return Err(format!("goes over the uplink from {}", headers.source_mac));
        }
        let (source, destination) = headers.addresses(&frame).ok_or("is not IP")?;
        let peers = 1..self.nodes;
        let is_tunnel = headers.destination_port == tunnel_port(self.encapsulation)
            && headers.protocol == sluice_wire::protocol::UDP
            && self.encapsulation != Encapsulation::None
            && source == node_address(0, true);
        if is_tunnel {
            let peer = peers.clone().find(|&node| node_address(node, true) == destination).ok_or("is for no peer")?;
            if headers.destination_mac != neighbour_mac(destination) {
                return Err(format!("is for {destination} and goes to {}", headers.destination_mac));
            }
            return Ok((To::Peer(peer), self.read_inner(peer, &frame[usize::from(headers.l4_offset) + 8..])?));
        }
        if self.encapsulation == Encapsulation::None
            && let Some(peer) = peers.into_iter().find(|&node| {
                [true, false].iter().any(|&v4| crate::cluster::pod_network(node, v4).contains(&destination))
            })
        {
            let expected = neighbour_mac(node_address(peer, true));
            return match headers.destination_mac == expected {
                true => Ok((To::Peer(peer), frame)),
                false => Err(format!("is for node {peer} and goes to {}", headers.destination_mac)),
            };
        }
        let v4 = destination.is_ipv4();
        let neighbour =
            (1..=255).map(|host| on_link(host, v4)).find(|&it| neighbour_mac(it) == headers.destination_mac);
        Ok((To::Neighbour(neighbour.ok_or("goes to no neighbour")?), frame))
    }

    fn read_inner(&self, peer: usize, tunnel: &[u8]) -> Result<Vec<u8>, String> {
        let header = match self.encapsulation {
            Encapsulation::Geneve => Geneve::ethernet(VNI).bytes(),
            _ => sluice_packets::tunnel::vxlan_header(VNI).to_vec(),
        };
        let inner = tunnel.strip_prefix(&header[..]).ok_or("has a wrong tunnel header")?;
        let frame = ethernet::Frame::new_checked(inner).map_err(|error| error.to_string())?;
        let [theirs, ours] = [peer, 0].map(|node| tunnel_mac(node_address(node, true)));
        match (frame.destination(), frame.source()) == (theirs, ours) {
            true => Ok(inner.to_vec()),
            false => Err(format!("goes inside from {} to {}", frame.source(), frame.destination())),
        }
    }
}

/// A frame with the MACs of its way, in the packet that `tunnelled` makes where its sender is another node.
pub(crate) fn on_its_way(
    encapsulation: Encapsulation,
    from: From,
    source: IpAddr,
    make: impl FnOnce(Ethernet) -> Vec<u8>,
    tunnelled: impl FnOnce(usize, &[u8]) -> Vec<u8>,
) -> Vec<u8> {
    match from {
        From::Pod(pod) => make(Ethernet::new(mac_of(pod), GATEWAY_MAC)),
        From::Host => make(Ethernet::new(HOST_MAC, GATEWAY_MAC)),
        From::Outside => make(Ethernet::new(neighbour_mac(next_hop(source)), UPLINK_MAC)),
        From::Peer(node) if encapsulation == Encapsulation::None => {
            make(Ethernet::new(neighbour_mac(node_address(node, true)), UPLINK_MAC))
        }
        From::Peer(node) => {
            let [theirs, ours] = [node, 0].map(|node| tunnel_mac(node_address(node, true)));
            tunnelled(node, &make(Ethernet::new(theirs, ours)))
        }
    }
}

/// What the host gets of a packet that is punted: the same, from its device to its device.
fn punted(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[..6].copy_from_slice(&HOST_MAC.octets());
    frame[6..12].copy_from_slice(&HOST_MAC.octets());
    frame
}
