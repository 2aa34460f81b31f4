//! Two nodes made of what the kernel has, on a wire as the lab's: a bridge with the pod, a VXLAN device, routes and
//! neighbours, laid out as Flannel does (its `pkg/backend/vxlan`): nothing is learnt, all is said.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use sluice_host::{Netns, sysctl};
use sluice_lab::LabName;

use super::{Cores, INTERFACE, Path};
use crate::args::PathKind;

/// MTU of the wire in bytes, and what the tunnel leaves of it.
const WIRE_MTU: u16 = 1500;
const POD_MTU: u16 = 1450;

/// Makes wire, nodes and pods; their namespaces bear the lab's name and go with it.
pub(crate) fn make(lab: &LabName, cores: Cores) -> Result<Path> {
    let name = |of: &str| lab.node_netns(&format!("peer.vxlan.{of}"));
    let wire = name("wire");
    Netns::create(&wire)?;
    ip(&wire, &format!("link add br0 type bridge\nlink set br0 up mtu {WIRE_MTU}"))?;
    for (number, other, pod) in [(1, 2, "client"), (2, 1, "server")] {
        let node = name(&format!("node{number}"));
        let netns = Netns::create(&node)?;
        sysctl::set_in(&netns, &[("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")])?;
        join(&wire, &node, &netns, number)?;
        tunnel(&node, number, other)?;
        Netns::create(&name(pod))?;
        attach(&node, &name(pod), number)?;
    }
    let [server_v4, server_v6] = addresses(2);
    let [client, server] = ["client", "server"].map(|pod| Netns::open_named(&name(pod)));
    let (client, server) = (client?, server?);
    Ok(Path { kind: PathKind::Vxlan, cores, client, server, interface: INTERFACE, server_v4, server_v6 })
}

/// Addresses of the pod on node `number`.
fn addresses(number: u8) -> [IpAddr; 2] {
    let v6 = Ipv6Addr::new(0xfd00, 0x10, 0x245, number.into(), 0, 0, 0, 2);
    [Ipv4Addr::new(10, 245, number, 2).into(), v6.into()]
}

/// Plugs a node into the wire, without offloads on its side.
fn join(wire: &str, node: &str, netns: &Netns, number: u8) -> Result<()> {
    let mtu = format!("mtu {WIRE_MTU}");
    ip(wire, &format!("link add port{number} {mtu} type veth peer name uplink0 {mtu} netns {node}"))?;
    ip(wire, &format!("link set port{number} master br0 up"))?;
    let off = ["-K", "uplink0", "tx", "off", "tso", "off", "gso", "off"];
    let output = netns.output(Command::new("ethtool").args(off))?;
    ensure!(output.status.success(), "ethtool: {}", String::from_utf8_lossy(&output.stderr).trim());
    ip(node, &format!("link set lo up\nlink set uplink0 up\naddr add 192.0.2.{number}/24 dev uplink0"))
}

/// A node's end of the tunnel, and all it has to know of the other's.
fn tunnel(node: &str, number: u8, other: u8) -> Result<()> {
    ip(
        node,
        &format!(
            "link add vxlan0 address {} type vxlan id 1 dstport 8472 local 192.0.2.{number} dev uplink0 nolearning\n\
             addr add 10.245.{number}.0/32 dev vxlan0\n\
             addr add fd00:10:245:{number}::/128 dev vxlan0 nodad\n\
             link set vxlan0 up\n\
             neigh add 10.245.{other}.0 lladdr {other_mac} dev vxlan0 nud permanent\n\
             neigh add fd00:10:245:{other}:: lladdr {other_mac} dev vxlan0 nud permanent\n\
             route add 10.245.{other}.0/24 via 10.245.{other}.0 dev vxlan0 onlink\n\
             route add fd00:10:245:{other}::/64 via fd00:10:245:{other}:: dev vxlan0 onlink",
            mac(number),
            other_mac = mac(other),
        ),
    )?;
    let arguments = [
        "-n",
        node,
        "fdb",
        "append",
        &mac(other),
        "dev",
        "vxlan0",
        "dst",
        &format!("192.0.2.{other}"),
        "self",
        "permanent",
    ];
    let output = Command::new("bridge").args(arguments).output().context("cannot start bridge, of iproute2")?;
    ensure!(output.status.success(), "bridge fdb: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// The pod of a node, behind a bridge that is its gateway.
fn attach(node: &str, pod: &str, number: u8) -> Result<()> {
    ip(
        node,
        &format!(
            "link add cni0 type bridge\nlink set cni0 up mtu {POD_MTU}\n\
             addr add 10.245.{number}.1/24 dev cni0\naddr add fd00:10:245:{number}::1/64 dev cni0 nodad\n\
             link add pod0 mtu {POD_MTU} type veth peer name {INTERFACE} mtu {POD_MTU} netns {pod}\n\
             link set pod0 master cni0 up"
        ),
    )?;
    let [v4, v6] = addresses(number);
    ip(
        pod,
        &format!(
            "link set lo up\nlink set {INTERFACE} up\n\
             addr add {v4}/24 dev {INTERFACE}\naddr add {v6}/64 dev {INTERFACE} nodad\n\
             route add default via 10.245.{number}.1\nroute add default via fd00:10:245:{number}::1"
        ),
    )
}

/// MAC of a node's end of the tunnel.
fn mac(number: u8) -> String {
    format!("02:00:00:00:01:{number:02x}")
}

/// Runs the commands of `ip -batch` in a namespace; every one must succeed.
pub(super) fn ip(netns: &str, commands: &str) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(["-n", netns, "-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start ip, of iproute2")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(commands.as_bytes()).context("ip does not read its commands")?;
    }
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "ip in {netns}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
