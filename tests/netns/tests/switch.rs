//! The switch on real AF_XDP sockets, in every shape that a kernel or a configuration can force on it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use sluice_ebpf::XdpMode;
use sluice_netns::switched::{Setup, Switched};
use sluice_netns::wait_for;
use sluice_tables::PortId;
use sluice_worker::IdlePolicy;
use sluice_xsk::Toggle::Off;
use sluice_xsk::features::Allowed;

const BYTES: usize = 8 << 20;

/// Sends `BYTES` over TCP from pod 0 to pod 1 and checks every byte.
fn transfer(bench: &Switched, to: IpAddr) {
    let listener = bench.pods[1].netns.run(|| TcpListener::bind(SocketAddr::new(to, 0))).unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    let client = bench.pods[0].netns.run(|| TcpStream::connect_timeout(&address, Duration::from_secs(10))).unwrap();
    let mut client = client.unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let sent: Vec<u8> = (0..BYTES).map(|i| (i % 251) as u8).collect();
    let expected = sent.clone();
    let sender = std::thread::spawn(move || client.write_all(&sent));
    let mut received = Vec::with_capacity(BYTES);
    server.read_to_end(&mut received).unwrap();
    sender.join().unwrap().unwrap();
    assert_eq!(received.len(), BYTES);
    assert!(received == expected, "bytes differ");
}

fn talks(setup: Setup) -> Switched {
    let bench = Switched::new(2, setup);
    let (v4, v6) = (bench.pods[1].v4.into(), bench.pods[1].v6.into());
    assert!(bench.ping(0, v4), "no answer over IPv4; {:?}", bench.switch().counters());
    assert!(bench.ping(0, v6), "no answer over IPv6; {:?}", bench.switch().counters());
    transfer(&bench, v4);
    transfer(&bench, v6);
    bench
}

/// Stops the switch and finds every frame in the depot.
fn nothing_is_lost(bench: Switched) {
    let umem = bench.stop();
    let census = umem.census();
    assert_eq!((census.depot, census.kernel, census.user), (umem.frames() as usize, 0, 0));
}

#[test]
fn pods_talk_with_super_frames_and_partial_checksums_in_generic_mode() {
    let bench = talks(Setup::default());
    let features = bench.umem.features();
    assert!(features.multi_buffer && features.tx_metadata, "this kernel has both: {features}");
    let longest = bench.switch().port_counters(PortId(1)).unwrap();
    assert!(longest.rx_bytes / longest.rx_packets > 1514, "no super-frame was seen: {longest:?}");
    assert!(bench.switch().counters().iter().all(|worker| worker.looped.checksums_completed == 0));
    nothing_is_lost(bench);
}

#[test]
fn pods_talk_in_native_mode() {
    nothing_is_lost(talks(Setup { mode: XdpMode::Native, super_frames: false, ..Setup::default() }));
}

#[test]
fn pods_talk_without_multi_buffer_and_without_super_frames() {
    let allowed = Allowed { multi_buffer: Off, ..Allowed::default() };
    let bench = talks(Setup { allowed, super_frames: false, ..Setup::default() });
    assert!(!bench.umem.features().multi_buffer);
    nothing_is_lost(bench);
}

#[test]
fn checksums_are_completed_in_software_without_tx_metadata() {
    let allowed = Allowed { tx_metadata: Off, ..Allowed::default() };
    let bench = talks(Setup { allowed, ..Setup::default() });
    assert!(!bench.umem.features().tx_metadata);
    assert!(bench.switch().counters().iter().any(|worker| worker.looped.checksums_completed > 0));
    nothing_is_lost(bench);
}

#[test]
fn pods_talk_without_tx_budget_and_need_wakeup() {
    let allowed = Allowed { tx_budget: Off, need_wakeup: Off, ..Allowed::default() };
    let bench = talks(Setup { allowed, ..Setup::default() });
    assert!(!bench.umem.features().tx_budget && !bench.umem.features().need_wakeup);
    nothing_is_lost(bench);
}

#[test]
fn pods_of_two_workers_that_share_a_core_talk() {
    let core = Setup::default().cores[0];
    let bench = talks(Setup { cores: vec![core, core], ..Setup::default() });
    let counters = bench.switch().counters();
    assert!(counters.iter().all(|worker| worker.looped.handed_over > 0 && worker.looped.taken_over > 0));
    nothing_is_lost(bench);
}

#[test]
fn two_switches_that_share_a_core_do_not_starve_each_other() {
    let benches = [Switched::new(2, Setup::default()), Switched::new(2, Setup::default())];
    // Both at once, so that each has to get its share of the core while the other is busy; a starved one times out.
    std::thread::scope(|scope| {
        for bench in &benches {
            scope.spawn(|| (0..4).for_each(|_| transfer(bench, bench.pods[1].v4.into())));
        }
    });
    for bench in benches {
        assert!(bench.ping(0, bench.pods[1].v6.into()));
        nothing_is_lost(bench);
    }
}

#[test]
fn a_spinning_worker_serves_its_ports() {
    let bench = talks(Setup { idle: IdlePolicy::Poll, ..Setup::default() });
    assert!(bench.switch().counters().iter().all(|worker| worker.looped.sleeps == 0));
    nothing_is_lost(bench);
}

#[test]
fn an_idle_worker_sleeps_and_wakes_on_traffic() {
    let bench = Switched::new(2, Setup::default());
    let sleeps = || bench.switch().counters()[0].looped.sleeps;
    let before = sleeps();
    wait_for("the worker to sleep", || (sleeps() > before).then_some(())).unwrap();
    assert!(bench.ping(0, bench.pods[1].v4.into()));
    nothing_is_lost(bench);
}

#[test]
fn a_port_removed_under_load_gives_back_every_frame() {
    let bench = Switched::new(2, Setup::default());
    let target = SocketAddr::new(bench.pods[1].v4.into(), 9);
    let socket = bench.pods[0].netns.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = socket.send_to(&[0; 1000], target);
            }
        });
        let received = || bench.switch().port_counters(PortId(1)).unwrap().rx_packets;
        wait_for("traffic", || (received() > 1000).then_some(())).unwrap();
        bench.switch().remove_port(PortId(2)).unwrap();
        wait_for("drops for the missing port", || {
            let counts = &bench.switch().counters()[0].counts;
            (counts.dropped(sluice_path::DropReason::PortNotAttached) > 0).then_some(())
        })
        .unwrap();
        bench.switch().remove_port(PortId(1)).unwrap();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(bench.switch().remove_port(PortId(1)).is_err());
    nothing_is_lost(bench);
}

#[test]
fn a_core_that_does_not_exist_is_refused_by_name() {
    use sluice_worker::{Switch, SwitchConfig};
    let publisher = sluice_tables::Publisher::new(sluice_tables::TablesBuilder::new(0, 0).build().unwrap());
    let config = sluice_xsk::UmemConfig { frames: 64, huge_pages: sluice_xsk::HugePages::Off };
    let umem = sluice_xsk::Umem::new(config).unwrap();
    let config = SwitchConfig {
        cores: vec![4095],
        idle: IdlePolicy::default(),
        path: Default::default(),
        shared: Default::default(),
        join: true,
    };
    let refused = Switch::start(config, umem, &publisher).unwrap_err().to_string();
    assert!(refused.contains("core 4095") && refused.contains("available"), "{refused}");
}

#[test]
fn a_device_that_does_not_exist_is_refused_with_the_reason() {
    let bench = Switched::new(1, Setup::default());
    let config = sluice_xsk::BindConfig::new(9999, 0);
    let refused = sluice_xsk::Port::bind(&bench.umem, config).unwrap_err().to_string();
    assert!(refused.contains("device 9999") && refused.contains("no such device"), "{refused}");
    let program = sluice_ebpf::Program::load().unwrap();
    let refused = program.attach(9999, XdpMode::Generic).unwrap_err().to_string();
    assert!(refused.contains("device 9999"), "{refused}");
}
