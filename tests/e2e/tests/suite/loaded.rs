//! `sluice-perf load` against the API server: what it makes, and that it leaves nothing.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluice_e2e::{Client, Etcd};

use crate::driver::patiently;
use crate::fixture::{Alone, alone};

/// The label of everything that is made.
const LABELLED: &str = "labelSelector=sluice.io%2Fload%3Dtrue";
const KINDS: [(&str, usize); 5] = [
    ("/api/v1/nodes", 5),
    ("/api/v1/pods", 40),
    ("/api/v1/services", 20),
    ("/apis/discovery.k8s.io/v1/endpointslices", 20),
    ("/apis/networking.k8s.io/v1/networkpolicies", 10),
];

fn count(admin: &Client, collection: &str) -> usize {
    let list = admin.get(&format!("{collection}?{LABELLED}")).expect("a list");
    list["items"].as_array().map_or(0, Vec::len)
}

/// Starts the program, which `make test-e2e` has built beside the tests.
fn load(alone: &Alone, more: &[&str]) -> Child {
    let here = std::env::current_exe().expect("the running test has a path");
    let program: PathBuf = here.ancestors().nth(2).expect("it is in deps").join("sluice-perf");
    let mut command = Command::new(program);
    command.args([
        "load",
        "--nodes=5",
        "--services=20",
        "--endpoints=200",
        "--pods=40",
        "--policies=10",
        "--kubeconfig",
    ]);
    command.arg(alone.server.admin_kubeconfig()).args(more).stdout(Stdio::null()).stderr(Stdio::null());
    let netns = sluice_host::Netns::open_named(alone.server.netns()).expect("the namespace");
    netns.spawn(&mut command).expect("sluice-perf is built")
}

#[test]
fn a_load_is_kept_on_request_and_removed_by_the_next_run() {
    let alone = alone("kept", Etcd::Current);
    let kept = load(&alone, &["--rate=200", "--seconds=1", "--keep"]).wait().expect("it ends");
    assert!(kept.success(), "{kept}");
    for (collection, wanted) in KINDS {
        assert_eq!(count(alone.server.admin(), collection), wanted, "{collection}");
    }
    let first = "/apis/discovery.k8s.io/v1/namespaces/load-0/endpointslices/service-0-0";
    let changed = alone.server.admin().get(first).expect("a slice")["metadata"]["annotations"].clone();
    assert!(changed["endpoints.kubernetes.io/last-change-trigger-time"].is_string(), "{changed}");
    let removed = load(&alone, &["--remove-only"]).wait().expect("it ends");
    assert!(removed.success(), "{removed}");
    for (collection, _) in KINDS {
        assert_eq!(count(alone.server.admin(), collection), 0, "{collection}");
    }
}

#[test]
fn a_load_that_is_interrupted_removes_what_it_has_made() {
    let alone = alone("ctrlc", Etcd::Current);
    let mut loading = load(&alone, &["--rate=100", "--seconds=600"]);
    let slices = "/apis/discovery.k8s.io/v1/endpointslices";
    patiently("all to be made", || (count(alone.server.admin(), slices) == 20).then_some(())).expect("it is");
    kill(Pid::from_raw(i32::try_from(loading.id()).expect("a process id")), Signal::SIGINT).expect("it runs");
    let ended = loading.wait().expect("it ends");
    assert_eq!(ended.code(), Some(130), "{ended}");
    for (collection, _) in KINDS {
        assert_eq!(count(alone.server.admin(), collection), 0, "{collection}");
    }
}
