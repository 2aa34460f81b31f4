//! Packets made by live frames, sent through a veth pair and counted at its other end.

use std::collections::BTreeSet;
use std::fs;

use rustix::time::{ClockId, clock_gettime};
use sluice_ebpf::traffic::{Counts, Flow, Hook, Injected, Injection, Injector, Sink, Slot, Stamp};
use sluice_host::{LinkChange, VethEnd, offload};
use sluice_netns::{Namespace, wait_for};

/// Packets a second, few enough for a slow machine, and how long.
const RATE: u64 = 20_000;
const NANOS: u64 = 200_000_000;

/// Two namespaces with a cable between them.
struct Cable {
    client: Namespace,
    server: Namespace,
}

impl Cable {
    fn new() -> Self {
        let (client, server) = (Namespace::new("client"), Namespace::new("server"));
        let mut netlink = client.netlink();
        let near = VethEnd::named("eth0");
        let pair = netlink.create_veth(&near, &VethEnd { netns: Some(&server), ..near }).expect("a pair");
        netlink.set_link(pair.near, &LinkChange::up()).expect("up");
        let mut inside = server.netlink();
        inside.set_link(pair.far, &LinkChange::up()).expect("up");
        // The far end's ring, from which a sink behind the driver is fed. Only of a device that is up does veth notice this.
        offload::set(&mut inside, pair.far, &[(offload::GRO, true)]).expect("GRO");
        Self { client, server }
    }

    /// Sends by `order` and gives what was sent, what came, and how many the cable had no room for.
    fn carry(&self, hook: Hook, flows: &[Flow], order: &[Slot], burst: u32) -> (Injected, Counts, u64) {
        let far = self.server.netlink().link_by_name("eth0").expect("a device");
        let count = flows.len() as u32;
        let attach = || Sink::attach(("eth0", far.index.0), hook, 9000..=9001, count);
        let sink = self.server.run(attach).expect("a namespace").expect("a sink");
        let near = self.client.netlink().link_by_name("eth0").expect("a device");
        let (source, destination) = (near.mac.expect("Ethernet"), far.mac.expect("Ethernet"));
        let injection = Injection { device: near.index.0, source, destination, flows, order, burst };
        let send = || {
            let mut injector = Injector::load(&injection)?;
            let start = now();
            injector.run(start, start + NANOS, RATE)
        };
        let before = self.dropped();
        let injected = self.client.run(send).expect("a namespace").expect("it runs");
        let arrived = |counts: Counts| counts.received + counts.corrupted + self.dropped() - before >= injected.sent;
        wait_for("all to arrive", || arrived(sink.counts().expect("a map")).then_some(())).expect("in time");
        let counts = sink.counts().expect("a map");
        let latencies = sink.latencies().expect("a map");
        assert_eq!(latencies.iter().map(|(_, count)| count).sum::<u64>(), counts.received);
        (injected, counts, self.dropped() - before)
    }

    /// What the client's device was given to send and had no room for.
    fn dropped(&self) -> u64 {
        let text = self.client.run(|| fs::read_to_string("/proc/thread-self/net/dev")).expect("a namespace");
        let text = text.expect("counters");
        let device = text.lines().find_map(|line| line.trim().strip_prefix("eth0:")).expect("our device");
        device.split_ascii_whitespace().nth(11).and_then(|count| count.parse().ok()).expect("a number")
    }
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Flows from one host to another, by their source ports.
fn flows(source: &str, destination: &str, count: u16) -> Vec<Flow> {
    let at = |address: &str, port| std::net::SocketAddr::new(address.parse().expect("an address"), port);
    (0..count).map(|number| Flow { source: at(source, 1024 + number), destination: at(destination, 9000) }).collect()
}

fn all_are_told(injected: Injected, counts: Counts, dropped: u64) {
    assert!(injected.sent > 0);
    assert_eq!(injected.sent, counts.received + dropped, "{counts:?}");
    assert_eq!((counts.duplicated, counts.reordered, counts.corrupted), (0, 0, 0), "{injected:?}");
}

#[test]
fn every_injected_packet_is_counted_or_its_loss_is() {
    let cable = Cable::new();
    let ipv4 = flows("192.0.2.1", "192.0.2.2", 3);
    let order: Vec<Slot> = (0..8).map(|place| Slot { flow: place % 3, length: 60 }).collect();
    for (hook, burst) in [(Hook::Native, 1), (Hook::Native, 32), (Hook::Traffic, 8)] {
        let (injected, counts, dropped) = cable.carry(hook, &ipv4, &order, burst);
        all_are_told(injected, counts, dropped);
        assert_eq!(counts.bytes, counts.received * 60, "{hook:?}");
        assert!(counts.first <= counts.last);
    }
}

#[test]
fn packets_of_many_lengths_and_of_ipv6_come_whole() {
    let cable = Cable::new();
    let ipv6 = flows("2001:db8::1", "2001:db8::2", 2);
    let order: Vec<Slot> =
        [80, 1510, 590, 80].into_iter().zip([0, 1, 1, 0]).map(|(length, flow)| Slot { flow, length }).collect();
    for hook in [Hook::Native, Hook::Traffic] {
        let (injected, counts, dropped) = cable.carry(hook, &ipv6, &order, 4);
        all_are_told(injected, counts, dropped);
    }
}

/// The stack itself says whether headers and checksums are right.
#[test]
fn a_socket_takes_what_was_injected() {
    let cable = Cable::new();
    for (namespace, host) in [(&cable.client, 1), (&cable.server, 2)] {
        let mut netlink = namespace.netlink();
        let link = netlink.link_by_name("eth0").expect("a device").index;
        for net in [format!("192.0.2.{host}/24"), format!("2001:db8::{host}/64")] {
            let spec = sluice_host::AddressSpec::with_prefix_route(net.parse().expect("a network"));
            netlink.add_address(link, &spec).expect("an address");
        }
    }
    for (source, destination, length) in [("192.0.2.1", "192.0.2.2", 61), ("2001:db8::1", "2001:db8::2", 99)] {
        let (flows, order) = (flows(source, destination, 1), [Slot { flow: 0, length }]);
        let bind = || std::net::UdpSocket::bind((destination.parse::<std::net::IpAddr>().expect("one"), 9000));
        let bound = wait_for("the address", || cable.server.run(bind).expect("a namespace").ok()).expect("in time");
        bound.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a timeout");
        let near = cable.client.netlink().link_by_name("eth0").expect("a device");
        let far = cable.server.netlink().link_by_name("eth0").expect("a device");
        let (source, destination) = (near.mac.expect("Ethernet"), far.mac.expect("Ethernet"));
        let injection = Injection { device: near.index.0, source, destination, flows: &flows, order: &order, burst: 1 };
        let send = || {
            let mut injector = Injector::load(&injection)?;
            let start = now();
            injector.run(start, start + 50_000_000, 1000)
        };
        let injected = cable.client.run(send).expect("a namespace").expect("it runs");
        let mut payload = [0; 2048];
        let mut seen = BTreeSet::new();
        // The first are enough: a queue may have no room for all.
        while seen.len() < injected.sent.min(10) as usize {
            let received = bound.recv(&mut payload).expect("a packet in time");
            let stamp = Stamp::of(&payload[..received]).expect("a whole stamp");
            assert_eq!(stamp.flow, 0);
            assert!(seen.insert(stamp.sequence), "each comes once");
        }
    }
}
