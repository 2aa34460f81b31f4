//! A node made of Open vSwitch's userspace datapath, with a database and a daemon of its own.
//!
//! ```text
//! pod - pod0 - br-int - tunnel ) br-phy - uplink0
//! ```
//!
//! Flows do what a router would; the tunnel finds its way by the address of br-phy, and asks there for our MAC.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use sluice_netns::wait_for;
use sluice_tables::tunnel_mac;

use crate::ours::{self, Ours};
use crate::theirs::{GATEWAYS, NETWORKS, Theirs, UPLINK, ip, run, without_offloads};
use crate::traffic::Host;

/// The MAC by which its pods know it.
const GATEWAY_MAC: &str = "02:00:00:00:02:01";
/// Where Debian's package has what a database is to hold.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// The node. It goes with the lab of ours; its processes end before.
pub(crate) struct OpenVSwitch {
    pub(crate) theirs: Theirs,
    pub(crate) pod: Host,
    directory: PathBuf,
    processes: Vec<Child>,
}

impl OpenVSwitch {
    /// A node at `address` beside ours, which is told of it, with a Geneve tunnel of further options.
    pub(crate) fn beside(ours: &Ours, address: &str, vni: u32, mtu: u32, options: &str) -> Self {
        let theirs = Theirs::plug(ours);
        let pod = theirs.pod(ours, "pod0", 5, mtu);
        // The userspace datapath takes frames as they are: nobody behind it would complete a checksum or cut.
        without_offloads(pod.netns(), "eth0");
        let neighbours =
            GATEWAYS.map(|gateway| format!("neigh add {gateway} lladdr {GATEWAY_MAC} dev eth0 nud permanent"));
        let inside = ours.namespace_of("theirs-pod0");
        ip(&inside, &neighbours.join("\n"));
        let directory = ours.directory("ovs");
        let mut node = Self { theirs, pod, directory, processes: Vec::new() };
        node.start();
        node.bridges(ours.address, vni, options);
        let len = if ours.address.is_ipv4() { 24 } else { 64 };
        ip(&node.theirs.name, "link set br-phy up");
        let nodad = if ours.address.is_ipv4() { "" } else { "nodad" };
        ip(&node.theirs.name, &format!("addr add {address}/{len} dev br-phy {nodad}"));
        let mac = tunnel_mac(address.parse().expect("an address")).to_string();
        node.flows(&tunnel_mac(ours.address).to_string(), &mac);
        ours.introduce(&ours::node("theirs", &NETWORKS, address));
        node
    }

    /// A program of Open vSwitch that keeps to this node's directory.
    fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
            command.env(variable, &self.directory);
        }
        command.current_dir(&self.directory);
        command
    }

    fn start(&mut self) {
        run(&self.theirs.netns, self.program("ovsdb-tool").args(["create", "conf.db", SCHEMA]));
        let remote = format!("--remote=punix:{}", self.socket());
        self.spawn(&["ovsdb-server", "conf.db", &remote, "--unixctl=database.ctl"]);
        wait_for("the database", || fs::exists(self.directory.join("db.sock")).ok()?.then_some(()))
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
        run(&self.theirs.netns, self.vsctl().args(["--no-wait", "init"]));
        let database = format!("unix:{}", self.socket());
        self.spawn(&["ovs-vswitchd", &database, "--unixctl=switch.ctl"]);
    }

    fn spawn(&mut self, command: &[&str]) {
        let log = fs::File::options().append(true).create(true).open(self.directory.join("log")).expect("writable");
        let mut daemon = self.program(command[0]);
        daemon.args(&command[1..]).args(["-vsyslog:off", "-vconsole:info"]).stdin(Stdio::null()).stderr(log);
        let daemon = self.theirs.netns.spawn(daemon.stdout(Stdio::null()));
        self.processes.push(daemon.unwrap_or_else(|error| panic!("{error}; is openvswitch-switch installed?")));
    }

    fn socket(&self) -> String {
        self.directory.join("db.sock").display().to_string()
    }

    /// `ovs-vsctl`; it waits for the daemon, with a bound.
    fn vsctl(&self) -> Command {
        let mut command = self.program("ovs-vsctl");
        command.args([format!("--db=unix:{}", self.socket()), "--timeout=20".to_owned()]);
        command
    }

    fn bridges(&self, remote: IpAddr, vni: u32, options: &str) {
        let commands = format!(
            "add-br br-phy -- set bridge br-phy datapath_type=netdev -- add-port br-phy {UPLINK} -- \
             add-br br-int -- set bridge br-int datapath_type=netdev fail-mode=secure -- add-port br-int pod0 -- \
             add-port br-int tunnel -- set interface tunnel type=geneve options:remote_ip=\"{remote}\" options:key={vni} {options}"
        );
        run(&self.theirs.netns, self.vsctl().args(commands.split_ascii_whitespace()));
    }

    /// Adds flows to br-int, one a line.
    pub(crate) fn add_flows(&self, flows: &str) {
        let bridge = format!("unix:{}", self.directory.join("br-int.mgmt").display());
        let mut command = self.program("ovs-ofctl");
        command.args(["-O", "OpenFlow13", "add-flows", &bridge, "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("ovs-ofctl is there");
        child.stdin.take().expect("piped").write_all(flows.as_bytes()).expect("it reads its input");
        let output = child.wait_with_output().expect("our child");
        assert!(output.status.success(), "{flows}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Routes between the pod and the tunnel, whose ends have these MACs.
    fn flows(&self, ours: &str, theirs: &str) {
        let flow = |(family, field): (&str, &str), (from, to): (&str, &str), address: &str, macs: (&str, &str)| {
            let (source, destination) = macs;
            format!(
                "priority=10,{family},in_port={from},{field}={address},\
                 actions=mod_dl_src:{source},mod_dl_dst:{destination},dec_ttl,output:{to}\n"
            )
        };
        let pod = run(self.pod.netns(), Command::new("ip").args(["-j", "link", "show", "eth0"]));
        let pod: Value = serde_json::from_str(&pod).expect("JSON");
        let pod_mac = pod[0]["address"].as_str().expect("a MAC");
        let families = [("ip", "nw_dst"), ("ipv6", "ipv6_dst")];
        let mut flows = String::new();
        for (at, family) in families.into_iter().enumerate() {
            flows += &flow(family, ("pod0", "tunnel"), ours::NETWORKS[at], (theirs, ours));
            // What we send is for the MAC that it has by its address, though nobody told us.
            let arriving = (format!("{},dl_dst={theirs}", family.0), self.pod.addresses[at].to_string());
            flows += &flow((&arriving.0, family.1), ("tunnel", "pod0"), &arriving.1, (GATEWAY_MAC, pod_mac));
        }
        self.add_flows(&flows);
    }

    /// Packets that its tunnel has received and sent, as the interface in the database says.
    pub(crate) fn refused(&self) -> u64 {
        let shown = run(&self.theirs.netns, self.vsctl().args(["get", "interface", "tunnel", "statistics"]));
        let counters = shown.trim().trim_matches(['{', '}']).split(", ").filter_map(|entry| entry.split_once('='));
        let of_receiving = counters.filter(|(name, _)| name.starts_with("rx_errors") || name.starts_with("rx_dropped"));
        of_receiving.map(|(_, count)| count.parse::<u64>().expect("a number")).sum()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for OpenVSwitch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of Open vSwitch ---\n{}", self.log());
        }
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
