//! A node made of what the kernel has: a tunnel device, a bridge, routes and neighbours, laid out as Flannel does (its
//! `pkg/backend/vxlan`): nothing is learnt, all is said. One device carries both families of pods.

use std::net::IpAddr;
use std::process::Command;

use serde_json::{Value, json};
use sluice_tables::tunnel_mac;

use crate::ours::{self, Ours};
use crate::theirs::{NETWORKS, Theirs, UPLINK, ip, run};
use crate::traffic::Host;

/// The tunnel device.
const TUNNEL: &str = "flannel.1";
/// MAC of its end, as Flannel would have made it up.
const MAC: &str = "5e:f1:a0:12:34:56";

/// The kernel's device for tunnels.
#[derive(Clone, Copy)]
pub(crate) enum Device {
    /// `type vxlan` with a network and a port.
    Vxlan { vni: u32, port: u16 },
    /// `type geneve`.
    Geneve { vni: u32, port: u16 },
}

/// The node. It goes with the lab of ours.
pub(crate) struct KernelNode {
    pub(crate) theirs: Theirs,
    /// Its pod, behind the bridge.
    pub(crate) pod: Host,
    /// What its tunnel device leaves of the wire's MTU.
    pub(crate) mtu: u32,
}

/// Whether this kernel has Geneve devices.
pub(crate) fn has_geneve() -> bool {
    let probe = sluice_netns::Namespace::new("geneve");
    let arguments = ["link", "add", "probe", "type", "geneve", "id", "1", "remote", "192.0.2.1"];
    probe.output(Command::new("ip").args(arguments)).expect("ip starts").status.success()
}

impl KernelNode {
    /// A node at `address` beside ours, which is told of it.
    pub(crate) fn beside(ours: &Ours, address: &str, device: Device) -> Self {
        let theirs = Theirs::plug(ours);
        let len = if ours.address.is_ipv4() { 24 } else { 64 };
        ip(&theirs.name, &format!("addr add {address}/{len} dev {UPLINK} {}", nodad(ours.address)));
        tunnel(&theirs, ours, address, device);
        lead(&theirs, ours);
        let mtu = theirs.netns.run(|| std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{TUNNEL}/mtu")));
        let mtu = mtu.expect("its namespace").expect("the device's MTU").trim().parse().expect("a number");
        bridge(&theirs, mtu);
        let pod = theirs.pod(ours, "veth1", 5, mtu);
        ip(&theirs.name, "link set veth1 master cni0");
        ours.introduce(&object(address));
        Self { theirs, pod, mtu }
    }

    /// Packets that its tunnel device has received and sent.
    pub(crate) fn carried(&self) -> (u64, u64) {
        let counted = |way: &str| self.counted(way, "packets");
        (counted("rx"), counted("tx"))
    }

    /// What of ours it has thrown away: at its tunnel device, and for UDP checksums, outer ones too.
    pub(crate) fn refused(&self) -> u64 {
        let read = || ["snmp", "snmp6"].map(|file| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")));
        let [v4, v6] = self.theirs.netns.run(read).expect("its namespace").map(|text| text.expect("counters"));
        let mut udp = v4.lines().filter_map(|line| line.strip_prefix("Udp: "));
        let names = udp.next().expect("names").split(' ');
        let wrong = names.zip(udp.next().expect("values").split(' ')).find(|(name, _)| *name == "InCsumErrors");
        let wrong6 = v6.lines().find_map(|line| line.strip_prefix("Udp6InCsumErrors")).expect("a counter");
        let wrong = [wrong.expect("a counter").1, wrong6].map(|count| count.trim().parse::<u64>().expect("a number"));
        wrong.iter().sum::<u64>() + self.counted("rx", "errors") + self.counted("rx", "dropped")
    }

    fn counted(&self, way: &str, what: &str) -> u64 {
        let shown = run(&self.theirs.netns, Command::new("ip").args(["-s", "-j", "link", "show", TUNNEL]));
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        shown[0]["stats64"][way][what].as_u64().expect("a counter")
    }
}

/// Its Node object, with what Flannel writes there.
fn object(address: &str) -> Value {
    let mut node = ours::node("theirs", &NETWORKS, address);
    node["metadata"]["annotations"] = json!({
        "flannel.alpha.coreos.com/backend-data": json!({ "VNI": 1, "VtepMAC": MAC }).to_string(),
        "flannel.alpha.coreos.com/backend-type": "vxlan",
        "flannel.alpha.coreos.com/kube-subnet-manager": "true",
        "flannel.alpha.coreos.com/public-ip": address,
    });
    node
}

fn tunnel(theirs: &Theirs, ours: &Ours, address: &str, device: Device) {
    let remote = ours.address;
    let kind = match device {
        Device::Vxlan { vni, port } => {
            format!("type vxlan id {vni} dstport {port} local {address} dev {UPLINK} nolearning")
        }
        Device::Geneve { vni, port } => format!("type geneve id {vni} remote {remote} dstport {port}"),
    };
    ip(&theirs.name, &format!("link add {TUNNEL} address {MAC} {kind}"));
    ip(&theirs.name, &format!("addr add 10.244.2.0/32 dev {TUNNEL}\nlink set {TUNNEL} up"));
    ip(&theirs.name, &format!("addr add fd00:10:244:2::/128 dev {TUNNEL} nodad"));
    if matches!(device, Device::Vxlan { .. }) {
        let (mac, remote) = (tunnel_mac(remote).to_string(), remote.to_string());
        let arguments = ["fdb", "append", &mac, "dev", TUNNEL, "dst", &remote, "self", "permanent"];
        run(&theirs.netns, Command::new("bridge").args(arguments));
    }
}

/// The way to our pods: our end of the tunnel has the first address of our networks there.
fn lead(theirs: &Theirs, ours: &Ours) {
    let mac = tunnel_mac(ours.address);
    for network in ours::NETWORKS {
        let (gateway, _) = network.split_once('/').expect("a network");
        ip(
            &theirs.name,
            &format!(
                "neigh add {gateway} lladdr {mac} dev {TUNNEL} nud permanent\n\
                 route add {network} via {gateway} dev {TUNNEL} onlink"
            ),
        );
    }
}

fn bridge(theirs: &Theirs, mtu: u32) {
    let [v4, v6] = crate::theirs::GATEWAYS;
    ip(
        &theirs.name,
        &format!(
            "link add cni0 mtu {mtu} type bridge\naddr add {v4}/24 dev cni0\naddr add {v6}/64 dev cni0 nodad\n\
             link set cni0 up"
        ),
    );
}

fn nodad(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "" } else { "nodad" }
}
