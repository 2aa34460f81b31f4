//! What comes too early, and what goes with a pod.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};

use sluice_cni_protocol::code;
use sluice_netns::wait_for;

use crate::node::{NETWORKS, Node, Pod, ping};

/// Taken out: the look whether the objects have been read, in ADD.
#[test]
fn an_add_before_the_objects_are_read_is_for_later() {
    let mut node = Node::new(&NETWORKS);
    let (manifests, away) = (node.path("manifests"), node.path("away"));
    fs::rename(&manifests, &away).expect("renamed");
    node.spawn(&[]);
    wait_for("the agent to answer", || node.try_status().map(drop)).expect("it runs");
    let pod = Pod::new("pod");
    let refused = node.refused("pod", &pod.netns.path(), "eth0");
    assert_eq!(refused.code, code::TRY_AGAIN_LATER, "{refused:?}");
    assert!(refused.msg.contains("objects have not been read"), "{refused:?}");
    fs::rename(&away, &manifests).expect("renamed");
    node.wait_ready();
    let addresses = node.add(&pod);
    assert!(ping(&node.netns, addresses[0]));
}

/// Taken out: connections of the pod's port removed at DEL.
#[test]
fn the_connections_of_a_deleted_pod_go_with_it() {
    let node = Node::ready();
    let (client, server) = (Pod::new("client"), Pod::new("server"));
    node.add(&client);
    let address = node.add(&server)[0];
    let in_use = || node.status()["connections"]["inUse"].as_u64().expect("a number");
    let listener = server.netns.run(|| TcpListener::bind((address, 8080))).expect("inside").expect("a free port");
    let to = listener.local_addr().expect("bound");
    // Over TCP, so that for minutes they would not expire by themselves.
    let open: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = client.netns.run(|| TcpStream::connect(to)).expect("inside").expect("connected");
            stream.write_all(b"established").expect("sent");
            (stream, listener.accept().expect("accepted"))
        })
        .collect();
    wait_for("the connections to be there", || (in_use() >= 20).then_some(())).expect("they are in use");
    node.del("client", &client.netns.path());
    wait_for("the connections to go", || (in_use() < 20).then_some(())).expect("they go with their pod");
    drop(open);
}
