//! A switch without an agent: real AF_XDP ports on real veths, tables made by hand.

mod wired;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use sluice_ebpf::{Attachment, Program, XdpMode};
use sluice_host::{AddressSpec, LinkChange, LinkIndex, Route, Scope, VethEnd, offload};
use sluice_tables::{GATEWAY_IPV4, GATEWAY_IPV6, Port, PortId, PortKind, Publisher, TablesBuilder, WorkerId};
use sluice_wire::MacAddr;
use sluice_worker::{IdlePolicy, Switch, SwitchConfig};
use sluice_xsk::{BindConfig, HugePages, Umem, UmemConfig, features::Allowed};

use crate::{Namespace, wait_for};
pub use wired::Wired;

/// MTU of the way between pods.
const PATH_MTU: u16 = 1500;
/// Frames of the packet memory.
const FRAMES: u32 = 8192;

/// What a test varies.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where the XDP program runs.
    pub mode: XdpMode,
    /// Whether TCP super-frames pass between pods.
    pub super_frames: bool,
    /// Features that may be used.
    pub allowed: Allowed,
    /// Cores of the workers.
    pub cores: Vec<usize>,
    /// What idle workers do.
    pub idle: IdlePolicy,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            mode: XdpMode::Generic,
            super_frames: true,
            allowed: Allowed::default(),
            cores: vec![last_core()],
            idle: IdlePolicy::default(),
        }
    }
}

fn last_core() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) - 1
}

/// A pod: a namespace behind a port of the switch.
#[derive(Debug)]
pub struct Pod {
    /// Its namespace.
    pub netns: Namespace,
    /// Its port.
    pub port: PortId,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
    /// The MAC of its device.
    pub mac: MacAddr,
}

/// A running switch with its pods; everything is gone when dropped.
pub struct Switched {
    /// The pods, in order of their ports from 1.
    pub pods: Vec<Pod>,
    /// The workers.
    pub switch: Option<Switch>,
    /// The packet memory.
    pub umem: Arc<Umem>,
    program: Program,
    attachments: Vec<Attachment>,
    setup: Setup,
    publisher: Publisher,
    node: Namespace,
}

impl Switched {
    /// A switch with `pods` pods.
    ///
    /// # Panics
    /// When the kernel refuses anything.
    pub fn new(pods: u16, setup: Setup) -> Switched {
        let node = Namespace::new("node");
        let publisher = Publisher::new(TablesBuilder::new(0, 0).build().expect("empty tables are valid"));
        let umem = Umem::new(UmemConfig { frames: FRAMES, huge_pages: HugePages::Auto }).expect("packet memory");
        let config = SwitchConfig {
            cores: setup.cores.clone(),
            idle: setup.idle,
            path: Default::default(),
            shared: Default::default(),
            join: true,
        };
        let switch = Switch::start(config, umem.clone(), &publisher).expect("workers");
        let program = Program::load().expect("the XDP program");
        let mut switched = Switched {
            pods: Vec::new(),
            switch: Some(switch),
            umem,
            program,
            attachments: Vec::new(),
            setup,
            publisher,
            node,
        };
        for number in 1..=pods {
            switched.add_pod(number);
        }
        switched.publish();
        switched
    }

    /// The workers.
    ///
    /// # Panics
    /// After they were stopped.
    pub fn switch(&self) -> &Switch {
        self.switch.as_ref().expect("the switch runs")
    }

    fn add_pod(&mut self, number: u16) {
        let octet = number as u8 + 1;
        let pod = Pod {
            netns: Namespace::new(&format!("pod{number}")),
            port: PortId(number),
            v4: Ipv4Addr::new(10, 244, 1, octet),
            v6: Ipv6Addr::new(0xfd00, 0x10, 0x244, 1, 0, 0, 0, u16::from(octet)),
            mac: MacAddr([2, 0, 10, 244, 1, octet]),
        };
        let near = self.make_link(&pod);
        let Setup { mode, allowed, .. } = self.setup;
        let bound = self.node.run(|| {
            let mut attachment = self.program.attach(near.0, mode).expect("attach");
            let config = BindConfig { allowed, generic: mode == XdpMode::Generic, ..BindConfig::new(near.0, 0) };
            let port = sluice_xsk::Port::bind(&self.umem, config).expect("bind");
            self.program.register(&mut attachment, port.socket().expect("a kernel socket")).expect("register");
            (attachment, port)
        });
        let (attachment, port) = bound.expect("the node's namespace");
        self.switch().add_port(pod.port, port).expect("add_port");
        self.attachments.push(attachment);
        self.pods.push(pod);
    }

    fn make_link(&self, pod: &Pod) -> LinkIndex {
        let mut node = self.node.netlink();
        let mtu = Some(if self.setup.super_frames { 65000 } else { u32::from(PATH_MTU) });
        let gso_max_size = self.setup.super_frames.then_some(60000);
        let name = format!("slu{}", pod.port.0);
        let end = |name| VethEnd { mtu, gso_max_size, gso_ipv4_max_size: gso_max_size, ..VethEnd::named(name) };
        let far = VethEnd { mac: Some(pod.mac), netns: Some(&pod.netns), ..end("eth0") };
        let near = node.create_veth(&end(&name), &far).expect("veth").near;
        node.set_pfifo(near, 1000).expect("pfifo");
        node.set_link(near, &LinkChange::up()).expect("up");
        self.configure_pod(pod);
        near
    }

    fn configure_pod(&self, pod: &Pod) {
        let mut inside = pod.netns.netlink();
        let link = inside.link_by_name("eth0").expect("eth0").index;
        let mut features = vec![(offload::TX_UDP_SEGMENTATION, false), (offload::TX_CHECKSUM_SCTP, false)];
        if !self.setup.super_frames {
            features.extend(offload::TCP_SEGMENTATION.map(|feature| (feature, false)));
        }
        offload::set(&mut inside, link, &features).expect("offloads");
        inside.set_link(link, &LinkChange::up()).expect("up");
        for address in [IpAddr::from(pod.v4), pod.v6.into()] {
            inside.add_address(link, &AddressSpec::new(IpNet::from(address))).expect("address");
        }
        let (mtu, link) = (Some(u32::from(PATH_MTU)), Some(link));
        let gateway = Route { link, scope: Some(Scope::Link), ..Route::to(IpNet::from(IpAddr::from(GATEWAY_IPV4))) };
        inside.add_route(&gateway).expect("gateway");
        let v4 = Route { link, gateway: Some(GATEWAY_IPV4.into()), mtu, advmss: Some(1460), ..Route::default_v4() };
        inside.add_route(&v4).expect("v4 route");
        let v6 = Route { link, gateway: Some(GATEWAY_IPV6.into()), mtu, advmss: Some(1440), ..Route::default_v6() };
        inside.add_route(&v6).expect("v6 route");
    }

    fn publish(&self) {
        self.publisher.publish(self.tables(1).build().expect("valid tables"));
    }

    /// The pods.
    fn tables(&self, generation: u64) -> TablesBuilder {
        let mut tables = TablesBuilder::new(generation, 7)
            .pod_cidr("10.244.1.0/24".parse().expect("a CIDR"))
            .pod_cidr("fd00:10:244:1::/64".parse().expect("a CIDR"));
        for pod in &self.pods {
            tables = tables.port(Port {
                id: pod.port,
                kind: PortKind::Pod,
                worker: self.worker_for(pod.port),
                mac: pod.mac,
                addresses: vec![pod.v4.into(), pod.v6.into()],
                path_mtu: PATH_MTU,
                max_l3_len: if self.setup.super_frames { 65000 } else { u32::from(PATH_MTU) },
            });
        }
        tables
    }

    fn worker_for(&self, id: PortId) -> WorkerId {
        self.switch().worker_for(id)
    }

    /// Whether a ping from one pod to an address is answered. While the workers learn of the tables and links come up some are
    /// lost.
    pub fn ping(&self, from: usize, to: IpAddr) -> bool {
        let one = || {
            let mut ping = std::process::Command::new("ping");
            ping.args(["-n", "-c", "1", "-W", "2", &to.to_string()]);
            let output = self.pods[from].netns.output(&mut ping).expect("ping runs");
            output.status.success().then_some(())
        };
        wait_for("an answer", one).is_ok()
    }

    /// Stops the workers and gives all frames back; returns the packet memory to count them.
    ///
    /// # Panics
    /// When a worker does not stop.
    pub fn stop(mut self) -> Arc<Umem> {
        self.switch.take().expect("the switch runs").stop().expect("stop");
        self.umem.clone()
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        for attachment in self.attachments.drain(..) {
            self.program.detach(attachment);
        }
    }
}
