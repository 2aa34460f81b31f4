//! The least that the daemon is to be given, and what fails without each.

use std::process::Command;

use serde_json::Value;
use sluice_netns::wait_for;

use crate::node::{NETWORKS, Node, Pod, ping};

const MANIFEST: &str = include_str!("../../../../deploy/manifests/daemonset.yaml");

/// What runtimes often leave a container, in bytes.
const MEMLOCK: &str = "65536";

/// The capabilities that the manifest grants, without the prefix `CAP_`.
fn granted() -> Vec<String> {
    let daemons: Value = serde_saphyr::from_str(MANIFEST).expect("YAML");
    let capabilities = &daemons["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilities"];
    assert_eq!(capabilities["drop"], serde_json::json!(["ALL"]));
    serde_json::from_value(capabilities["add"].clone()).expect("names")
}

/// The daemon with these capabilities, as root that may lock no more memory than is usual.
fn limited(node: &Node, capabilities: &[String]) -> Command {
    let set: String = capabilities.iter().flat_map(|name| [",+", name]).collect();
    let mut command = Command::new("prlimit");
    command.arg(format!("--memlock={MEMLOCK}:{MEMLOCK}")).arg("setpriv");
    command.arg(format!("--bounding-set=-all{}", set.to_lowercase())).arg("--inh-caps=-all");
    let agent = node.agent_command(&[]);
    command.arg(agent.get_program()).args(agent.get_args());
    command
}

/// How many capabilities a process has (proc_pid_status(5)).
fn count(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("proc_pid_status(5)");
    u64::from_str_radix(effective.trim(), 16).expect("a number").count_ones()
}

/// All granted ones but `missing`, and `further`.
fn all_but(missing: &str, further: &[&str]) -> Vec<String> {
    let mut capabilities = granted();
    capabilities.retain(|name| name != missing);
    capabilities.extend(further.iter().map(|name| (*name).to_owned()));
    capabilities
}

/// What a daemon says that does not start with these.
fn refusal(capabilities: &[String]) -> String {
    let mut node = Node::new(&NETWORKS);
    node.spawn_command(limited(&node, capabilities));
    let status = node.await_end();
    assert!(!status.success(), "{status} with {capabilities:?}");
    assert_eq!(node.devices(), [""; 0], "nothing is left of it");
    node.log()
}

#[test]
fn those_of_the_manifest_are_enough_for_all_that_the_kernel_can() {
    let mut node = Node::ready();
    let features = |node: &Node| node.status()["features"].clone();
    let with_all = features(&node);
    node.end(nix::sys::signal::Signal::SIGTERM);

    node.spawn_command(limited(&node, &granted()));
    node.wait_ready();
    assert_eq!(count(node.agent_pid()) as usize, granted().len());
    assert_eq!(features(&node), with_all);
    let pods = ["a", "b"].map(Pod::new);
    let addresses = pods.each_ref().map(|pod| node.add(pod));
    for address in &addresses[1] {
        assert!(ping(&pods[0].netns, address), "{address}");
    }
    node.del("a", &pods[0].netns.path());
}

#[test]
fn without_one_of_them_the_daemon_ends_and_says_what_it_lacks() {
    for (missing, said) in [
        (
            "NET_ADMIN",
            "create veth sluice_port - sluice_host in the current namespace: permission denied; run as root, or with CAP_NET_ADMIN",
        ),
        ("NET_RAW", "needs CAP_NET_RAW"),
        ("IPC_LOCK", "grant CAP_IPC_LOCK or raise RLIMIT_MEMLOCK"),
        // It stands for BPF and PERFMON too.
        ("SYS_ADMIN", "loading the BPF program"),
    ] {
        let log = refusal(&all_but(missing, &[]));
        assert!(log.contains(said), "without {missing} it should say {said:?}:\n{log}");
    }
}

/// So SYS_ADMIN is not there for the programs alone.
#[test]
fn with_bpf_and_perfmon_in_place_of_sys_admin_it_runs_and_attaches_no_pod() {
    let mut node = Node::new(&NETWORKS);
    node.spawn_command(limited(&node, &all_but("SYS_ADMIN", &["BPF", "PERFMON"])));
    node.wait_ready();
    let before = node.in_use();
    let pod = Pod::new("pod");
    let refused = node.refused("pod", &pod.netns.path(), "eth0");
    assert!(refused.msg.contains("CAP_SYS_ADMIN") && refused.msg.contains(&pod.netns.path()), "{refused}");
    wait_for("nothing to be left of it", || node.uses_no_more_than(&before).then_some(())).expect("given back");
}
