//! A node under test: a namespace, its directories, its agent, its pods.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sluice_cni_protocol::{Client, CniError, Request, Response};
use sluice_host::Netns;
use sluice_netns::{Namespace, wait_for};

/// podCIDRs of most nodes under test.
pub(crate) const NETWORKS: [&str; 2] = ["10.244.1.0/24", "fd00:1::/64"];

/// A node; its agent does not run until it is started. All of it goes with this value.
pub(crate) struct Node {
    pub(crate) netns: Namespace,
    directory: PathBuf,
    agent: Option<Child>,
}

/// A pod that the runtime has made a namespace for.
pub(crate) struct Pod {
    pub(crate) netns: Namespace,
    pub(crate) container: String,
}

impl Node {
    /// A node that knows of itself what its manifest says.
    pub(crate) fn new(networks: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("sluice-agent-test-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("manifests")).expect("the temporary directory is writable");
        let node = Self { netns: Namespace::new("node"), directory, agent: None };
        node.write_node(networks);
        node
    }

    /// A node with the usual podCIDRs whose agent runs and is ready.
    pub(crate) fn ready() -> Self {
        let mut node = Self::new(&NETWORKS);
        node.start(&[]);
        node
    }

    /// Writes the Node object; without networks it has no podCIDRs.
    pub(crate) fn write_node(&self, networks: &[&str]) {
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
            "spec": if networks.is_empty() { json!({}) } else { json!({"podCIDRs": networks}) }});
        let (hidden, file) = (self.path("manifests/.node.json"), self.path("manifests/node.json"));
        fs::write(&hidden, object.to_string()).and_then(|()| fs::rename(&hidden, &file)).expect("writable");
    }

    /// A path in the node's own directory.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.directory.join(below)
    }

    /// sluiced with this node's directories and further arguments, not started.
    pub(crate) fn agent_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("sluiced"));
        command.args(["--node-name", "n1", "--run-dir"]).arg(self.path("run"));
        command.arg("--state-dir").arg(self.path("state")).arg("--source-directory").arg(self.path("manifests"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Starts the agent; its log is appended to the file `log`.
    pub(crate) fn spawn(&mut self, arguments: &[&str]) {
        let command = self.agent_command(arguments);
        self.spawn_command(command);
    }

    /// Starts what becomes the agent; its log is appended to the file `log`.
    pub(crate) fn spawn_command(&mut self, mut command: Command) {
        let log = fs::File::options().append(true).create(true).open(self.path("log")).expect("writable");
        let child = self.netns.spawn(command.stderr(log)).expect("sluiced starts");
        assert!(self.agent.replace(child).is_none(), "an agent runs");
    }

    /// Starts the agent and waits until it is ready.
    pub(crate) fn start(&mut self, arguments: &[&str]) {
        self.spawn(arguments);
        self.wait_ready();
    }

    /// Waits until the agent says that it is ready.
    pub(crate) fn wait_ready(&mut self) {
        let ready = wait_for("the agent to be ready", || {
            let ended = self.agent.as_mut().and_then(|agent| agent.try_wait().expect("our child"));
            assert!(ended.is_none(), "sluiced ended: {ended:?}\n{}", self.log());
            self.try_status().filter(|status| status["ready"] == true)
        });
        ready.unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }

    /// Sends the agent a signal and waits for its end.
    pub(crate) fn end(&mut self, signal: Signal) -> ExitStatus {
        kill(Pid::from_raw(self.agent_pid().cast_signed()), signal).expect("our child");
        self.await_end()
    }

    /// Waits until the agent has ended.
    pub(crate) fn await_end(&mut self) -> ExitStatus {
        let mut agent = self.agent.take().expect("an agent runs");
        let ended = wait_for("the agent to end", || agent.try_wait().expect("our child"));
        ended.unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// Kills the agent without waiting for its end, which is the caller's to wait for.
    pub(crate) fn kill_and_leave(&mut self) -> Child {
        let mut agent = self.agent.take().expect("an agent runs");
        agent.kill().expect("our child");
        agent
    }

    /// Process id of the agent.
    pub(crate) fn agent_pid(&self) -> u32 {
        self.agent.as_ref().expect("an agent runs").id()
    }

    /// The agent's log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The agent's status document.
    pub(crate) fn status(&self) -> Value {
        self.try_status().unwrap_or_else(|| panic!("no status\n{}", self.log()))
    }

    pub(crate) fn try_status(&self) -> Option<Value> {
        match Client::in_run_dir(&self.path("run")).call(Request::Status) {
            Ok(Response::Ok(status)) => Some(status),
            _ => None,
        }
    }

    /// Body and status code of a GET request to the agent, made in the node's namespace.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = self.netns.run(|| TcpStream::connect("127.0.0.1:9810")).unwrap().expect("HTTP is served");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let code = text.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("an HTTP status line");
        (code, text.split_once("\r\n\r\n").expect("a body").1.to_owned())
    }

    /// Executes the plugin as a runtime does.
    pub(crate) fn plugin(&self, verb: &str, container: &str, netns: &str, ifname: &str) -> Output {
        let config = json!({"cniVersion": "1.1.0", "name": "sluice", "type": "sluice-cni",
            "runDir": self.path("run"), "stateDir": self.path("state")});
        let mut command = Command::new(program("sluice-cni"));
        command.env_clear().env("CNI_COMMAND", verb).env("CNI_CONTAINERID", container).env("CNI_IFNAME", ifname);
        command.env("CNI_NETNS", netns).env("CNI_ARGS", format!("K8S_POD_NAMESPACE=default;K8S_POD_NAME={container}"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sluice-cni starts");
        child.stdin.take().expect("piped").write_all(config.to_string().as_bytes()).expect("it reads its input");
        child.wait_with_output().expect("our child")
    }

    /// ADD, which must succeed; gives the pod's addresses.
    pub(crate) fn add(&self, pod: &Pod) -> Vec<IpAddr> {
        let output = self.plugin("ADD", &pod.container, &pod.netns.path(), "eth0");
        assert!(output.status.success(), "{output:?}\n{}", self.log());
        let result: Value = serde_json::from_slice(&output.stdout).expect("a CNI result");
        let address = |ip: &Value| ip["address"].as_str().and_then(|net| net.split('/').next()?.parse().ok());
        let ips = result["ips"].as_array().expect("ips").iter();
        ips.map(|ip| address(ip).unwrap_or_else(|| panic!("{result}"))).collect()
    }

    /// ADD, which must be refused.
    pub(crate) fn refused(&self, container: &str, netns: &str, ifname: &str) -> CniError {
        let output = self.plugin("ADD", container, netns, ifname);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// DEL, which must succeed and print nothing.
    pub(crate) fn del(&self, container: &str, netns: &str) {
        let output = self.plugin("DEL", container, netns, "eth0");
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}\n{}", self.log());
    }

    /// Names of the node's devices but `lo`, sorted.
    pub(crate) fn devices(&self) -> Vec<String> {
        let links = self.netns.netlink().links().expect("readable");
        let mut names: Vec<String> = links.into_iter().map(|link| link.name).filter(|name| name != "lo").collect();
        names.sort();
        names
    }

    /// Addresses in use in each podCIDR, and frames on sockets.
    pub(crate) fn in_use(&self) -> (Vec<u64>, u64) {
        let status = self.status();
        let networks = status["podCIDRs"].as_array().expect("podCIDRs").iter();
        let addresses = networks.map(|network| network["inUse"].as_u64().expect("a number")).collect();
        (addresses, status["frames"]["kernel"].as_u64().expect("a number"))
    }

    /// Whether no more is in use than `before`: the same addresses, and no frames but for some packets that ports are about to
    /// receive or have sent, of which each takes one or has taken one before. The node's own stack sends some unasked, at any time.
    pub(crate) fn uses_no_more_than(&self, before: &(Vec<u64>, u64)) -> bool {
        /// Less than the share of any port.
        const PACKETS: u64 = 16;
        let (addresses, frames) = self.in_use();
        addresses == before.0 && frames <= before.1 + PACKETS
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of sluiced ---\n{}", self.log());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Pod {
    /// A container called `container` with an empty namespace.
    pub(crate) fn new(container: &str) -> Self {
        Self { netns: Namespace::new(container), container: container.to_owned() }
    }
}

/// Whether one echo request from `from` is answered. Only one is sent: what ADD has answered for must work at once.
pub(crate) fn ping(from: &Netns, to: impl ToString) -> bool {
    let to = to.to_string();
    from.output(Command::new("ping").args(["-n", "-c", "1", "-W", "5", &to])).expect("ping starts").status.success()
}

/// Sends some megabytes over TCP from a socket in `from` to one in `to` at `address`, and checks them.
pub(crate) fn transfer(from: &Netns, to: &Netns, address: IpAddr) {
    const BYTES: usize = 4 << 20;
    let listener = to.run(|| TcpListener::bind((address, 0))).unwrap().expect("the address is the pod's");
    let there = listener.local_addr().unwrap();
    let patience = Duration::from_secs(20);
    let mut client = from.run(|| TcpStream::connect_timeout(&there, patience)).unwrap().expect("it listens");
    let (mut server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(patience)).unwrap();
    client.set_write_timeout(Some(patience)).unwrap();
    let sent: Vec<u8> = (0..BYTES).map(|at| (at % 253) as u8).collect();
    let expected = sent.clone();
    let sender = std::thread::spawn(move || client.write_all(&sent));
    let mut received = Vec::with_capacity(BYTES);
    server.read_to_end(&mut received).unwrap();
    sender.join().unwrap().unwrap();
    assert!(received == expected, "{} of {BYTES} bytes, or other ones", received.len());
}

fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    let path = test.ancestors().nth(2).unwrap_or(Path::new("/")).join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build -p {name}` first", path.display());
    path
}
