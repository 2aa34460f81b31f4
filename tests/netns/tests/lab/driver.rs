//! A lab under test, driven by the `sluice` program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;

use serde_json::Value;
use sluice_host::{NAMED_NAMESPACES, Netlink, Netns};
use sluice_netns::require_root;

/// Begins the names of labs made here: `qPIDLABEL`.
const MARK: &str = "q";

/// Begins the names of their manifests' directories.
const MANIFESTS: &str = "sluice-lab-test-";

/// The lab of one test. It goes down with this value.
pub(crate) struct Lab {
    name: String,
    manifests: PathBuf,
}

/// What a command printed and its exit code.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Lab {
    /// A lab that is not up, with a copy of the example manifests. `label`, of at most 8 letters, is the test's alone; the
    /// lab's name has this process's id in it too, so that tests of several checkouts run beside each other.
    pub(crate) fn new(label: &str) -> Self {
        static SWEEP: Once = Once::new();
        require_root();
        SWEEP.call_once(remove_leftovers);
        let name = format!("{MARK}{}{label}", std::process::id());
        let manifests = std::env::temp_dir().join(format!("{MANIFESTS}{name}"));
        fs::create_dir_all(&manifests).expect("the temporary directory is writable");
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples/lab");
        for entry in fs::read_dir(examples).expect("the examples are there") {
            let file = entry.expect("readable").path();
            fs::copy(&file, manifests.join(file.file_name().expect("a file"))).expect("writable");
        }
        Self { name, manifests }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Path of one of its namespaces, by what follows the lab's name.
    pub(crate) fn netns(&self, of: &str) -> PathBuf {
        Path::new(NAMED_NAMESPACES).join(format!("slu-{}-{of}", self.name))
    }

    /// Where this lab's manifests are.
    pub(crate) fn manifest(&self, file: &str) -> PathBuf {
        self.manifests.join(file)
    }

    /// Runs `sluice lab COMMAND --name NAME ARGUMENTS`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("sluice starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { code: status.code(), out: text(stdout), err: text(stderr) }
    }

    /// The same, which must succeed; gives what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "sluice lab {arguments:?}: {ran:?}");
        ran.out
    }

    /// Starts it and does not wait.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("sluice starts")
    }

    /// Brings it up.
    pub(crate) fn up(&self) -> String {
        self.ok(&["up"])
    }

    /// `status --json`.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.ok(&["status", "--json"])).expect("status prints JSON")
    }

    /// The one node's agent.
    pub(crate) fn agent_pid(&self) -> i32 {
        let status = self.status();
        let pid = status["nodes"][0]["pid"].as_i64().unwrap_or_else(|| panic!("no agent runs: {status}"));
        i32::try_from(pid).expect("a process id")
    }

    /// Its run directory.
    pub(crate) fn agent_run_dir(&self) -> PathBuf {
        PathBuf::from(self.status()["nodes"][0]["runDir"].as_str().expect("a path"))
    }

    /// What `sluice status --json` prints of it.
    pub(crate) fn agent_status(&self) -> Value {
        let mut command = Command::new(program("sluice"));
        let output = command.args(["status", "--json", "--run-dir"]).arg(self.agent_run_dir()).output();
        let output = output.expect("sluice starts");
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("status prints JSON")
    }

    /// One field of a pod in `status --json`.
    pub(crate) fn pod(&self, name: &str, field: &str) -> Value {
        let status = self.status();
        let pods = status["pods"].as_array().expect("a list of pods");
        let pod = pods.iter().find(|pod| pod["name"] == name).unwrap_or_else(|| panic!("no pod {name}: {status}"));
        pod[field].clone()
    }

    /// A pod's addresses, IPv4 first.
    pub(crate) fn addresses(&self, pod: &str) -> Vec<String> {
        let addresses = self.pod(pod, "addresses");
        let addresses = addresses.as_array().expect("a list of addresses").iter();
        let mut addresses: Vec<String> = addresses.map(|address| address.as_str().expect("text").to_owned()).collect();
        addresses.sort_by_key(|address| address.contains(':'));
        addresses
    }

    /// Asserts that nothing of the lab is there: names, files, processes.
    pub(crate) fn assert_gone(&self) {
        let prefix = format!("slu-{}-", self.name);
        let names = Netns::names().expect("readable");
        assert_eq!(names.iter().filter(|name| name.starts_with(&prefix)).collect::<Vec<_>>(), Vec::<&String>::new());
        assert!(!self.directory().exists(), "{} is left", self.directory().display());
        let marker = format!("/run/sluice-lab/{}/", self.name);
        let left: Vec<String> = command_lines().into_iter().filter(|line| line.contains(&marker)).collect();
        assert!(left.is_empty(), "processes are left: {left:?}");
    }

    /// The lab's own directory.
    pub(crate) fn directory(&self) -> PathBuf {
        Path::new("/run/sluice-lab").join(&self.name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let (verb, rest) = arguments.split_first().expect("a command");
        let mut command = Command::new(program("sluice"));
        command.args(["lab", verb, "--name", &self.name]);
        if *verb == "up" {
            command.arg("-f").arg(&self.manifests);
        }
        command.args(rest);
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let ran = self.run(&["down"]);
        let _ = fs::remove_dir_all(&self.manifests);
        if !std::thread::panicking() {
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
    }
}

/// Takes down the labs of test processes that ended without doing so, and removes their manifests.
fn remove_leftovers() {
    let netns = Netns::names().expect("readable").into_iter();
    let netns = netns.filter_map(|name| Some(name.strip_prefix("slu-")?.split('-').next()?.to_owned()));
    let listed = |directory: &Path, prefix: &str| -> Vec<String> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix(prefix)?.to_owned())).collect()
    };
    let labs = listed(Path::new("/run/sluice-lab"), "");
    let manifests = listed(&std::env::temp_dir(), MANIFESTS);
    for name in netns.chain(labs).chain(manifests).filter(|name| is_leftover(name)) {
        // Another test process may sweep at the same time, so what is gone is as good.
        let _ = Command::new(program("sluice")).args(["lab", "down", "--name", &name]).output();
        let _ = fs::remove_dir_all(std::env::temp_dir().join(format!("{MANIFESTS}{name}")));
    }
}

/// Whether a lab of this name was made here by a process that is gone.
fn is_leftover(name: &str) -> bool {
    let pid = name.strip_prefix(MARK).map(|rest| rest.trim_end_matches(|c: char| c.is_ascii_lowercase()));
    pid.and_then(|pid| pid.parse::<u32>().ok()).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

/// A program of the workspace, built beside this test.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    let path = test.ancestors().nth(2).expect("target/PROFILE").join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace --bins` first", path.display());
    path
}

/// Names and addresses of the machine's own devices, which no lab may change.
pub(crate) fn machine_network() -> Vec<String> {
    let mut netlink = Netlink::open().expect("netlink");
    let links = netlink.links().expect("readable");
    let links = links.into_iter().map(|link| format!("{} {} {} {:?}", link.index, link.name, link.mtu, link.mac));
    let addresses = netlink.addresses().expect("readable");
    links.chain(addresses.into_iter().map(|address| format!("{} {}", address.link, address.net))).collect()
}

fn command_lines() -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc is there").flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}
