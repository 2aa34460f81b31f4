//! The plugin called by libcni, the library of container runtimes: with the network list that the daemon itself has put in its
//! place, and the verbs that only runtimes of CNI 1.1 call.

#[allow(dead_code, reason = "the tests of the agent use all of it")]
#[path = "../../netns/tests/agent/node.rs"]
mod node;

use std::process::{Command, Output};

use nix::sys::signal::Signal::SIGTERM;
use serde_json::{Value, json};
use sluice_e2e::built;
use sluice_netns::wait_for;

use crate::node::{NETWORKS, Node, Pod, ping};

/// A node whose daemon has put its plugin and its list below its own directory, where libcni finds them.
struct Runtime {
    node: Node,
}

impl Runtime {
    fn new() -> Self {
        let mut node = Node::new(&NETWORKS);
        let [conf, bin] = ["net.d", "bin"].map(|below| node.path(below).display().to_string());
        node.start(&["--cni-conf-dir", &conf, "--cni-bin-dir", &bin]);
        let listed = || node.path("net.d/10-sluice.conflist").is_file().then_some(());
        wait_for("the network list", listed).expect("it is put there");
        Self { node }
    }

    fn call(&self, verb: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(built("libcni", "LIBCNI").unwrap_or_else(|error| panic!("{error}")));
        command
            .args(["net.d", "bin", "cache"].map(|below| self.node.path(below)))
            .args(["sluice", verb])
            .args(arguments);
        command.output().expect("libcni starts")
    }

    fn done(&self, verb: &str, arguments: &[&str]) -> String {
        let output = self.call(verb, arguments);
        assert!(output.status.success(), "{verb}: {output:?}\n{}", self.node.log());
        String::from_utf8(output.stdout).expect("text")
    }

    /// What is said of a refusal, its code first.
    fn refused(&self, verb: &str, arguments: &[&str]) -> String {
        let output = self.call(verb, arguments);
        assert!(!output.status.success(), "{verb}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// ADD with capabilities' arguments; gives the result.
    fn add(&self, pod: &Pod, capabilities: &Value) -> Value {
        let printed = self.done("add", &[&pod.container, &pod.netns.path(), "eth0", &capabilities.to_string()]);
        serde_json::from_str(&printed).expect("a result")
    }

    /// A verb about the pod's interface.
    fn about(&self, verb: &str, pod: &Pod) {
        assert_eq!(self.done(verb, &[&pod.container, &pod.netns.path(), "eth0"]), "");
    }

    fn attached(&self) -> Vec<Value> {
        let status = self.node.status();
        status["attachments"].as_array().expect("a list").iter().map(|one| one["containerId"].clone()).collect()
    }
}

#[test]
fn libcni_adds_checks_and_deletes_with_the_list_that_the_daemon_has_put_there() {
    let runtime = Runtime::new();
    let (one, two) = (Pod::new("one"), Pod::new("two"));
    let port = json!({ "hostPort": 18080, "containerPort": 80, "protocol": "tcp" });
    let result = runtime.add(&one, &json!({ "portMappings": [port] }));
    assert_eq!(result["cniVersion"], "1.1.0", "the newest of those that the list offers");
    let other = runtime.add(&two, &json!({}));
    let address = other["ips"][0]["address"].as_str().and_then(|net| net.split('/').next()).expect("an address");
    assert!(ping(&one.netns, address), "{}", runtime.node.log());
    runtime.about("check", &one);
    runtime.about("check", &two);
    // What the pod had is taken away in it.
    let flushed = two.netns.output(Command::new("ip").args(["-4", "addr", "flush", "dev", "eth0"])).expect("ip starts");
    assert!(flushed.status.success(), "{flushed:?}");
    let said = runtime.refused("check", &[&two.container, &two.netns.path(), "eth0"]);
    assert!(said.contains(address), "{said}");
    runtime.about("check", &one);
    for pod in [&one, &two, &one] {
        runtime.about("del", pod);
    }
    assert!(runtime.attached().is_empty());
}

#[test]
fn libcni_collects_garbage_and_asks_for_the_state() {
    let mut runtime = Runtime::new();
    let (one, two) = (Pod::new("one"), Pod::new("two"));
    runtime.add(&one, &json!({}));
    runtime.add(&two, &json!({}));
    runtime.done("status", &[]);
    // What it has added it deletes itself; what it has forgotten is the plugin's to know.
    std::fs::remove_dir_all(runtime.node.path("cache")).expect("it keeps what it has added");
    runtime.done("gc", &[&two.container, "eth0"]);
    assert_eq!(runtime.attached(), ["two"]);
    runtime.done("gc", &[]);
    assert!(runtime.attached().is_empty());
    assert!(runtime.node.end(SIGTERM).success());
    let said = runtime.refused("status", &[]);
    assert!(said.starts_with("code 51:"), "{said}");
}
