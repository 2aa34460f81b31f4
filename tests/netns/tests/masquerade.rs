//! Pods that speak to an outside over the uplink, masqueraded, while the node keeps its own traffic.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};

use sluice_ebpf::XdpMode;
use sluice_netns::Namespace;
use sluice_netns::switched::{Setup, Wired};
use sluice_path::DropReason;

const BYTES: usize = 3_000_000;

/// A connection between two namespaces that carries as much each way; returns the address that the server saw.
fn transfer(client: &Namespace, server: &Namespace, to: IpAddr) -> IpAddr {
    let address = SocketAddr::new(to, 8080);
    let listener = server.run(|| TcpListener::bind(address)).unwrap().unwrap();
    let data: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
    std::thread::scope(|scope| {
        let served = scope.spawn(|| {
            let (mut stream, from) = listener.accept().unwrap();
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            assert!(got == data, "{} of {BYTES} bytes arrived", got.len());
            stream.write_all(&data).unwrap();
            from.ip()
        });
        let mut stream = client.run(|| TcpStream::connect(address)).unwrap().unwrap();
        stream.write_all(&data).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert!(got == data, "{} of {BYTES} bytes came back", got.len());
        served.join().unwrap()
    })
}

#[test]
fn pods_speak_to_the_outside_as_the_node_in_super_frames_here_and_segments_there() {
    for mode in [XdpMode::Generic, XdpMode::Native] {
        let wired = Wired::new(1, Setup::default(), mode);
        for (to, node) in wired.outside_addresses().into_iter().zip(wired.node_addresses()) {
            assert!(wired.switched.ping(0, to), "{mode:?}: {to}");
            let seen = transfer(&wired.switched.pods[0].netns, &wired.outside, to);
            assert_eq!(seen, node, "{mode:?}");
            assert_eq!(transfer(wired.node(), &wired.outside, to), node, "{mode:?}: the node itself");
        }
        let counters = wired.program.counters().unwrap();
        assert!(counters.taken_masquerade > 0 && counters.passed > 0, "{counters:?}");
        let workers = wired.switched.switch().counters();
        assert!(workers.iter().all(|worker| worker.counts.dropped(DropReason::TooBig) == 0), "{mode:?}");
        let looped: Vec<_> = workers.iter().map(|worker| worker.looped).collect();
        assert!(looped.iter().any(|looped| looped.super_frames_cut > 0), "{looped:?}");
    }
}
