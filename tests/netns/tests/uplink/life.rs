//! The node's own traffic, and the uplink without the switch.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sluice_ebpf::{EbpfError, MAX_QUEUES, MAX_UPLINKS, Uplink, XdpMode};
use sluice_netns::wait_for;
use sluice_packets::fragment;
use sluice_tables::{ClaimedPort, Claims};

use crate::wire::{MASQUERADE_PORT, NODE, NODE_MAC, NODE_PORT, NODE6, Switch, TUNNEL_PORT, VIP, Wire, claims, v4};

/// A connection to the node's own server, such as SSH, carries data both ways.
fn node_serves(wire: &Wire) {
    for address in [SocketAddr::new(NODE.into(), 22), SocketAddr::new(NODE6.into(), 22)] {
        let listener = wire.node.run(|| TcpListener::bind(address)).unwrap().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut bytes = vec![0; 100_000];
                stream.read_exact(&mut bytes).unwrap();
                stream.write_all(&bytes).unwrap();
            });
            let mut stream = wire.outside.run(|| TcpStream::connect(address)).unwrap().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(&[7; 100_000]).unwrap();
            let mut bytes = vec![0; 100_000];
            stream.read_exact(&mut bytes).unwrap();
            assert!(bytes.iter().all(|byte| *byte == 7));
        });
    }
    wait_for("the node to answer", || wire.ping().then_some(())).unwrap();
}

/// A server of the node on a port that may be claimed.
fn server(wire: &Wire, port: u16) -> UdpSocket {
    let socket = wire.node.run(|| UdpSocket::bind((NODE, port))).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

/// Tries until a datagram reaches a server that it is to reach.
const ANY: u32 = 100;
/// Tries that are all in vain where it is to reach none.
const NONE: u32 = 2;

/// Whether a datagram from the outside reaches it. What is answered with silence is asked a few times. Those of an earlier call,
/// which may be late, are told by their number.
fn reaches(wire: &Wire, socket: &UdpSocket, tries: u32) -> bool {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed).to_ne_bytes();
    let port = socket.local_addr().unwrap().port();
    let client = wire.outside.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    let mut bytes = [0; 9];
    (0..tries).any(|_| {
        client.send_to(&call, (NODE, port)).unwrap();
        std::iter::from_fn(|| socket.recv(&mut bytes).ok().map(|len| bytes[..len] == call)).any(|is_ours| is_ours)
    })
}

/// Waits until the socket of the switch has got as many packets.
fn await_received(switch: &mut Switch, count: usize) {
    let mut received = 0;
    wait_for("the switch's packets", || {
        received += switch.received().len();
        (received >= count).then_some(())
    })
    .unwrap();
}

#[test]
fn the_node_keeps_its_own_traffic_while_claimed_ports_go_to_the_switch() {
    for mode in [XdpMode::Generic, XdpMode::Native] {
        let wire = Wire::new();
        let servers = [NODE_PORT, TUNNEL_PORT, MASQUERADE_PORT].map(|port| server(&wire, port));
        assert!(servers.iter().all(|server| reaches(&wire, server, ANY)), "nothing is claimed");
        let mut switch = wire.switch(mode);
        assert_eq!(switch.attachment.mode(), mode);
        assert!(servers.iter().all(|server| reaches(&wire, server, ANY)), "{mode:?}: nothing is claimed yet");
        node_serves(&wire);
        switch.program.claim(&claims()).unwrap();
        assert!(servers.iter().all(|server| !reaches(&wire, server, NONE)), "{mode:?}");
        await_received(&mut switch, 6);
        node_serves(&wire);
        assert!(switch.counters().passed > 0);
    }
}

#[test]
fn without_the_switch_the_uplink_works_as_if_it_had_never_been_there() {
    for mode in [XdpMode::Generic, XdpMode::Native] {
        let wire = Wire::new();
        let servers = [NODE_PORT, TUNNEL_PORT, MASQUERADE_PORT].map(|port| server(&wire, port));
        let switch = wire.switch(mode);
        switch.program.claim(&claims()).unwrap();
        assert!(!reaches(&wire, &servers[0], NONE));
        // The socket goes first: the program stays, and passes everything.
        let (program, attachment) = (switch.program, switch.attachment);
        switch.ends.port.close();
        assert!(servers.iter().all(|server| reaches(&wire, server, ANY)), "{mode:?}: without a socket");
        assert!(program.counters().unwrap().passed_no_socket >= 3);
        node_serves(&wire);
        // What the end of a process does: its descriptors are closed, and nobody detaches anything.
        drop((program, attachment));
        wait_for("the program to be gone", || (!carries_a_program(&wire)).then_some(())).unwrap();
        assert!(servers.iter().all(|server| reaches(&wire, server, ANY)), "{mode:?}: without a program");
        node_serves(&wire);
    }
}

fn carries_a_program(wire: &Wire) -> bool {
    let output = wire.node.output(Command::new("ip").args(["link", "show", "eth0"])).unwrap();
    String::from_utf8(output.stdout).unwrap().contains("xdp")
}

/// Names the device to a process that plays an agent.
const DEVICE: &str = "SLUICE_TEST_UPLINK";

/// Not a test of its own: the process that [`a_killed_switch_leaves_nothing_on_the_uplink`] starts.
#[test]
fn a_switch_that_waits_to_be_killed() {
    let Ok(device) = std::env::var(DEVICE) else { return };
    let ifindex = device.parse().unwrap();
    let umem = sluice_xsk::UmemConfig { frames: 1024, huge_pages: sluice_xsk::HugePages::Off };
    let umem = sluice_xsk::Umem::new(umem).unwrap();
    let mut port = sluice_xsk::Port::bind(&umem, sluice_xsk::BindConfig::new(ifindex, 0)).unwrap();
    port.refill(&mut sluice_xsk::Pool::new(umem, 256));
    let program = Uplink::load().unwrap();
    let attachment = program.attach(ifindex, NODE_MAC, XdpMode::Generic).unwrap();
    program.register(&attachment, 0, port.socket().unwrap()).unwrap();
    program.claim(&claims()).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_switch_leaves_nothing_on_the_uplink() {
    let wire = Wire::new();
    let server = server(&wire, NODE_PORT);
    let mut switch = Command::new(std::env::current_exe().unwrap());
    switch.args(["--exact", "life::a_switch_that_waits_to_be_killed"]).env(DEVICE, wire.uplink.0.to_string());
    let mut switch = wire.node.spawn(switch.stdout(Stdio::null())).unwrap();
    wait_for("the program to be there", || carries_a_program(&wire).then_some(())).unwrap();
    wait_for("the switch to take the port", || (!reaches(&wire, &server, NONE)).then_some(())).unwrap();
    node_serves(&wire);
    switch.kill().unwrap();
    assert_eq!(switch.wait().unwrap().signal(), Some(9));
    wait_for("the program to be gone", || (!carries_a_program(&wire)).then_some(())).unwrap();
    assert!(reaches(&wire, &server, ANY));
    node_serves(&wire);
}

#[test]
fn claims_come_and_go_by_their_difference() {
    let wire = Wire::new();
    let mut switch = wire.switch(XdpMode::Generic);
    let [node_port, tunnel, masquerade] = [NODE_PORT, TUNNEL_PORT, MASQUERADE_PORT].map(|port| server(&wire, port));
    let is_taken = |server: &UdpSocket, taken: bool| !reaches(&wire, server, if taken { NONE } else { ANY });
    let only_ports = Claims { tunnel: None, masquerade: None, networks: vec![], ..claims() };
    let only_tunnel = Claims { tunnel: claims().tunnel, icmp_errors: true, ..Claims::default() };
    let moved = Claims { ports: vec![ClaimedPort { protocol: 17, port: MASQUERADE_PORT }], ..only_ports.clone() };
    for (claimed, expected) in [
        (&claims(), [true, true, true]),
        (&claims(), [true, true, true]),
        (&only_ports, [true, false, false]),
        (&moved, [false, false, true]),
        (&only_tunnel, [false, true, false]),
        (&Claims::default(), [false, false, false]),
        (&claims(), [true, true, true]),
    ] {
        switch.program.claim(claimed).unwrap();
        let servers = [&node_port, &tunnel, &masquerade].into_iter().zip(expected);
        let found: Vec<bool> = servers.map(|(server, taken)| is_taken(server, taken)).collect();
        assert_eq!(found, expected, "{claimed:?}");
    }
    switch.received();
    wire.send(&v4(VIP).udp(1, 2, b"x"));
    wait_for("the VIP's packet", || (!switch.received().is_empty()).then_some(())).unwrap();
}

#[test]
fn a_claim_that_finds_no_room_is_told_and_the_rest_holds() {
    let wire = Wire::new();
    let switch = wire.switch(XdpMode::Generic);
    let many = (0..2000_u32).map(|number| std::net::Ipv4Addr::from(0x0b00_0000 + number).into());
    let too_many = Claims { node_addresses: many.chain([NODE.into()]).collect(), ..claims() };
    let error = switch.program.claim(&too_many).unwrap_err();
    assert!(matches!(error, EbpfError::Claim { .. }) && error.to_string().contains("11.0."), "{error}");
    let server = server(&wire, TUNNEL_PORT);
    assert!(!reaches(&wire, &server, NONE), "the tunnel is claimed all the same");
    switch.program.claim(&claims()).unwrap();
    switch.program.claim(&Claims::default()).unwrap();
    assert!(reaches(&wire, &server, ANY));
}

#[test]
fn fragments_for_the_node_itself_arrive_whole_when_the_switch_claims_none() {
    let wire = Wire::new();
    let switch = wire.switch(XdpMode::Generic);
    switch.program.claim(&Claims { fragments: false, ..claims() }).unwrap();
    let server = server(&wire, 5353);
    let mut bytes = [0; 5000];
    wait_for("the datagram", || {
        for piece in fragment::split(&v4(NODE).dont_fragment(false).udp(40_000, 5353, &[7; 4000]), 1500, 5) {
            wire.send(&piece);
        }
        server.recv(&mut bytes).ok().filter(|len| *len == 4000)
    })
    .unwrap();
}

#[test]
fn a_device_or_queue_that_cannot_be_is_refused_by_name_and_costs_no_place() {
    let wire = Wire::new();
    let program = Uplink::load().unwrap();
    for _ in 0..MAX_UPLINKS + 1 {
        let refused = wire.node.run(|| program.attach(9999, NODE_MAC, XdpMode::Auto)).unwrap().unwrap_err();
        assert!(refused.to_string().contains("device 9999"), "{refused}");
    }
    let switch = wire.switch(XdpMode::Auto);
    assert_eq!(switch.attachment.mode(), XdpMode::Native, "veth has it");
    let socket = switch.ends.port.socket().unwrap();
    let refused = switch.program.register(&switch.attachment, MAX_QUEUES, socket).unwrap_err().to_string();
    assert!(refused.contains("queue 64") && refused.contains("ethtool -L"), "{refused}");
    let twice = wire.node.run(|| program.attach(wire.uplink.0, NODE_MAC, XdpMode::Generic)).unwrap().unwrap_err();
    assert!(twice.to_string().contains("no other XDP program"), "{twice}");
}

#[test]
fn packets_for_a_mac_that_the_uplink_had_before_pass() {
    let wire = Wire::new();
    let server = server(&wire, NODE_PORT);
    let switch = wire.switch(XdpMode::Generic);
    switch.program.claim(&claims()).unwrap();
    switch.program.set_mac(&switch.attachment, sluice_wire::MacAddr([2, 0, 0, 0, 0, 9])).unwrap();
    assert!(reaches(&wire, &server, ANY));
    switch.program.set_mac(&switch.attachment, NODE_MAC).unwrap();
    assert!(!reaches(&wire, &server, NONE));
    let (program, attachment) = (switch.program, switch.attachment);
    program.detach(attachment);
    assert!(!carries_a_program(&wire));
}

#[test]
fn each_queue_of_an_uplink_has_a_socket_of_its_own() {
    use crate::wire::{OUTSIDE_MAC, bind};
    let (node, outside) = (sluice_netns::Namespace::new("node"), sluice_netns::Namespace::new("outside"));
    let (queues, far) = ("numtxqueues 2 numrxqueues 2", outside.name());
    let line = format!(
        "ip link add eth0 {queues} address {NODE_MAC} type veth peer name eth0 {queues} address {OUTSIDE_MAC} netns {far}"
    );
    for (netns, line) in [(&node, line.as_str()), (&node, "ip link set eth0 up"), (&outside, "ip link set eth0 up")] {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        assert!(netns.output(command.args(words)).unwrap().status.success(), "{line}");
    }
    let uplink = node.netlink().link_by_name("eth0").unwrap();
    let link = outside.netlink().link_by_name("eth0").unwrap().index;
    assert_eq!(uplink.rx_queues, 2);
    let program = Uplink::load().unwrap();
    // Native: a veth's other end tells the queue to its driver, and not to what comes after it.
    let attachment = node.run(|| program.attach(uplink.index.0, NODE_MAC, XdpMode::Native)).unwrap().unwrap();
    program.claim(&claims()).unwrap();
    let mut sockets = [0, 1].map(|queue| bind(&node, uplink.index, queue, false));
    for (queue, socket) in (0..).zip(&mut sockets) {
        socket.port.refill(&mut socket.pool);
        program.register(&attachment, queue, socket.port.socket().unwrap()).unwrap();
    }
    for queue in [0, 1] {
        let mut sender = bind(&outside, link, queue, true);
        let frame = v4(VIP).udp(queue as u16, 53, b"x");
        let at = queue as usize;
        // While the wire comes up packets may be lost.
        wait_for("the packet on its queue", || {
            sender.send(&frame, 3500);
            sockets[at].received().contains(&frame).then_some(())
        })
        .unwrap();
        assert!(sockets[1 - at].received().is_empty(), "queue {queue}");
    }
}
