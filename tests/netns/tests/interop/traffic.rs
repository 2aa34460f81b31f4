//! What two hosts exchange, and that all of it arrives as it was sent.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use sluice_host::Netns;
use sluice_netns::wait_for;

/// How long an answer may take. Far more than any needs.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of a TCP transfer.
const BYTES: usize = 2 << 20;
/// Payloads of datagrams: one in a packet, one that fills it, one in three fragments.
const DATAGRAMS: [usize; 3] = [1, 1200, 3000];

/// A pod, or whoever plays one.
#[derive(Default)]
pub(crate) struct Host {
    /// Its namespace.
    pub(crate) netns: Option<Netns>,
    /// Its addresses: IPv4, IPv6.
    pub(crate) addresses: Vec<IpAddr>,
}

impl Host {
    /// What has this namespace and these addresses.
    pub(crate) fn of(netns: &str, addresses: &[&str]) -> Self {
        let netns = Netns::open_named(netns).unwrap_or_else(|error| panic!("{error}"));
        let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        Self { netns: Some(netns), addresses }
    }

    /// Its namespace.
    pub(crate) fn netns(&self) -> &Netns {
        self.netns.as_ref().expect("it is there")
    }

    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.netns().run(work).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Whether echo requests with further arguments of `ping` are all answered.
    pub(crate) fn pings(&self, to: IpAddr, arguments: &[&str]) -> bool {
        let mut ping = Command::new("ping");
        ping.args(["-n", "-q", "-W", "10"]).args(arguments).arg(to.to_string());
        self.netns().output(&mut ping).expect("ping starts").status.success()
    }
}

/// Waits until a packet passes from one to the other and back: neighbours have to be asked for once.
pub(crate) fn meet(one: &Host, other: &Host) {
    for to in &other.addresses {
        let answered = || one.pings(*to, &["-c", "1", "-W", "1"]).then_some(());
        wait_for(&format!("an answer from {to}"), answered).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Ping, TCP, UDP, fragments, and the error for a closed port: both directions, IPv4 and IPv6.
pub(crate) fn exchange(one: &Host, other: &Host) {
    for (from, to) in [(one, other), (other, one)] {
        for (source, address) in from.addresses.iter().zip(&to.addresses) {
            assert!(from.pings(*address, &["-c", "20", "-i", "0.002"]), "ping {source} to {address}");
            assert!(from.pings(*address, &["-c", "3", "-i", "0.002", "-s", "4000"]), "fragments {source} to {address}");
            transfer(from, to, *address);
            datagrams(from, to, (*source, *address));
            closed_port(from, to, *address);
        }
    }
}

/// Sends two megabytes over TCP and compares what arrives.
pub(crate) fn transfer(from: &Host, to: &Host, address: IpAddr) {
    let listener = to.inside(|| TcpListener::bind((address, 0))).expect("the address is the receiver's");
    let there = listener.local_addr().expect("bound");
    let client = from.inside(|| TcpStream::connect_timeout(&there, PATIENCE));
    let mut client = client.unwrap_or_else(|error| panic!("to {there}: {error}"));
    let (mut server, peer) = listener.accept().expect("connected");
    assert!(from.addresses.contains(&peer.ip()), "the server sees {peer}");
    server.set_read_timeout(Some(PATIENCE)).expect("a socket");
    client.set_write_timeout(Some(PATIENCE)).expect("a socket");
    let sent = pattern(BYTES);
    let expected = sent.clone();
    let sender = std::thread::spawn(move || client.write_all(&sent));
    let mut received = Vec::with_capacity(BYTES);
    let (mut room, start) = (vec![0; 1 << 16], Instant::now());
    loop {
        let len = server.read(&mut room).unwrap_or_else(|error| panic!("from {peer} to {there}: {error}"));
        received.extend_from_slice(&room[..len]);
        // What trickles does not work either.
        assert!(start.elapsed() < PATIENCE, "{peer} to {there}: {} of {BYTES} bytes", received.len());
        if len == 0 {
            break;
        }
    }
    sender.join().expect("the sender").expect("sent");
    assert!(received == expected, "{peer} to {there}: {} of {BYTES} bytes, or other ones", received.len());
}

/// Each datagram arrives once, whole, from the sender's own address, and so does the answer.
fn datagrams(from: &Host, to: &Host, (source, address): (IpAddr, IpAddr)) {
    let server = to.inside(|| UdpSocket::bind((address, 0))).expect("the address is the receiver's");
    let client = from.inside(|| UdpSocket::bind((source, 0))).expect("the address is the sender's");
    let there = server.local_addr().expect("bound");
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    }
    let mut room = vec![0; 1 << 16];
    for len in DATAGRAMS {
        let sent = pattern(len);
        from.inside(|| client.send_to(&sent, there)).expect("sent");
        let (received, peer) = server.recv_from(&mut room).unwrap_or_else(|error| panic!("{len} to {there}: {error}"));
        assert_eq!(peer, client.local_addr().expect("bound"));
        assert!(room[..received] == sent, "{len} bytes to {there}");
        server.send_to(&sent, peer).expect("sent");
        let received = client.recv(&mut room).unwrap_or_else(|error| panic!("{len} from {there}: {error}"));
        assert!(room[..received] == sent, "{len} bytes from {there}");
    }
}

/// A client hears that nobody listens: the ICMP error about its datagram comes back.
fn closed_port(from: &Host, to: &Host, address: IpAddr) {
    let closed = to.inside(|| UdpSocket::bind((address, 0))).expect("the address is the receiver's");
    let there = closed.local_addr().expect("bound");
    drop(closed);
    let client = from.inside(|| {
        let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let client = UdpSocket::bind((any, 0))?;
        client.connect(there)?;
        client.send(b"anybody?").map(|_| client)
    });
    let client = client.expect("sent");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let refused = client.recv(&mut [0; 16]).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{there}: {refused}");
}

/// The nodes are routers between the pods: each of these says so when a packet has come too far, in both families.
pub(crate) fn expire(from: &Host, to: &Host, hops: &[&str]) {
    for (hops, address) in hops.iter().flat_map(|hops| to.addresses.iter().map(move |address| (hops, address))) {
        let mut ping = Command::new("ping");
        ping.args(["-n", "-c", "1", "-W", "5", "-t", hops, &address.to_string()]);
        let output = from.netns().output(&mut ping).expect("ping starts");
        let said = String::from_utf8_lossy(&output.stdout);
        let expired = said.contains("Time to live exceeded") || said.contains("Time exceeded: Hop limit");
        assert!(expired, "{hops} hops to {address}: {said}");
    }
}

/// Bytes in which a piece that is lost, doubled or moved shows.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 253) as u8).collect()
}
