//! Open vSwitch's userspace datapath between two pods, with AF_XDP ports and a polling core as the switch has: a database and a
//! daemon of its own, in a namespace that plays the node. Services are flows with `ct(nat)`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sluice_host::{LinkChange, Netlink, Netns, VethEnd, offload};
use sluice_lab::LabName;

use super::services::Services;
use super::vxlan::ip;
use super::{Cores, Family, INTERFACE, Path, addresses, furnish};
use crate::args::PathKind;

/// Programs that it takes, each with its package of Debian.
pub(crate) const PROGRAMS: &[(&str, &str)] = &[
    ("ovsdb-tool", "openvswitch-switch"),
    ("ovsdb-server", "openvswitch-switch"),
    ("ovs-vswitchd", "openvswitch-switch"),
    ("ovs-vsctl", "openvswitch-switch"),
    ("ovs-ofctl", "openvswitch-switch"),
    ("ethtool", "ethtool"),
];

/// Where Debian's package has what a database is to hold.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// How long its programs may take to get somewhere, and between two looks.
const BOUND: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The two ports.
const PORTS: [&str; 2] = ["port1", "port2"];

/// The MAC by which the client knows the router to its Services, and that router's addresses.
const ROUTER_MAC: &str = "02:00:00:00:02:01";
const ROUTER: u8 = 254;

/// Node and pods, with the daemons that serve them. Namespaces go with the lab's name, daemons with this value.
#[derive(Debug)]
pub(crate) struct OpenVSwitch {
    path: Path,
    node: Netns,
    directory: PathBuf,
    processes: Vec<Child>,
}

impl OpenVSwitch {
    /// Makes all of it; `directory` becomes the daemons' own and is to go with the lab.
    pub(crate) fn make(lab: &LabName, directory: PathBuf, cores: Cores, services: &Services) -> Result<Self> {
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let name = |of: &str| lab.node_netns(&format!("peer.openvswitch.{of}"));
        let node = Netns::create(&name("node"))?;
        let (client, server) = (Netns::create(&name("client"))?, Netns::create(&name("server"))?);
        let (server_v4, server_v6) = addresses(2);
        let kind = PathKind::OpenVSwitch;
        let path = Path { kind, cores, client, server, interface: INTERFACE, server_v4, server_v6 };
        let mut made = Self { path, node, directory, processes: Vec::new() };
        let macs = [made.attach(0)?, made.attach(1)?];
        made.start(cores.switch)?;
        made.bridge()?;
        made.flows(&flows(services, &macs, [server_v4, server_v6]))?;
        route(&name("client"), services)?;
        Ok(made)
    }

    /// The two ends and what is known of them.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Stops or continues its polling.
    pub(crate) fn rest(&self, rest: bool) -> Result<()> {
        let signal = if rest { Signal::STOP } else { Signal::CONT };
        for process in &self.processes {
            let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw).context("a process has a number")?;
            kill_process(pid, signal).with_context(|| format!("cannot signal process {}", process.id()))?;
        }
        Ok(())
    }

    /// Packets that it or its ports had no room for, by where: what the kernel could not hand to its sockets (ethtool's
    /// `rx_queue_0_drops`), and what it says of its ports itself.
    pub(crate) fn drops(&self) -> Result<BTreeMap<String, u64>> {
        let mut drops = BTreeMap::new();
        for port in PORTS {
            let output = self.node.output(Command::new("ethtool").args(["-S", port]))?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let count = text.lines().find_map(|line| line.trim().strip_prefix("rx_queue_0_drops: ")?.parse().ok());
            drops.insert(format!("node {port} socket"), count.unwrap_or(0));
        }
        let ports = self.told(self.ofctl("dump-ports").arg(self.management()))?;
        drops.insert("Open vSwitch".to_owned(), port_drops(&ports));
        Ok(drops)
    }

    /// A pod and its port; gives the pod's MAC.
    fn attach(&self, number: usize) -> Result<String> {
        let pod = if number == 0 { &self.path.client } else { &self.path.server };
        let mut netlink = Netlink::open_in(&self.node)?;
        let far = VethEnd { netns: Some(pod), ..VethEnd::named(INTERFACE) };
        let pair = netlink.create_veth(&VethEnd::named(PORTS[number]), &far)?;
        netlink.set_link(pair.near, &LinkChange::up())?;
        let mut inside = Netlink::open_in(pod)?;
        furnish(&mut inside, pair.far, number as u8 + 1)?;
        // The datapath takes frames as they are: nobody behind it would complete a checksum or cut.
        let off = [offload::TX_CHECKSUM, offload::GSO, offload::TX_UDP_SEGMENTATION];
        let segmentation = offload::TCP_SEGMENTATION;
        let wanted: Vec<_> = off.into_iter().chain(segmentation).map(|feature| (feature, false)).collect();
        offload::set(&mut inside, pair.far, &wanted)?;
        let mac = inside.link_by_index(pair.far)?.mac.context("a veth has a MAC")?;
        Ok(mac.to_string())
    }

    /// A program of Open vSwitch that keeps to this directory.
    fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
            command.env(variable, &self.directory);
        }
        command.current_dir(&self.directory);
        command
    }

    fn start(&mut self, core: Option<usize>) -> Result<()> {
        self.told(self.program("ovsdb-tool").args(["create", "conf.db", SCHEMA]))?;
        let remote = format!("--remote=p{}", self.database());
        self.spawn(&["ovsdb-server", "conf.db", &remote, "--unixctl=database.ctl"])?;
        self.wait_for("db.sock")?;
        self.told(self.vsctl().args(["--no-wait", "init"]))?;
        if let Some(core) = core {
            let mask = format!("other_config:pmd-cpu-mask={:#x}", 1_u128 << core.min(127));
            self.told(self.vsctl().args(["--no-wait", "set", "Open_vSwitch", ".", &mask]))?;
        }
        let database = self.database();
        self.spawn(&["ovs-vswitchd", &database, "--unixctl=switch.ctl"])
    }

    fn spawn(&mut self, command: &[&str]) -> Result<()> {
        let file = self.directory.join("log");
        let log = fs::File::options().append(true).create(true).open(&file);
        let log = log.with_context(|| format!("cannot write {}", file.display()))?;
        let mut daemon = self.program(command[0]);
        daemon.args(&command[1..]).args(["-vsyslog:off", "-vconsole:info"]);
        // A Ctrl-C at the terminal is for us; we end the daemons ourselves.
        std::os::unix::process::CommandExt::process_group(&mut daemon, 0);
        daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.processes.push(self.node.spawn(&mut daemon)?);
        Ok(())
    }

    fn bridge(&self) -> Result<()> {
        let mut command = "add-br br0 -- set bridge br0 datapath_type=netdev fail-mode=secure".to_owned();
        for port in PORTS {
            let _ = write!(command, " -- add-port br0 {port} -- set interface {port} type=afxdp");
        }
        self.told(self.vsctl().args(command.split_ascii_whitespace()))?;
        self.wait_for("br0.mgmt")
    }

    fn flows(&self, flows: &str) -> Result<()> {
        let mut command = self.ofctl("replace-flows");
        command.arg(self.management()).arg("-").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start ovs-ofctl, of the package openvswitch-switch")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(flows.as_bytes()).context("ovs-ofctl does not read its flows")?;
        }
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "ovs-ofctl: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    fn database(&self) -> String {
        format!("unix:{}", self.directory.join("db.sock").display())
    }

    fn management(&self) -> String {
        format!("unix:{}", self.directory.join("br0.mgmt").display())
    }

    /// `ovs-vsctl`; it waits for the daemon, with a bound.
    fn vsctl(&self) -> Command {
        let mut command = self.program("ovs-vsctl");
        command.args([format!("--db={}", self.database()), format!("--timeout={}", BOUND.as_secs())]);
        command
    }

    fn ofctl(&self, verb: &str) -> Command {
        let mut command = self.program("ovs-ofctl");
        command.args(["-O", "OpenFlow14", "--bundle", verb]);
        command
    }

    /// Waits for a file of the daemons.
    fn wait_for(&self, file: &str) -> Result<()> {
        let start = Instant::now();
        while !self.directory.join(file).exists() {
            if start.elapsed() > BOUND {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                bail!("Open vSwitch makes no {file} within {BOUND:?}; its log ends, backwards: {}", last.join(" | "));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Runs a program to its end and gives what it prints.
    fn told(&self, command: &mut Command) -> Result<String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let Output { status, stdout, stderr } = self.node.output(command)?;
        ensure!(status.success(), "{program}: {}", String::from_utf8_lossy(&stderr).trim());
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }
}

impl Drop for OpenVSwitch {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            // It has ended already, or it has nothing to say that we want.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Leads the client's packets to Services to a router that is nobody but a MAC.
fn route(client: &str, services: &Services) -> Result<()> {
    if services.count == 0 {
        return Ok(());
    }
    let (v4, v6) = addresses(ROUTER);
    let routers = services.ranges.iter().zip([v4, v6]).map(|(range, router)| {
        format!(
            "neigh add {router} lladdr {ROUTER_MAC} dev {INTERFACE} nud permanent\nroute add {range} via {router} dev {INTERFACE}"
        )
    });
    ip(client, &routers.collect::<Vec<_>>().join("\n"))
}

/// What the bridge does: without Services it learns, with them it tracks each connection and gives it its Service's backend.
fn flows(services: &Services, macs: &[String; 2], servers: [IpAddr; 2]) -> String {
    let mut text = "table=0,priority=0,actions=NORMAL\n".to_owned();
    if services.count == 0 {
        return text;
    }
    for family in [Family::V4, Family::V6] {
        let (ip, field, server) = match family {
            Family::V4 => ("ip", "nw_dst", servers[0]),
            Family::V6 => ("ipv6", "ipv6_dst", servers[1]),
        };
        for protocol in ["tcp", "udp"] {
            let packets = if family == Family::V4 { protocol.to_owned() } else { format!("{protocol}6") };
            // Writing into a text cannot fail.
            let _ = writeln!(text, "table=0,priority=10,{packets},actions=ct(table=1,nat)");
            for mapping in services.mappings(family, server) {
                let (frontend, backend) = (mapping.frontend, mapping.backend);
                let _ = writeln!(
                    text,
                    "table=1,priority=20,ct_state=+new+trk,{packets},{field}={},tp_dst={},\
                     actions=ct(commit,nat(dst={backend}),table=2)",
                    frontend.ip(),
                    frontend.port()
                );
            }
        }
        let _ = writeln!(text, "table=1,priority=10,ct_state=+new+trk,{ip},actions=ct(commit,table=2)");
        let _ = writeln!(text, "table=1,priority=5,{ip},actions=resubmit(,2)");
    }
    for (number, mac) in macs.iter().enumerate() {
        let from = PORTS[1 - number];
        let _ = writeln!(text, "table=2,priority=10,in_port={from},actions=mod_dl_dst:{mac},output:{}", PORTS[number]);
    }
    text
}

/// The sum of what `ovs-ofctl dump-ports` calls drop and errs, of all ports.
fn port_drops(text: &str) -> u64 {
    let words = text.split([',', ' ', '\n']).map(str::trim);
    words
        .filter_map(|word| word.strip_prefix("drop=").or_else(|| word.strip_prefix("errs="))?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::super::services::tests::some;
    use super::*;

    #[test]
    fn a_service_is_a_flow_for_each_protocol_and_family() {
        let macs = ["02:00:00:00:00:01".to_owned(), "02:00:00:00:00:02".to_owned()];
        let servers = [[192, 0, 2, 2].into(), "2001:db8::2".parse().expect("one")];
        let text = flows(&some(3), &macs, servers);
        assert_eq!(text.matches("nat(dst=192.0.2.2:8080)").count(), 6, "{text}");
        assert_eq!(text.matches("nat(dst=[2001:db8::2]:8080)").count(), 6, "{text}");
        assert!(text.contains("udp6,ipv6_dst=2001:db8:0:60::2,tp_dst=80"), "{text}");
        assert!(text.contains("in_port=port1,actions=mod_dl_dst:02:00:00:00:00:02,output:port2"), "{text}");
        assert_eq!(flows(&some(0), &macs, servers), "table=0,priority=0,actions=NORMAL\n");
    }

    #[test]
    fn drops_of_ports_are_summed() {
        let text = "OFPST_PORT reply (OF1.4) (xid=0x2): 2 ports\n  port  port1: rx pkts=9, bytes=8, drop=7, errs=1, frame=0\n  \
                    tx pkts=9, bytes=8, drop=5, errs=?, coll=0\n";
        assert_eq!(port_drops(text), 13);
        assert_eq!(port_drops(""), 0);
    }
}
