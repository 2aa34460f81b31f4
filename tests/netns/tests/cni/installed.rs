//! Plugin and network list on the node: put there when it is ready, kept over stops, taken away for good.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal::SIGTERM;
use serde_json::Value;
use sluice_netns::wait_for;

use crate::node::{NETWORKS, Node, Pod};
use crate::runtime::{Call, program};

fn names(directory: &Path) -> Vec<String> {
    let listed = fs::read_dir(directory).into_iter().flatten();
    listed.filter_map(|one| one.ok()?.file_name().into_string().ok()).collect()
}

#[test]
fn plugin_and_list_come_with_readiness_stay_over_a_stop_and_go_with_an_uninstall() {
    let mut node = Node::new(&[]);
    let (conf, bin) = (node.path("net.d"), node.path("bin"));
    let (conf_dir, bin_dir) = (conf.display().to_string(), bin.display().to_string());
    let arguments = ["--cni-conf-dir", conf_dir.as_str(), "--cni-bin-dir", bin_dir.as_str()];
    node.spawn(&arguments);
    wait_for("the agent to answer", || node.try_status()).expect("it answers");
    assert!(names(&conf).is_empty(), "no pod could be attached, so the runtime is told of no network");
    node.write_node(&NETWORKS);
    node.wait_ready();
    let list =
        wait_for("the network list", || fs::read(conf.join("10-sluice.conflist")).ok()).expect("it is put there");
    assert_eq!((names(&conf).len(), names(&bin)), (1, vec!["sluice-cni".to_owned()]));
    assert_eq!(fs::read(bin.join("sluice-cni")).expect("there"), fs::read(program("sluice-cni")).expect("built"));
    let list: Value = serde_json::from_slice(&list).expect("JSON");
    assert_eq!((&list["cniVersion"], &list["cniVersions"][3]), (&"1.0.0".into(), &"1.1.0".into()));
    let pod = Pod::new("pod");
    let capabilities = list["plugins"][0]["capabilities"].clone();
    assert!(capabilities["portMappings"] == true && capabilities["bandwidth"] == true, "{capabilities}");
    Call::new(&node, "ADD").about(&pod, "eth0").with("runDir", list["plugins"][0]["runDir"].clone()).done();
    assert!(node.end(SIGTERM).success());
    assert_eq!((names(&conf).len(), names(&bin).len()), (1, 1), "an upgrade leaves both, and STATUS tells");
    assert_eq!(Call::new(&node, "STATUS").refused().code, 51);
    let state = node.path("state").display().to_string();
    let uninstall = || {
        let mut command = Command::new(program("sluice"));
        command.args(["uninstall", "--conf-dir", &conf_dir, "--bin-dir", &bin_dir, "--state-dir", &state]);
        command.output().expect("sluice starts")
    };
    let left = uninstall();
    let said = String::from_utf8_lossy(&left.stdout).into_owned();
    assert!(left.status.code() == Some(1) && said.contains("default/pod"), "{left:?}");
    assert_eq!((names(&conf).len(), names(&bin).len()), (1, 1), "what is attached can be detached");
    node.start(&arguments);
    node.del("pod", &pod.netns.path());
    assert!(node.end(SIGTERM).success());
    assert!(uninstall().status.success() && uninstall().status.success(), "also twice");
    assert_eq!((names(&conf).len(), names(&bin).len()), (0, 0));
}
