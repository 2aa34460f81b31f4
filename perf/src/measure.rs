//! One measure on one path: starts the generators, waits for their results.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;
use sluice_host::Netns;
use sluice_lab::Stop;

use crate::generators::calls::Calls;
use crate::generators::connections::Connections;
use crate::generators::ping::{Pinged, is_link_local};
use crate::generators::pingpong::{Echoed, Latency};
use crate::generators::tcp::Transfer;
use crate::generators::udp::{Received, Sent};
use crate::peers::{Family, Path};
use crate::worker::Worker;

/// What a result may take beyond the time that is measured.
const SLACK: Duration = Duration::from_secs(10);

/// Pings before a path that is just made must answer.
const REACH_PINGS: u32 = 5;

/// Bytes of the smallest frame.
const SMALLEST_FRAME: u32 = 64;

/// Bytes of a UDP packet's frame that are not its payload: Ethernet 14, IP, UDP 8, check sequence 4.
fn headers(family: Family) -> u32 {
    match family {
        Family::V4 => 14 + 20 + 8 + 4,
        Family::V6 => 14 + 40 + 8 + 4,
    }
}

/// How measures are made: on which core, until when.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    /// Core of what pings.
    pub(crate) core: usize,
    /// Raised to give up.
    pub(crate) stop: Stop,
}

/// From the client of a path to its server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way<'p> {
    pub(crate) path: &'p Path,
    /// The IP version.
    pub(crate) family: Family,
    /// The Service that the client addresses, and the port that it leads to.
    pub(crate) service: Option<(SocketAddr, u16)>,
}

impl<'p> Way<'p> {
    /// To the server itself.
    pub(crate) fn straight(path: &'p Path, family: Family) -> Self {
        Self { path, family, service: None }
    }

    /// Where the server listens; 0 lets the kernel choose.
    fn port(&self) -> u16 {
        self.service.map_or(0, |(_, port)| port)
    }

    /// Where the client sends to, for a server that listens there.
    fn target(&self, listening: SocketAddr) -> SocketAddr {
        self.service.map_or(listening, |(frontend, _)| frontend)
    }
}

/// One UDP run.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UdpRun {
    /// Packets a second asked for; 0 for as many as the sender can.
    pub(crate) asked: u64,
    /// Packets a second sent.
    pub(crate) offered: f64,
    /// Packets a second received.
    pub(crate) received: f64,
    /// Packets sent.
    pub(crate) sent_packets: u64,
    /// Packets received.
    pub(crate) received_packets: u64,
    /// Packets lost on the path.
    pub(crate) lost: u64,
    /// Packets that reached the pod and found the socket full.
    pub(crate) socket_drops: u64,
    /// Packets that came after later ones of their flow.
    pub(crate) reordered: u64,
    /// Packets that had come before.
    pub(crate) duplicated: u64,
    /// Packets that are not as they were sent.
    pub(crate) corrupted: u64,
    /// From when packets were due until they were received.
    pub(crate) latency: Latency,
}

impl UdpRun {
    fn of(asked: u64, sent: &Sent, received: &Received) -> Self {
        let missing = sent.packets.saturating_sub(received.packets);
        let rate = |packets: u64, seconds: f64| if seconds > 0.0 { packets as f64 / seconds } else { 0.0 };
        Self {
            asked,
            offered: rate(sent.packets, sent.seconds),
            received: rate(received.packets, received.seconds),
            sent_packets: sent.packets,
            received_packets: received.packets,
            lost: missing.saturating_sub(received.socket_drops),
            socket_drops: received.socket_drops.min(missing),
            reordered: received.reordered,
            duplicated: received.duplicated,
            corrupted: received.corrupted,
            latency: received.latency,
        }
    }

    /// Percent of the packets sent that were lost on the path.
    pub(crate) fn loss_percent(&self) -> f64 {
        if self.sent_packets == 0 { 0.0 } else { self.lost as f64 * 100.0 / self.sent_packets as f64 }
    }

    /// True when nothing was lost, neither on the path nor at the socket.
    pub(crate) fn is_lossless(&self) -> bool {
        self.lost == 0 && self.socket_drops == 0
    }

    /// True when the sender kept the rate asked for.
    pub(crate) fn kept_rate(&self) -> bool {
        self.asked == 0 || self.offered > 0.97 * self.asked as f64
    }
}

impl Bench {
    /// One TCP flow from client to server, as the server saw it.
    pub(crate) fn tcp(&self, path: &Path, family: Family, millis: u64) -> Result<Transfer> {
        Ok(self.tcp_over(&Way::straight(path, family), millis)?.1)
    }

    /// One TCP flow, as both ends saw it: client, server.
    pub(crate) fn tcp_over(&self, way: &Way<'_>, millis: u64) -> Result<(Transfer, Transfer)> {
        let (mut sink, to) = self.server(way, "tcp-sink")?;
        let millis_text = millis.to_string();
        let mut source = self.client(way.path, &["tcp-source", "--to", &to, "--millis", &millis_text])?;
        let bound = Duration::from_millis(millis) + SLACK;
        Ok((source.answer(bound)?, sink.answer(bound)?))
    }

    /// Half round trips of 64 bytes over TCP.
    pub(crate) fn latency(&self, path: &Path, family: Family, millis: u64) -> Result<Latency> {
        self.latency_over(&Way::straight(path, family), millis)
    }

    /// The same, over a Service too.
    pub(crate) fn latency_over(&self, way: &Way<'_>, millis: u64) -> Result<Latency> {
        let (mut echo, to) = self.server(way, "echo")?;
        let millis_text = millis.to_string();
        let mut client = self.client(way.path, &["pingpong", "--to", &to, "--millis", &millis_text])?;
        let bound = Duration::from_millis(millis) + SLACK;
        let latency = client.answer(bound)?;
        echo.answer::<Echoed>(bound)?;
        Ok(latency)
    }

    /// The smallest UDP packets over IPv4 at `rate` a second; 0 for as many as the sender can.
    pub(crate) fn udp(&self, path: &Path, rate: u64, millis: u64) -> Result<UdpRun> {
        self.udp_over(&Way::straight(path, Family::V4), rate, SMALLEST_FRAME, millis)
    }

    /// UDP packets that make frames of `size` bytes, check sequence included; a family's smallest where they would be smaller.
    pub(crate) fn udp_over(&self, way: &Way<'_>, rate: u64, size: u32, millis: u64) -> Result<UdpRun> {
        self.udp_flows_over(way, 1, rate, size, millis)
    }

    /// The same from so many sockets in turn.
    pub(crate) fn udp_flows_over(
        &self,
        way: &Way<'_>,
        flows: u32,
        rate: u64,
        size: u32,
        millis: u64,
    ) -> Result<UdpRun> {
        let (mut sink, to) = self.server(way, "udp-sink")?;
        let payload = size.saturating_sub(headers(way.family)).to_string();
        let (rate_text, millis_text, flows) = (rate.to_string(), millis.to_string(), flows.to_string());
        let role = ["udp-source", "--to", &to, "--rate", &rate_text, "--millis", &millis_text, "--payload", &payload];
        let role = [&role[..], &["--flows", &flows]].concat();
        let bound = Duration::from_millis(millis) + SLACK;
        let sent: Sent = self.client(way.path, &role)?.answer(bound)?;
        sink.no_more();
        let received: Received = sink.answer(bound)?;
        Ok(UdpRun::of(rate, &sent, &received))
    }

    /// TCP connections, opened, answered and closed: so many a second, or 0 for as many as 16 callers do.
    pub(crate) fn connections_over(&self, way: &Way<'_>, rate: u64, millis: u64) -> Result<Connections> {
        let (server, to) = self.server(way, "accept")?;
        let (rate, millis_text) = (rate.to_string(), millis.to_string());
        let role = ["connect", "--to", &to, "--rate", &rate, "--millis", &millis_text];
        let connections = self.client(way.path, &role)?.answer(Duration::from_millis(millis) + SLACK);
        drop(server);
        connections
    }

    /// Pings `to` from a namespace; a link-local IPv6 address is looked for on `interface`.
    pub(crate) fn ping(&self, from: &Netns, interface: &str, to: IpAddr, count: u32) -> Result<Pinged> {
        let (to_text, count_text) = (to.to_string(), count.to_string());
        let mut role = vec!["ping", "--to", &to_text, "--count", &count_text];
        if to.is_ipv6() && is_link_local(to) {
            role.extend(["--on", interface]);
        }
        let bound = Duration::from_secs(u64::from(count)) + SLACK;
        Worker::spawn(from, self.core, &role, &self.stop)?.answer(bound)
    }

    /// Calls a server from a namespace: `count` TCP connections, each given up after `patience` milliseconds.
    pub(crate) fn call(&self, from: &Netns, to: SocketAddr, count: u32, patience: u64) -> Result<Calls> {
        let (to, count_text, patience_text) = (to.to_string(), count.to_string(), patience.to_string());
        let role = ["call", "--to", &to, "--count", &count_text, "--patience", &patience_text];
        let bound = Duration::from_millis(u64::from(count) * patience) + SLACK;
        Worker::spawn(from, self.core, &role, &self.stop)?.answer(bound)
    }

    /// Starts a server that answers on these addresses with its name, and waits until it listens.
    pub(crate) fn answer(&self, at: &Netns, name: &str, addresses: &[IpAddr], port: u16) -> Result<Worker> {
        let port = port.to_string();
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let mut role = vec!["answer", "--name", name, "--port", &port];
        role.extend(addresses.iter().flat_map(|address| ["--listen", address]));
        let mut server = Worker::spawn(at, self.core, &role, &self.stop)?;
        server.ready()?;
        Ok(server)
    }

    /// Waits until the server's addresses answer.
    pub(crate) fn await_path(&self, path: &Path) -> Result<()> {
        for to in [path.server_v4, path.server_v6] {
            let pinged = self.ping(&path.client, path.interface, to, REACH_PINGS)?;
            if pinged.answered == 0 {
                bail!("{}: {to} does not answer ping, so there is nothing to measure", path.kind.name());
            }
        }
        Ok(())
    }

    /// A server on a way that answers each connection, and where to call it.
    pub(crate) fn answer_over(&self, way: &Way<'_>) -> Result<(Worker, SocketAddr)> {
        let (listen, port) = (way.path.server_address(way.family).to_string(), way.port().to_string());
        let role = ["answer", "--name", "server", "--port", &port, "--listen", &listen];
        let mut server = Worker::spawn(&way.path.server, way.path.cores.server, &role, &self.stop)?;
        let to = way.target(server.ready()?.listening);
        Ok((server, to))
    }

    /// A server that listens, and where the client finds it.
    fn server(&self, way: &Way<'_>, role: &str) -> Result<(Worker, String)> {
        let (listen, port) = (way.path.server_address(way.family).to_string(), way.port().to_string());
        let role = [role, "--listen", &listen, "--port", &port];
        let mut server = Worker::spawn(&way.path.server, way.path.cores.server, &role, &self.stop)?;
        let to = way.target(server.ready()?.listening).to_string();
        Ok((server, to))
    }

    fn client(&self, path: &Path, role: &[&str]) -> Result<Worker> {
        Worker::spawn(&path.client, path.cores.client, role, &self.stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(sent: u64, received: u64, socket_drops: u64) -> UdpRun {
        let sent = Sent { packets: sent, refused: 0, seconds: 2.0 };
        UdpRun::of(500, &sent, &Received { packets: received, seconds: 2.0, socket_drops, ..Received::default() })
    }

    #[test]
    fn what_the_socket_lost_is_not_the_path_s_loss() {
        let udp = run(1000, 900, 60);
        assert_eq!((udp.lost, udp.socket_drops), (40, 60));
        assert!((udp.loss_percent() - 4.0).abs() < 1e-9);
        assert!(!udp.is_lossless());
    }

    #[test]
    fn a_slow_sender_is_told_from_a_lossy_path() {
        let fine = run(1000, 1000, 0);
        assert!(fine.is_lossless() && fine.kept_rate());
        let slow = run(900, 900, 0);
        assert!(slow.is_lossless() && !slow.kept_rate());
        assert!(!run(1000, 999, 1).is_lossless());
        // Drops of someone else's socket are not ours.
        assert_eq!(run(1000, 1000, 7).socket_drops, 0);
    }
}
