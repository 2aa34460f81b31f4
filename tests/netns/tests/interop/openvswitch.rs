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
use sluice_host::sysctl;
use sluice_netns::wait_for;
use sluice_tables::tunnel_mac;
use sluice_wire::MacAddr;

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
    /// MACs of the tunnel's ends: ours, theirs.
    ends: (MacAddr, MacAddr),
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
        let ends = (tunnel_mac(ours.address), tunnel_mac(address.parse().expect("an address")));
        let mut node = Self { theirs, pod, ends, directory, processes: Vec::new() };
        node.start();
        node.bridges(ours.address, vni, options);
        // The kernel would answer for the address of br-phy on the bridged device too, by a MAC that is not the tunnel's.
        let quiet = (format!("net/ipv4/conf/{UPLINK}/arp_ignore"), "1");
        sysctl::set_in(&node.theirs.netns, &[(&quiet.0, quiet.1)]).expect("a sysctl");
        let len = if ours.address.is_ipv4() { 24 } else { 64 };
        ip(&node.theirs.name, "link set br-phy up");
        let nodad = if ours.address.is_ipv4() { "" } else { "nodad" };
        ip(&node.theirs.name, &format!("addr add {address}/{len} dev br-phy {nodad}"));
        node.add_flows(&(node.outward(0) + &node.inward()));
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

    /// `ovs-vsctl`; it waits for the database, which may not listen yet when its socket is there, and the daemon, with a bound.
    fn vsctl(&self) -> Command {
        let mut command = self.program("ovs-vsctl");
        command.args([format!("--db=unix:{}", self.socket()), "--retry".to_owned(), "--timeout=60".to_owned()]);
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
    fn add_flows(&self, flows: &str) {
        let mut command = self.ofctl("add-flows", "-");
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ovs-ofctl is there");
        child.stdin.take().expect("piped").write_all(flows.as_bytes()).expect("it reads its input");
        let output = child.wait_with_output().expect("our child");
        assert!(output.status.success(), "{flows}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    fn ofctl(&self, verb: &str, argument: &str) -> Command {
        let bridge = format!("unix:{}", self.directory.join("br-int.mgmt").display());
        let mut command = self.program("ovs-ofctl");
        command.args(["-O", "OpenFlow13", verb, &bridge, argument]);
        command
    }

    /// Puts an option of this type (0x80 and above are critical) with a value of four bytes into all that the pod sends from
    /// now on. Its class is one for experiments (RFC 8926 section 7).
    pub(crate) fn add_option(&self, kind: u8, value: &str) {
        let field = format!("tun_metadata{}", u8::from(kind >= 0x80));
        let map = format!("{{class=0xff00,type={kind:#x},len=4}}->{field}");
        run(&self.theirs.netns, &mut self.ofctl("add-tlv-map", &map));
        let then = format!("priority=20,in_port=pod0,actions=set_field:{value}->{field},resubmit(,1)\n");
        self.add_flows(&(then + &self.outward(1)));
    }

    /// Routes from the pod into the tunnel, in a table of flows.
    fn outward(&self, table: u8) -> String {
        let (ours, theirs) = self.ends;
        let route = |(family, field, network): (&str, &str, &str)| {
            format!(
                "table={table},priority=10,{family},in_port=pod0,{field}={network},\
                 actions=mod_dl_src:{theirs},mod_dl_dst:{ours},dec_ttl,output:tunnel\n"
            )
        };
        let [v4, v6] = ours::NETWORKS;
        route(("ip", "nw_dst", v4)) + &route(("ipv6", "ipv6_dst", v6))
    }

    /// Routes from the tunnel to the pod. What we send is for the MAC that this node has by its address, though nobody told us.
    fn inward(&self) -> String {
        let (_, theirs) = self.ends;
        let pod = run(self.pod.netns(), Command::new("ip").args(["-j", "link", "show", "eth0"]));
        let pod: Value = serde_json::from_str(&pod).expect("JSON");
        let mac = pod[0]["address"].as_str().expect("a MAC");
        let route = |(family, field, address): (&str, &str, IpAddr)| {
            format!(
                "priority=10,{family},in_port=tunnel,dl_dst={theirs},{field}={address},\
                 actions=mod_dl_src:{GATEWAY_MAC},mod_dl_dst:{mac},dec_ttl,output:pod0\n"
            )
        };
        let [v4, v6] = [self.pod.addresses[0], self.pod.addresses[1]];
        route(("ip", "nw_dst", v4)) + &route(("ipv6", "ipv6_dst", v6))
    }

    /// What of ours its tunnel has thrown away, as the database says of the interface.
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
