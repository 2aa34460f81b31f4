//! The node's device towards other nodes and the outside: its sockets, its program, and what the kernel knows of the way
//! out by it.
//!
//! The device stays the kernel's. The program takes what the tables claim, once they are published; packets that are sent
//! by the switch leave by its sockets.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use ipnet::IpNet;
use rustix::event::{PollFd, PollFlags, poll};
use sluice_ebpf::UplinkAttachment;
use sluice_host::{Link, LinkIndex, Monitor, Netlink, UnderlayFacts, UnderlayHop, reserved_ports};
use sluice_model::UplinkPort;
use sluice_tables::{Claims, Hop, MIN_PATH_MTU, NextHop, PortId, Underlay, UnderlayBuilder};
use sluice_wire::MacAddr;
use tracing::{error, info, warn};

use crate::agent::Agent;
use crate::config::Network;
use crate::dataplane::{Dataplane, UplinkBinding};
use crate::generations::Surroundings;
use crate::readiness::Condition;

/// The first port of the uplink's queues: behind those of pods.
const FIRST_PORT: u16 = sluice_ebpf::MAX_PORTS as u16;

/// The least time between two readings of what the kernel says: all of it is read each time, and many neighbours may change at
/// once. The first change after a quiet time is read at once.
const LEAST: Duration = Duration::from_millis(10);

/// How often it is asked whether to stop, when nothing happens.
const LOOK: Duration = Duration::from_millis(200);

/// Between two tries at what the kernel did not take.
const RETRY: Duration = Duration::from_secs(1);

/// The device, bound.
pub(crate) struct Uplink {
    /// Its name.
    pub(crate) name: String,
    link: LinkIndex,
    mtu: u16,
    ports: Vec<PortId>,
    program: sluice_ebpf::Uplink,
    attachment: Mutex<Option<UplinkAttachment>>,
    /// Ports of Services that the node's own connections are kept from, and stay so until it is started anew.
    reserved: Mutex<BTreeSet<u16>>,
    /// Not all is taken that is claimed.
    behind: AtomicBool,
}

/// Looks the device up.
///
/// # Errors
/// When it is not there or cannot be an uplink; the remedy is named.
pub(crate) fn find(netlink: &mut Netlink, name: &str) -> anyhow::Result<Link> {
    let link = netlink
        .find_link(name)?
        .ok_or_else(|| anyhow!("uplink.device {name}: there is no such device; name one of `ip link`"))?;
    ensure!(link.mac.is_some_and(|mac| mac != MacAddr([0; 6])), "uplink.device {name}: it is no Ethernet device");
    ensure!(
        link.mtu >= u32::from(MIN_PATH_MTU),
        "uplink.device {name}: its MTU of {} is below {MIN_PATH_MTU}; raise it",
        link.mtu
    );
    Ok(link)
}

impl Uplink {
    /// Binds a socket to every queue and attaches the program, which takes nothing yet. The masquerade ports are reserved
    /// before: from now on the node's own connections must not have them.
    pub(crate) fn open(link: &Link, network: &Network, dataplane: &Dataplane) -> anyhow::Result<Self> {
        let name = link.name.clone();
        let (first, last) = network.masquerade_ports;
        let reserved = reserved_ports::reserve(first, last).context("reserving masquerade.ports")?;
        if reserved.overlaps {
            let (low, high) = reserved.host_range;
            warn!(
                "masquerade.ports {first}-{last} were the node's own until now (its range is {low}-{high}): connections that it has there get no answers; other ports or a restart of the node end that"
            );
        }
        let program = sluice_ebpf::Uplink::load()?;
        let mac = link.mac.unwrap_or_default();
        let attachment = program.attach(link.index.0, mac, sluice_ebpf::XdpMode::Generic)?;
        let mut uplink = Self {
            name,
            link: link.index,
            mtu: u16::try_from(link.mtu).unwrap_or(u16::MAX),
            ports: Vec::new(),
            program,
            attachment: Mutex::new(None),
            reserved: Mutex::default(),
            behind: AtomicBool::new(false),
        };
        let queues = link.rx_queues.clamp(1, sluice_ebpf::MAX_QUEUES);
        if link.rx_queues > queues {
            warn!(
                device = uplink.name,
                served = queues,
                all = link.rx_queues,
                "the uplink has more queues than are served"
            );
        }
        let bound = (0..queues).try_for_each(|queue| {
            let id = PortId(FIRST_PORT + u16::try_from(queue).unwrap_or(0));
            let binding = UplinkBinding { id, link: link.index, queue };
            match dataplane.add_uplink_port(binding, |socket| uplink.program.register(&attachment, queue, socket)) {
                Ok(()) => uplink.ports.push(id),
                // The kernel tells how many queues a device may have; not all need be in use, and those that are come first.
                Err(error) if queue > 0 => {
                    info!(device = uplink.name, queue, %error, "a queue of the uplink is not served; it is taken to be out of use");
                    return ControlFlow::Break(Ok(()));
                }
                Err(error) => return ControlFlow::Break(Err(anyhow::Error::from(error))),
            }
            ControlFlow::Continue(())
        });
        let bound = bound.break_value().unwrap_or(Ok(()));
        if let Err(error) = bound {
            uplink.program.detach(attachment);
            uplink.ports.iter().for_each(|port| drop(dataplane.remove_port(*port)));
            return Err(error.context(format!("uplink.device {}", uplink.name)));
        }
        *uplink.attachment() = Some(attachment);
        Ok(uplink)
    }

    /// The queues as the tables know them.
    fn ports(&self, facts: &UnderlayFacts, dataplane: &Dataplane) -> Vec<UplinkPort> {
        let path_mtu = u16::try_from(facts.mtu).unwrap_or(u16::MAX);
        let port = |id: &PortId| UplinkPort {
            port: *id,
            worker: dataplane.worker_for(*id),
            mac: facts.mac,
            path_mtu,
            max_l3_len: u32::from(path_mtu),
        };
        self.ports.iter().map(port).collect()
    }

    /// Takes what `claims` say from now on: those of the generation published last. Returns whether all of it is taken.
    pub(crate) fn claim(&self, claims: &Claims) -> bool {
        self.reserve(claims);
        let taken = self.program.claim(claims);
        let was_behind = self.behind.swap(taken.is_err(), Ordering::Relaxed);
        match &taken {
            Ok(()) if was_behind => info!(device = self.name, "what the uplink takes is as the tables say again"),
            Err(error) if !was_behind => {
                error!(%error, device = self.name, "what the uplink takes is not as the tables say");
            }
            _ => {}
        }
        taken.is_ok()
    }

    /// Whether something is not taken that the last [`Uplink::claim`] asked for.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// Whether a port is one of its queues'.
    pub(crate) fn has_port(&self, id: PortId) -> bool {
        self.ports.contains(&id)
    }

    /// Keeps the node's own connections from ports that are claimed: their answers would be taken.
    fn reserve(&self, claims: &Claims) {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        for claimed in &claims.ports {
            if !reserved.insert(claimed.port) {
                continue;
            }
            if let Err(error) = reserved_ports::reserve(claimed.port, claimed.port) {
                warn!(%error, port = claimed.port, "a connection of the node itself may get this port, which is a Service's");
            }
        }
    }

    /// What the program counted, by name.
    pub(crate) fn counters(&self) -> Vec<(&'static str, u64)> {
        self.program.counters().map(|counters| counters.list().to_vec()).unwrap_or_default()
    }

    /// Leaves every packet to the kernel again.
    pub(crate) fn let_go(&self) {
        if let Some(attachment) = self.attachment().take() {
            self.program.detach(attachment);
        }
    }

    fn follow_mac(&self, mac: MacAddr) {
        if let Some(attachment) = &*self.attachment()
            && let Err(error) = self.program.set_mac(attachment, mac)
        {
            error!(%error, device = self.name, "the uplink's program does not know its new address");
        }
    }

    fn attachment(&self) -> std::sync::MutexGuard<'_, Option<UplinkAttachment>> {
        self.attachment.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the kernel says of the node now.
pub(crate) fn surroundings(agent: &Agent, netlink: &mut Netlink) -> Result<Surroundings, sluice_host::Error> {
    let addresses = netlink.addresses()?.into_iter().filter(|address| !address.tentative);
    let mut addresses: Vec<IpAddr> = addresses.map(|address| address.net.addr()).filter(is_reachable).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let Some(uplink) = &agent.uplink else { return Ok(Surroundings { addresses, ..Surroundings::default() }) };
    // Not by our own routes into the host port: those are for the node's programs, and lead here again.
    let facts = netlink.underlay_without(uplink.link, &[], Some(agent.host_port.stack_end))?;
    let uplinks = uplink.ports(&facts, &agent.dataplane);
    let mut routers: Vec<IpAddr> = facts.routes.iter().filter_map(|route| router(route.hop)).collect();
    routers.sort_unstable();
    routers.dedup();
    let mut links: Vec<IpNet> = facts.addresses.iter().map(IpNet::trunc).collect();
    links.sort_unstable();
    links.dedup();
    let answers_return = agent.detour.answers_return();
    Ok(Surroundings { addresses, uplinks, underlay: Arc::new(underlay(&facts)), routers, links, answers_return })
}

fn is_reachable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}

fn router(hop: UnderlayHop) -> Option<IpAddr> {
    match hop {
        UnderlayHop::Via(router) => Some(router),
        UnderlayHop::OnLink | UnderlayHop::Elsewhere => None,
    }
}

fn underlay(facts: &UnderlayFacts) -> Underlay {
    let hop = |hop: UnderlayHop| match hop {
        UnderlayHop::OnLink => Hop::OnLink,
        UnderlayHop::Via(router) => Hop::Via(router),
        UnderlayHop::Elsewhere => Hop::Elsewhere,
    };
    // A seed that stays, so that two states can be compared.
    let builder = UnderlayBuilder::new(0);
    let builder = facts.routes.iter().fold(builder, |builder, route| builder.route(route.destination, hop(route.hop)));
    facts.neighbours.iter().fold(builder, |builder, (address, mac)| builder.neighbour(*address, *mac)).build()
}

/// Follows the kernel's addresses, routes and neighbours until it is dropped.
pub(crate) struct Following {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Following {
    /// Starts to follow.
    ///
    /// # Errors
    /// When the kernel gives no subscription or thread.
    pub(crate) fn start(agent: Arc<Agent>) -> anyhow::Result<Self> {
        let monitor = Monitor::open().context("following the kernel's routes and neighbours")?;
        let netlink = Netlink::open()?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let follow =
            move || Follower { agent, monitor, netlink, kept: Vec::new(), mac: None, answers_return: true }.run(&told);
        let thread = Builder::new().name("underlay".into()).spawn(follow).context("following the kernel's routes")?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic has been printed.
            let _ = thread.join();
        }
    }
}

struct Follower {
    agent: Arc<Agent>,
    monitor: Monitor,
    netlink: Netlink,
    /// Neighbours that the kernel was asked to keep resolved.
    kept: Vec<IpAddr>,
    mac: Option<MacAddr>,
    /// What was taken over of whether the answers of the node's own endpoints come back.
    answers_return: bool,
}

impl Follower {
    fn run(mut self, stop: &AtomicBool) {
        let mut changed = true;
        let mut due = Instant::now();
        let mut again = due + RETRY;
        while !stop.load(Ordering::Relaxed) {
            if changed && Instant::now() >= due {
                self.follow_uplink();
                due = Instant::now() + LEAST;
                changed = false;
            }
            self.resolve();
            if Instant::now() >= again {
                self.agent.follow_again();
                again = Instant::now() + RETRY;
            }
            // By that, or by a publication since.
            changed |= self.agent.detour.answers_return() != self.answers_return;
            self.sleep(if changed { LEAST } else { LOOK });
            changed |= match self.monitor.changes() {
                Ok(changes) => !changes.is_empty() && self.concerns(&changes),
                Err(error) => {
                    warn!(%error, "changes of the kernel's routes and neighbours may be missed");
                    std::thread::sleep(Duration::from_secs(1));
                    true
                }
            };
        }
    }

    /// Until the kernel tells of a change, a packet waits for a neighbour, or it is time to look whether to stop.
    fn sleep(&self, limit: Duration) {
        let limit = rustix::event::Timespec { tv_sec: 0, tv_nsec: limit.subsec_nanos().into() };
        let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let monitor = readable(self.monitor.as_fd());
        let failed = match self.agent.dataplane.wanted().bell() {
            Some(bell) => poll(&mut [monitor, readable(bell)], Some(&limit)).is_err(),
            None => poll(&mut [monitor], Some(&limit)).is_err(),
        };
        if failed {
            std::thread::sleep(LOOK);
        }
    }

    fn concerns(&self, changes: &sluice_host::Changes) -> bool {
        let uplink = self.agent.uplink.as_ref();
        // A route by another device takes its part out of those by the uplink.
        let routes = !changes.routes.is_empty() && uplink.is_some();
        routes
            || !changes.addresses.is_empty()
            || changes.lost
            || uplink.is_some_and(|uplink| changes.concern(uplink.link))
    }

    /// Takes over what has changed. A device that is gone took sockets and program along, and only a new process binds the one that
    /// comes in its place.
    fn follow_uplink(&mut self) {
        let Err(error) = self.take_over() else { return self.agent.readiness.met(Condition::Uplink) };
        warn!(%error, "what the kernel says of the way out cannot be read; what it said before stays in force");
        if let Some(uplink) = &self.agent.uplink {
            let reason = format!("uplink {}: {error}; restart sluiced when it is there", uplink.name);
            self.agent.readiness.unmet_because(Condition::Uplink, reason);
        }
    }

    /// Publishes tables of what has changed.
    fn take_over(&mut self) -> anyhow::Result<()> {
        let surroundings = surroundings(&self.agent, &mut self.netlink)?;
        self.answers_return = surroundings.answers_return;
        let mac = surroundings.uplinks.first().map(|port| port.mac);
        if let (Some(uplink), Some(mac)) = (&self.agent.uplink, mac)
            && self.mac.replace(mac) != Some(mac)
        {
            uplink.follow_mac(mac);
        }
        if self.agent.generations.set_surroundings(surroundings) {
            if self.agent.generations.decisions().is_none() {
                // Its routes may have gone with an address or a device.
                *self.agent.host_port_has() = None;
            }
            self.agent.wake.notify_one();
        }
        Ok(())
    }

    /// Has the kernel keep the neighbours by which other nodes and the outside are reached, so that no packet finds them missing,
    /// and find those that packets wait for.
    fn resolve(&mut self) {
        let Some(uplink) = &self.agent.uplink else { return };
        let underlay = self.agent.dataplane.underlay();
        for host in self.agent.generations.hosts_beyond() {
            let NextHop::Missing(hop) = underlay.next_hop(host) else { continue };
            if !self.kept.contains(&hop) {
                match self.netlink.keep_neighbour(uplink.link, hop) {
                    Ok(_) => self.kept.push(hop),
                    Err(error) => warn!(%error, neighbour = %hop, "a neighbour cannot be resolved"),
                }
            }
        }
        for wanted in self.agent.dataplane.wanted().take() {
            if let Err(error) = self.netlink.resolve_neighbour(uplink.link, wanted) {
                warn!(%error, neighbour = %wanted, "a neighbour cannot be resolved");
            }
        }
    }
}

/// Says what is in use.
pub(crate) fn log(uplink: &Uplink, network: &Network, pod_mtu: u16) {
    info!(
        device = uplink.name,
        queues = uplink.ports.len(),
        mtu = uplink.mtu,
        pod_mtu,
        encapsulation = ?network.encapsulation,
        "the uplink is bound"
    );
}
