//! Where a packet has to go first, as the kernel of the sender knows it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sluice_host::{Link, Netlink, Route};
use sluice_wire::MacAddr;

/// How long the next hop may take to answer, and between two looks.
const ANSWER: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How packets leave a device for an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct NextHop {
    /// The sender's address.
    pub(super) source: IpAddr,
    /// The next hop's MAC.
    pub(super) mac: MacAddr,
}

/// Finds the way out of a device of the calling thread's namespace.
pub(super) fn find(netlink: &mut Netlink, link: &Link, to: SocketAddr) -> Result<NextHop> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to).with_context(|| format!("no route to {to}"))?;
    let source = socket.local_addr()?.ip();
    let hop = gateway(&netlink.routes()?, link, to.ip()).unwrap_or(to.ip());
    let start = Instant::now();
    while start.elapsed() < ANSWER {
        let known = netlink.neighbours()?;
        let usable = known.iter().find(|one| one.link == link.index && one.address == hop && one.state.is_usable());
        if let Some(mac) = usable.and_then(|one| one.mac) {
            return Ok(NextHop { source, mac });
        }
        netlink.resolve_neighbour(link.index, hop)?;
        std::thread::sleep(LOOK_AGAIN);
    }
    bail!("{hop}, the next hop to {to}, does not say its MAC on {}", link.name)
}

/// The router on the way, by the longest prefix.
fn gateway(routes: &[Route], link: &Link, to: IpAddr) -> Option<IpAddr> {
    let leads = |route: &&Route| route.link == Some(link.index) && route.destination.contains(&to);
    let best = routes.iter().filter(leads).max_by_key(|route| route.destination.prefix_len());
    best.and_then(|route| route.gateway)
}
