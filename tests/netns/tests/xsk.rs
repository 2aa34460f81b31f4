//! AF_XDP sockets and the XDP program on real veths: what the kernel promises and what it does not.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sluice_ebpf::{Program, XdpMode};
use sluice_host::{AddressSpec, LinkChange, LinkIndex, VethEnd};
use sluice_netns::{Namespace, wait_for};
use sluice_xsk::{BindConfig, BindError, Burst, HugePages, Pool, Port, Umem, UmemConfig};

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// How long a queue may be held by a socket that has been closed.
const PATIENCE: Duration = Duration::from_secs(20);

fn umem() -> Arc<Umem> {
    Umem::new(UmemConfig { frames: 2048, huge_pages: HugePages::Off }).unwrap()
}

/// A veth from `node` into `pod`, both ends up, with addresses at both ends.
fn cable(node: &Namespace, pod: &Namespace, name: &str) -> LinkIndex {
    let mut netlink = node.netlink();
    let far = VethEnd { netns: Some(pod), ..VethEnd::named("eth0") };
    let near = netlink.create_veth(&VethEnd::named(name), &far).unwrap().near;
    let mut inside = pod.netlink();
    let far = inside.link_by_name("eth0").unwrap().index;
    let spec = |address: Ipv4Addr| AddressSpec::with_prefix_route(format!("{address}/24").parse().unwrap());
    netlink.set_link(near, &LinkChange::up()).unwrap();
    inside.set_link(far, &LinkChange::up()).unwrap();
    netlink.add_address(near, &spec(NEAR)).unwrap();
    inside.add_address(far, &spec(FAR)).unwrap();
    near
}

fn bind(node: &Namespace, umem: &Arc<Umem>, link: LinkIndex, patience: Duration) -> Result<Port, BindError> {
    node.run(|| Port::bind(umem, BindConfig { patience, ..BindConfig::new(link.0, 0) })).unwrap()
}

fn ping(from: &Namespace, to: IpAddr) -> bool {
    from.output(Command::new("ping").args(["-n", "-c", "1", "-W", "1", &to.to_string()])).unwrap().status.success()
}

#[test]
fn the_program_passes_everything_to_the_kernel_where_no_socket_is_bound() {
    let (node, pod) = (Namespace::new("node"), Namespace::new("pod"));
    let link = cable(&node, &pod, "slu1");
    let program = Program::load().unwrap();
    for mode in [XdpMode::Generic, XdpMode::Native] {
        let umem = umem();
        let mut attachment = node.run(|| program.attach(link.0, mode)).unwrap().unwrap();
        assert_eq!(attachment.mode(), mode);
        let answered = || ping(&pod, NEAR.into()).then_some(());
        wait_for("an answer where nothing is registered", answered).unwrap_or_else(|error| panic!("{mode:?}: {error}"));
        let mut port = bind(&node, &umem, link, PATIENCE).unwrap();
        let mut pool = Pool::new(umem.clone(), 256);
        port.refill(&mut pool);
        program.register(&mut attachment, port.socket().unwrap()).unwrap();
        assert!(!ping(&pod, NEAR.into()), "{mode:?}: the socket takes all");
        let mut burst = Burst::new();
        let got = || (port.receive(&mut burst, &mut pool) > 0).then_some(());
        wait_for("the socket to get them", got).unwrap_or_else(|error| panic!("{mode:?}: {error}"));
        burst.segments.drain(..).for_each(|segment| pool.give_segment(segment));
        port.close();
        wait_for("packets to pass again", answered).unwrap();
        program.detach(attachment);
        drop(pool);
        assert_eq!(umem.census().depot, umem.frames() as usize);
    }
}

#[test]
fn the_program_goes_with_the_process_that_attached_it() {
    let (node, pod) = (Namespace::new("node"), Namespace::new("pod"));
    let link = cable(&node, &pod, "slu1");
    let shown = || {
        let output = node.output(Command::new("ip").args(["link", "show", "slu1"])).unwrap();
        String::from_utf8(output.stdout).unwrap().contains("xdp")
    };
    let program = Program::load().unwrap();
    let attachment = node.run(|| program.attach(link.0, XdpMode::Generic)).unwrap().unwrap();
    assert!(shown());
    // What the end of a process does: its descriptors are closed, and nobody detaches anything.
    drop((program, attachment));
    wait_for("the program to be gone", || (!shown()).then_some(())).unwrap();
}

#[test]
fn a_queue_that_is_held_is_waited_for_with_a_bound() {
    let (node, pod) = (Namespace::new("node"), Namespace::new("pod"));
    let link = cable(&node, &pod, "slu1");
    let (first, second) = (umem(), umem());
    let held = bind(&node, &first, link, Duration::ZERO).unwrap();
    let refused = bind(&node, &second, link, Duration::from_millis(20)).unwrap_err().to_string();
    assert!(refused.contains("another AF_XDP socket holds the queue"), "{refused}");
    held.close();
    let port = bind(&node, &second, link, PATIENCE).unwrap();
    port.close();
}

#[test]
fn sockets_share_the_memory_through_an_anchor_that_outlives_their_devices() {
    let node = Namespace::new("node");
    let (host, other) = (Namespace::new("host"), Namespace::new("other"));
    let umem = umem();
    let anchor = bind(&node, &umem, cable(&node, &host, "anchor"), Duration::ZERO).unwrap();
    for round in 0..3 {
        let pod = Namespace::new("pod");
        let link = cable(&node, &pod, "slu1");
        let port = bind(&node, &umem, link, PATIENCE).unwrap();
        // The device goes first, as when a pod's namespace vanishes.
        node.netlink().delete_link(link).unwrap();
        port.close();
        assert_eq!(umem.census().kernel, 0, "round {round}");
    }
    let port = bind(&node, &umem, cable(&node, &other, "slu2"), Duration::ZERO).unwrap();
    assert_eq!(port.features().multi_buffer, anchor.features().multi_buffer);
    port.close();
    anchor.close();
}

#[test]
fn a_quiet_port_costs_less_than_a_megabyte() {
    let (node, pod) = (Namespace::new("node"), Namespace::new("pod"));
    let link = cable(&node, &pod, "slu1");
    let umem = umem();
    let mut port = bind(&node, &umem, link, Duration::ZERO).unwrap();
    let mut pool = Pool::new(umem.clone(), 256);
    port.refill(&mut pool);
    let frames = port.frames_held() as usize * sluice_xsk::CHUNK_SIZE;
    // Fill and completion rings hold 8 bytes an entry, rx and tx rings 16.
    let rings = BindConfig::new(link.0, 0).ring_size as usize * (8 + 8 + 16 + 16);
    assert!(frames + rings < 1 << 20, "{frames} bytes of frames, {rings} of rings");
    port.close();
}

#[test]
fn zero_copy_is_negotiated_down_and_refused_where_it_is_required() {
    use sluice_xsk::CopyMode;
    let (node, pod) = (Namespace::new("node"), Namespace::new("pod"));
    let link = cable(&node, &pod, "slu1");
    let with = |copy_mode| {
        let umem = umem();
        let config = BindConfig { copy_mode, ..BindConfig::new(link.0, 0) };
        node.run(|| Port::bind(&umem, config)).unwrap()
    };
    let port = with(CopyMode::Auto).unwrap();
    assert!(!port.features().zero_copy && port.features().multi_buffer, "{}", port.features());
    port.close();
    let refused = with(CopyMode::ZeroCopy).unwrap_err().to_string();
    assert!(refused.contains("zeroCopy"), "{refused}");
}

#[test]
fn a_device_that_is_down_or_gone_is_not_worth_another_kick() {
    let (node, pod) = (Namespace::new("node"), Namespace::new("pod"));
    let link = cable(&node, &pod, "slu1");
    let umem = umem();
    let mut port = bind(&node, &umem, link, Duration::ZERO).unwrap();
    let send = |port: &mut Port| {
        let segment = sluice_xsk::Segment::new(umem.take().unwrap(), 256, 60).unwrap();
        port.send(std::iter::once(segment), None).unwrap();
        port.kick()
    };
    node.netlink().set_link(link, &LinkChange { up: Some(false), ..LinkChange::default() }).unwrap();
    assert!(!send(&mut port), "down");
    node.netlink().delete_link(link).unwrap();
    assert!(!send(&mut port), "gone");
    assert_eq!(port.statistics().kick_errors, 2);
    assert_eq!(port.close(), 2);
}

#[test]
fn a_descriptor_that_is_not_accepted_is_not_sent_and_its_frame_comes_back() {
    let (node, pod) = (Namespace::new("node"), Namespace::new("pod"));
    let link = cable(&node, &pod, "slu1");
    let umem = umem();
    let mut port = bind(&node, &umem, link, Duration::ZERO).unwrap();
    assert!(port.features().tx_metadata, "this kernel has it");
    for (offset, len) in [(256, 0), (sluice_xsk::TX_METADATA_LEN - 1, 60)] {
        let segment = sluice_xsk::Segment::new(umem.take().unwrap(), offset, len).unwrap();
        assert!(!port.accepts(std::slice::from_ref(&segment)));
        port.send(std::iter::once(segment), None).unwrap();
    }
    let refused = |port: &Port| port.kernel_statistics().unwrap().tx_invalid_descs;
    wait_for("the tx ring to be empty", || (!port.kick()).then_some(())).unwrap();
    assert_eq!(refused(&port), 2);
    let mut pool = Pool::new(umem.clone(), 256);
    // This kernel may complete them. Where it does not, closing gives them back.
    assert_eq!(port.reclaim(&mut pool) + port.close(), 2);
}

#[test]
fn a_full_receiver_answers_busy_and_the_packets_wait_in_the_tx_ring() {
    let (node, pod) = (Namespace::new("node"), Namespace::new("pod"));
    let link = cable(&node, &pod, "slu1");
    node.netlink().set_pfifo(link, 1000).unwrap();
    // With GRO the pod's end has a ring and a NAPI thread of its own, which can be kept from running: here by being full
    // before the softirq gets its turn. Everything arrives in the end, and nothing is lost on the way.
    let mut inside = pod.netlink();
    let far = inside.link_by_name("eth0").unwrap().index;
    sluice_host::offload::set(&mut inside, far, &[(sluice_host::offload::GRO, true)]).unwrap();
    let umem = umem();
    let mut port = bind(&node, &umem, link, Duration::ZERO).unwrap();
    let mut pool = Pool::new(umem.clone(), 256);
    let count = || pod.netlink().link_by_name("eth0").map(|_| received(&pod)).unwrap();
    let before = count();
    let mut sent = 0_u64;
    while sent < 20_000 {
        let Some(mut frame) = pool.take() else {
            port.kick();
            port.reclaim(&mut pool);
            continue;
        };
        umem.chunk_mut(&mut frame)[256..316].fill(0xff);
        let segment = sluice_xsk::Segment::new(frame, 256, 60).unwrap();
        let mut packet = std::iter::once(segment);
        match port.send(packet.by_ref(), None) {
            Ok(()) => sent += 1,
            Err(_) => {
                pool.give_segment(packet.next().unwrap());
                port.kick();
                port.reclaim(&mut pool);
            }
        }
    }
    wait_for("all to leave", || {
        port.kick();
        port.reclaim(&mut pool);
        (!port.is_sending()).then_some(())
    })
    .unwrap();
    wait_for("all to arrive", || (count() - before >= sent).then_some(())).unwrap();
    port.close();
}

/// Packets that `eth0` received.
fn received(pod: &Namespace) -> u64 {
    let output = pod.output(Command::new("ip").args(["-s", "-o", "link", "show", "eth0"])).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let after = text.split("RX:").nth(1).and_then(|rx| rx.split('\\').nth(1)).unwrap_or_default();
    after.split_whitespace().nth(1).and_then(|packets| packets.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}
