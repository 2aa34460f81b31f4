//! `sluiced --check`: what it says and how it ends, and that what `deploy/` would tell the daemon is good.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// What `sluiced --check` makes of a file with this text.
fn check(text: &str) -> Output {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sluiced.yaml");
    fs::write(&path, text).expect("a file");
    of_file(&path, &[])
}

fn of_file(path: &Path, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluiced"));
    command.args(["--check", "--config"]).arg(path).args(flags).env_remove("NODE_NAME");
    command.output().expect("sluiced starts")
}

/// What it said when it refused.
fn refusal(text: &str) -> String {
    let output = check(text);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

fn assert_good(output: &Output) {
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"ok\n".as_slice()), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// A file in `deploy/`.
fn deployed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(path)
}

#[test]
fn a_good_configuration_is_told_in_a_word() {
    assert_good(&check("source: {kubernetes: {server: 'https://192.0.2.1:6443'}}\nuplink: {device: eth0}\n"));
    assert_good(&of_file(&deployed("examples/sluiced.yaml"), &[]));
}

#[test]
fn a_bad_one_ends_with_two_and_names_the_key() {
    assert!(refusal("podMTU: 1500\n").contains("unknown field `podMTU`"));
    assert!(refusal("services: {cidrs: [10.96.0.1/16]}\n").contains("services.cidrs: \"10.96.0.1/16\" is no network"));
    assert!(refusal("umemFrames: 7\n").contains("umemFrames 7 is outside 1024 to 1048576"));
    assert!(refusal("cores: [0, 0]\n").contains("core 0 is named twice"));
    let none = of_file(Path::new("/does/not/exist.yaml"), &[]);
    assert_eq!(none.status.code(), Some(2), "{none:?}");
    assert!(String::from_utf8_lossy(&none.stderr).contains("/does/not/exist.yaml"), "{none:?}");
}

#[test]
fn a_flag_over_the_file_is_checked_with_it() {
    let example = deployed("examples/sluiced.yaml");
    assert_good(&of_file(&example, &["--pod-mtu=1400"]));
    let output = of_file(&example, &["--pod-mtu=1"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("podMtu 1 is outside 1280 to 9000"), "{output:?}");
}

/// The machine that checks is not the node, so a core that it lacks is no reason to refuse, nor is a missing service account.
#[test]
fn what_only_the_node_can_tell_is_not_asked() {
    assert_good(&check("cores: [700, 701]\nuplink: {device: no-such-device}\n"));
}

#[test]
fn the_configmap_among_the_manifests_is_good() {
    let text = fs::read_to_string(deployed("manifests/config.yaml")).expect("the manifest");
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    let [config] = objects.as_slice() else { panic!("one object is due: {objects:?}") };
    assert_eq!(config["kind"], "ConfigMap");
    assert_good(&check(config["data"]["sluiced.yaml"].as_str().expect("text")));
}
