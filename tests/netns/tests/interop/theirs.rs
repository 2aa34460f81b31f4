//! What all nodes of others have: a namespace on the wire, and pods that know nothing of us.

use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use sluice_host::{Netns, sysctl};

use crate::ours::Ours;
use crate::traffic::Host;

/// Its podCIDRs.
pub(crate) const NETWORKS: [&str; 2] = ["10.244.2.0/24", "fd00:10:244:2::/64"];
/// Its own addresses among its pods: their gateways.
pub(crate) const GATEWAYS: [&str; 2] = ["10.244.2.1", "fd00:10:244:2::1"];
/// The device by which it is on the wire.
pub(crate) const UPLINK: &str = "uplink0";
/// MTU of the wire.
const MTU: u32 = 1500;

/// A namespace on the wire, without addresses there. Its device has the offloads of a wire: none.
pub(crate) struct Theirs {
    pub(crate) name: String,
    pub(crate) netns: Netns,
}

impl Theirs {
    /// Plugs a new namespace into the wire of our node.
    pub(crate) fn plug(ours: &Ours) -> Self {
        let (name, netns) = ours.namespace("theirs");
        ip(&ours.wire(), &format!("link add theirs mtu {MTU} type veth peer name {UPLINK} mtu {MTU} netns {name}"));
        ip(&ours.wire(), "link set theirs master br0 up");
        without_offloads(&netns, UPLINK);
        sysctl::set_in(&netns, &[("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")])
            .expect("sysctls");
        ip(&name, "link set lo up");
        ip(&name, &format!("link set {UPLINK} up"));
        Self { name, netns }
    }

    /// A pod called `name` with number `number` in the podCIDRs, behind the device `name` here; its routes carry `mtu`.
    pub(crate) fn pod(&self, ours: &Ours, name: &str, number: u8, mtu: u32) -> Host {
        let (netns_name, netns) = ours.namespace(&format!("theirs-{name}"));
        ip(&self.name, &format!("link add {name} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {netns_name}"));
        ip(&self.name, &format!("link set {name} up"));
        let [v4, v6] = [format!("10.244.2.{number}"), format!("fd00:10:244:2::{number:x}")];
        let [gateway4, gateway6] = GATEWAYS;
        ip(
            &netns_name,
            &format!(
                "link set lo up\nlink set eth0 up\naddr add {v4}/24 dev eth0\naddr add {v6}/64 dev eth0 nodad\n\
                 route add default via {gateway4}\nroute add default via {gateway6}"
            ),
        );
        let addresses: Vec<IpAddr> = [v4, v6].map(|address| address.parse().expect("an address")).to_vec();
        Host { netns: Some(netns), addresses }
    }
}

/// Runs the commands of `ip -batch` in a namespace; every one must succeed.
pub(crate) fn ip(netns: &str, commands: &str) {
    let mut command = Command::new("ip");
    command.args(["-n", netns, "-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("ip is there");
    child.stdin.take().expect("piped").write_all(commands.as_bytes()).expect("it reads its input");
    let output = child.wait_with_output().expect("our child");
    assert!(output.status.success(), "{commands}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a command in a namespace, which must succeed; gives what it printed.
pub(crate) fn run(netns: &Netns, command: &mut Command) -> String {
    let output = netns.output(command).unwrap_or_else(|error| panic!("{error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Lets a device hand down only what fits a wire.
pub(crate) fn without_offloads(netns: &Netns, device: &str) {
    run(netns, Command::new("ethtool").args(["-K", device, "tx", "off", "tso", "off", "gso", "off"]));
}
