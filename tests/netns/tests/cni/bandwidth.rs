//! Pods that may receive or send only so much: what passes by the bytes and the kernel's clock, what is dropped by the counters.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::SIGKILL;
use serde_json::{Value, json};
use sluice_netns::wait_for;

use crate::node::{Node, Pod, ping};
use crate::runtime::Call;

/// A limit of each direction that lets some fifty datagrams through at once, and then one a second.
const SLOW: u64 = 8000;
const SLOW_BURST: u64 = 400_000;
/// Bytes in a datagram, headers not counted.
const DATAGRAM: usize = 1000;
/// Datagrams that are sent before it is waited for them: few enough for every queue on their way.
const BLOCK: usize = 20;
/// Datagrams of a whole flood.
const FLOOD: usize = 200;

/// As containerd writes it: Go names, and a direction without a limit as two zeros.
fn asked(ingress: (u64, u64), egress: (u64, u64)) -> Value {
    json!({"bandwidth": {"IngressRate": ingress.0, "IngressBurst": ingress.1, "EgressRate": egress.0, "EgressBurst": egress.1}})
}

fn call(node: &Node, verb: &'static str, pod: &Pod, asked: &Value) -> Call {
    Call::new(node, verb).about(pod, "eth0").with("runtimeConfig", asked.clone())
}

/// The pod's addresses, and the whole result.
fn add(node: &Node, pod: &Pod, asked: &Value) -> (Vec<IpAddr>, Value) {
    let told = call(node, "ADD", pod, asked).done();
    let ips = told["ips"].as_array().expect("a list").iter();
    let address = |ip: &Value| ip["address"].as_str()?.split('/').next()?.parse().ok();
    (ips.map(|ip| address(ip).expect("an address")).collect(), told)
}

/// A counter of a pod's port.
fn counted(node: &Node, pod: &Pod, counter: &str) -> u64 {
    let (status, name) = (node.status(), format!("default/{}", pod.container));
    let ports = status["ports"].as_array().expect("a list");
    let port = ports.iter().find(|port| port["pod"] == name.as_str()).expect("it has a port");
    port["counters"][counter].as_u64().expect("a counter")
}

/// What one pod's row of the attachments says of its limits.
fn told(node: &Node, pod: &Pod) -> Value {
    let status = node.status();
    let all = status["attachments"].as_array().expect("a list");
    all.iter().find(|it| it["containerId"] == pod.container.as_str()).expect("attached")["bandwidth"].clone()
}

/// Sends datagrams to a pod in blocks, each once it is known what became of the one before; returns how many arrived.
fn flood(node: &Node, from: &Pod, to: &Pod, address: IpAddr, count: usize) -> usize {
    assert!(ping(&from.netns, address), "so that the way is known before");
    let server = to.netns.run(|| UdpSocket::bind((address, 0))).expect("entered").expect("the address is the pod's");
    server.set_nonblocking(true).expect("possible");
    let there = server.local_addr().expect("bound");
    let any: IpAddr = if address.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let client = from.netns.run(|| UdpSocket::bind((any, 0))).expect("entered").expect("free");
    let mut bytes = [0; DATAGRAM];
    let mut arrived = || std::iter::from_fn(|| server.recv(&mut bytes).ok()).count();
    let before = dropped_between(node, from, to);
    let mut received = 0;
    for sent in (BLOCK..=count).step_by(BLOCK) {
        for _ in 0..BLOCK {
            client.send_to(&[7; DATAGRAM], there).expect("it has a route");
        }
        wait_for("every datagram to be received or counted as dropped", || {
            received += arrived();
            (received as u64 + dropped_between(node, from, to) - before >= sent as u64).then_some(())
        })
        .expect("none is lost");
    }
    received
}

/// Packets dropped because of the one's limit to send, and of the other's to receive.
fn dropped_between(node: &Node, from: &Pod, to: &Pod) -> u64 {
    counted(node, from, "bandwidth_egress") + counted(node, to, "bandwidth_ingress")
}

/// Bits that may have passed since `began` at `rate`, twice over, and one super-frame.
fn allowed(rate: u64, burst: u64, began: Instant) -> f64 {
    2.0 * (rate as f64 * began.elapsed().as_secs_f64() + burst as f64 + 8.0 * 70_000.0)
}

#[test]
fn floods_stay_within_a_pods_limits_and_every_packet_over_them_is_counted() {
    let node = Node::ready();
    let (free, other) = (Pod::new("free"), Pod::new("other"));
    let (frees, others) = (node.add(&free), node.add(&other));
    for family in [0, 1] {
        let (receives, sends) = (Pod::new(&format!("receives-{family}")), Pod::new(&format!("sends-{family}")));
        let began = Instant::now();
        let (addresses, _) = add(&node, &receives, &asked((SLOW, SLOW_BURST), (0, 0)));
        add(&node, &sends, &asked((0, 0), (SLOW, SLOW_BURST)));
        let passed = [
            flood(&node, &free, &receives, addresses[family], FLOOD),
            flood(&node, &sends, &free, frees[family], FLOOD),
        ];
        for datagrams in passed {
            let bits = (datagrams * (DATAGRAM + 42) * 8) as f64;
            assert!(datagrams > 0 && bits <= allowed(SLOW, SLOW_BURST, began), "{datagrams} datagrams");
        }
        assert!(counted(&node, &receives, "bandwidth_ingress") > 0 && counted(&node, &sends, "bandwidth_egress") > 0);
        // Both are still over their limits now. Their other directions, and pods beside them, are not.
        assert_eq!(flood(&node, &free, &other, others[family], FLOOD), FLOOD, "a pod without limits");
        for (pod, counter) in [(&free, "bandwidth_egress"), (&free, "bandwidth_ingress"), (&other, "bandwidth_ingress")]
        {
            assert_eq!(counted(&node, pod, counter), 0, "{counter}");
        }
        let crossed = [("bandwidth_egress", &receives), ("bandwidth_ingress", &sends)];
        assert!(crossed.iter().all(|(counter, pod)| counted(&node, pod, counter) == 0));
    }
    is_conserved(&node);
    let metrics = node.get("/metrics").1;
    let line = |start: &str| metrics.lines().any(|line| line.starts_with(start) && !line.ends_with(" 0"));
    assert!(
        line("sluice_drops_total{reason=\"bandwidth_ingress\"")
            && line("sluice_drops_total{reason=\"bandwidth_egress\"")
    );
    assert!(metrics.lines().any(|line| {
        line.starts_with("sluice_port_bandwidth_egress_total") && line.contains("sends-0") && !line.ends_with(" 0")
    }));
}

/// What all ports received has gone through the path or was dropped before for want of allowance.
fn is_conserved(node: &Node) {
    let balanced = || {
        let status = node.status();
        let ports = status["ports"].as_array()?;
        let received: u64 = ports.iter().filter_map(|port| port["counters"]["rx_packets"].as_u64()).sum();
        let dropped = |reason: &str| status["drops"][reason].as_u64().unwrap_or(0);
        let of_ports = |counter: &str| ports.iter().filter_map(|port| port["counters"][counter].as_u64()).sum::<u64>();
        let same = ["bandwidth_egress", "bandwidth_ingress"].iter().all(|name| of_ports(name) == dropped(name));
        (same && received == status["path"]["received"].as_u64()? + dropped("bandwidth_egress")).then_some(())
    };
    wait_for("what was received to be accounted for", balanced).expect("it is");
}

/// Sends bytes over TCP and checks them; returns how long that took by the kernel's clock.
fn transfer(from: &Pod, to: &Pod, address: IpAddr, bytes: usize) -> Duration {
    let patience = Duration::from_secs(60);
    let listener =
        to.netns.run(|| TcpListener::bind((address, 0))).expect("entered").expect("the address is the pod's");
    let there = listener.local_addr().expect("bound");
    let began = Instant::now();
    let client = from.netns.run(|| TcpStream::connect_timeout(&there, patience)).expect("entered");
    let mut client = client.expect("it listens");
    let (mut server, _) = listener.accept().expect("it connected");
    server.set_read_timeout(Some(patience)).expect("possible");
    client.set_write_timeout(Some(patience)).expect("possible");
    let sent: Vec<u8> = (0..bytes).map(|at| (at % 253) as u8).collect();
    let expected = sent.clone();
    let sender = std::thread::spawn(move || client.write_all(&sent));
    let mut received = Vec::with_capacity(bytes);
    server.read_to_end(&mut received).expect("it comes");
    sender.join().expect("it does not panic").expect("it is sent");
    assert!(received == expected, "{} of {bytes} bytes, or other ones", received.len());
    began.elapsed()
}

#[test]
fn tcp_gets_through_a_limit_and_not_faster_than_that_allows() {
    const RATE: u64 = 20_000_000;
    const BYTES: usize = 10_000_000;
    let node = Node::ready();
    let (free, limited) = (Pod::new("free"), Pod::new("limited"));
    let frees = node.add(&free);
    // containerd's burst, for the annotations name a rate alone: taken as a second of that.
    let unsaid = u64::from(u32::MAX);
    let (addresses, _) = add(&node, &limited, &asked((RATE, unsaid), (RATE, unsaid)));
    let limit = json!({"bitsPerSecond": RATE, "burstBits": RATE});
    assert_eq!(told(&node, &limited), json!({"ingress": limit, "egress": limit}));
    for (from, to, address) in [(&free, &limited, addresses[0]), (&limited, &free, frees[1])] {
        let took = transfer(from, to, address, BYTES);
        let bits = (BYTES * 8) as f64;
        // Without retransmissions and headers, which the limit counts too; a super-frame may be on credit.
        let most = RATE as f64 * took.as_secs_f64() + RATE as f64 + 8.0 * 70_000.0;
        assert!(bits <= most * 1.05, "{bits} bits in {took:?}");
        println!(
            "{address}: {:.1} of {} Mbit/s, the burst not counted",
            (bits - RATE as f64) / took.as_secs_f64() / 1e6,
            RATE / 1_000_000
        );
    }
    assert!(counted(&node, &limited, "bandwidth_ingress") > 0 && counted(&node, &limited, "bandwidth_egress") > 0);
    is_conserved(&node);
}

#[test]
fn limits_outlive_the_daemon_are_checked_and_end_with_the_pod() {
    let mut node = Node::ready();
    let (free, pod) = (Pod::new("free"), Pod::new("pod"));
    node.add(&free);
    let wanted = asked((SLOW, SLOW_BURST), (SLOW, SLOW_BURST));
    let (addresses, result) = add(&node, &pod, &wanted);
    let limit = json!({"bitsPerSecond": SLOW, "burstBits": SLOW_BURST});
    let limits = json!({"ingress": limit, "egress": limit});
    assert_eq!((told(&node, &pod), told(&node, &free)), (limits.clone(), Value::Null));
    node.end(SIGKILL);
    node.start(&[]);
    assert_eq!(told(&node, &pod), limits);
    let passed = flood(&node, &free, &pod, addresses[0], FLOOD);
    assert!((1..FLOOD).contains(&passed), "{passed} of {FLOOD}");
    let check = |asked: &Value| call(&node, "CHECK", &pod, asked).with("prevResult", result.clone());
    check(&wanted).done();
    check(&json!({})).done();
    let refused = check(&asked((SLOW, SLOW_BURST), (0, 0))).refused();
    assert!(refused.code == 105 && refused.msg.contains("bandwidth"), "{refused}");
    node.del("pod", &pod.netns.path());
    let addresses = node.add(&pod);
    assert_eq!(told(&node, &pod), Value::Null);
    assert_eq!(flood(&node, &free, &pod, addresses[0], FLOOD), FLOOD, "its limits went with it");
}

#[test]
fn what_is_no_limit_is_refused_and_the_smallest_one_lets_a_super_frame_through() {
    let node = Node::ready();
    let (free, pod) = (Pod::new("free"), Pod::new("pod"));
    let frees = node.add(&free);
    for (rate, burst) in [(0, 1), (1, 0)] {
        let refused = call(&node, "ADD", &pod, &asked((rate, burst), (0, 0))).refused();
        assert!(refused.code == 7 && refused.msg.contains("burst"), "{refused}");
    }
    // A quarter of a second's worth, half of the longest super-frame.
    const RATE: u64 = 1_000_000;
    let (addresses, _) = add(&node, &pod, &asked((RATE, 1), (RATE, 1)));
    assert_eq!(told(&node, &pod)["ingress"], json!({"bitsPerSecond": RATE, "burstBits": RATE / 4}));
    let took = [transfer(&free, &pod, addresses[0], 1 << 16), transfer(&pod, &free, frees[1], 1 << 16)];
    println!("{took:?} for half a megabit each, over one a second");
}
