//! A shim or an agent of another release, foreign sockets, journals.

use std::fs;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal::SIGKILL;
use serde_json::{Value, json};
use sluice_cni_protocol::{Response, SOCKET_NAME, frame};
use sluice_netns::wait_for;

use crate::node::{Node, Pod, ping};
use crate::runtime::Call;

#[test]
fn a_del_that_an_agent_of_another_release_refuses_is_done_by_the_next_one() {
    let mut node = Node::ready();
    let pod = Pod::new("pod");
    node.add(&pod);
    node.end(SIGKILL);
    let socket = node.path("run").join(SOCKET_NAME);
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).expect("ours");
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the shim connects");
        let _: Value = frame::read(&mut stream, frame::MAX_REQUEST).expect("a request");
        let refused =
            sluice_cni_protocol::CniError::new(11, "request in protocol version 2, but this sluiced speaks 3");
        frame::write(&mut stream, &Response::Error(refused), frame::MAX_ANSWER).expect("it reads");
    });
    Call::new(&node, "DEL").about(&pod, "eth0").done();
    other.join().expect("it answered");
    node.start(&[]);
    wait_for("the DEL of the journal", || (node.in_use().0 == [0, 0]).then_some(())).expect("it is done");
    assert_eq!(node.devices(), ["sluice_host", "sluice_port"]);
}

#[test]
fn journals_of_another_version_and_stale_ones_harm_nobody() {
    let mut node = Node::ready();
    let (gone, kept) = (Pod::new("gone"), Pod::new("kept"));
    node.add(&gone);
    let addresses = node.add(&kept);
    node.end(SIGKILL);
    let journal = node.path("state/cni-journal");
    fs::create_dir_all(&journal).expect("writable");
    let write = |name: &str, entry: Value| fs::write(journal.join(name), entry.to_string()).expect("writable");
    write("gone@eth0.json", json!({"version": 9, "containerId": "gone", "ifname": "eth0", "sandbox": {"id": 1}}));
    write(
        "never@eth0.json",
        json!({"version": 1, "containerId": "never", "ifname": "eth0", "netns": "/x", "network": "n"}),
    );
    write("x@eth0.json", json!({"version": 1, "containerId": "kept", "ifname": "eth0", "netns": null, "network": "n"}));
    fs::write(journal.join("torn@eth0.json"), "{\"vers").expect("writable");
    node.start(&[]);
    wait_for("the journal", || (node.in_use().0 == [1, 1]).then_some(())).expect("the DEL of another version is done");
    assert!(addresses.iter().all(|address| ping(&node.netns, address)), "an entry in another's file is none");
    let left = || fs::read_dir(&journal).expect("readable").filter_map(|it| it.ok()?.file_name().into_string().ok());
    let empty = || left().all(|name| name.ends_with(".refused")).then_some(());
    wait_for("the journal to be empty", empty).expect("what is of no use is set aside");
    assert_eq!(left().count(), 2);
}

#[test]
fn a_socket_of_somebody_else_is_believed_by_no_verb() {
    let node = Node::new(&crate::node::NETWORKS);
    let run = node.path("run");
    fs::create_dir_all(&run).expect("writable");
    let socket = run.join(SOCKET_NAME);
    // A listener of the user nobody, in a directory that anybody may write to.
    let script = format!(
        "import os, socket, time\nos.umask(0)\ns = socket.socket(socket.AF_UNIX)\ns.bind({:?})\ns.listen()\ntime.sleep(600)\n",
        socket.display().to_string()
    );
    for directory in run.ancestors().take(2) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(directory, mode).expect("ours");
    }
    let mut listener =
        Command::new("python3").args(["-c", &script]).uid(65534).stdin(Stdio::null()).spawn().expect("python3");
    wait_for("the listener", || std::os::unix::net::UnixStream::connect(&socket).ok()).expect("it listens");
    let pod = Pod::new("pod");
    for (verb, code) in [("ADD", 5), ("STATUS", 51)] {
        let refused = Call::new(&node, verb).about(&pod, "eth0").refused();
        assert!(refused.code == code && refused.msg.contains("user 65534"), "{verb} {refused}");
    }
    Call::new(&node, "DEL").about(&pod, "eth0").done();
    assert!(node.path("state/cni-journal/pod@eth0.json").exists(), "it waits for the agent");
    listener.kill().expect("our child");
    listener.wait().expect("our child");
}
